import subprocess
import sys

import pytest

import napari_uninuc
from napari_uninuc import errors


def run_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=1800, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


HEAVY = "{'torch', 'torchvision', 'timm', 'sam2', 'napari', 'qtpy', 'PyQt6', 'magicgui'}"


@pytest.mark.parametrize(
    "statement",
    [
        "import napari_uninuc",
        "from napari_uninuc import Segmentation, Tile, UniNucError",
        "import napari_uninuc.io.formats, napari_uninuc.io.images, napari_uninuc.io.labels",
    ],
)
def test_importing_loads_neither_torch_nor_napari(statement):
    print_heavy = f"import sys; {statement}; print(sorted({HEAVY} & set(sys.modules)))"
    assert run_python(print_heavy) == "[]"


def test_public_names_are_those_of_their_homes():
    from napari_uninuc.core.segmentation import Segmentation
    from napari_uninuc.core.tile import Tile

    assert napari_uninuc.Segmentation is Segmentation
    assert napari_uninuc.Tile is Tile
    assert set(napari_uninuc.__all__) <= set(dir(napari_uninuc))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = napari_uninuc.nothing


@pytest.mark.parametrize("name", [name for name in errors.__all__ if name != "UniNucError"])
def test_each_error_is_ours_and_a_builtin(name):
    error = getattr(errors, name)
    assert issubclass(error, errors.UniNucError)
    builtins = {ValueError, OSError, LookupError, RuntimeError}
    assert len([base for base in error.__mro__ if base in builtins]) == 1
    assert str(error("one line")) == "one line"
