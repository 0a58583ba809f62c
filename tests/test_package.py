import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from packaging.requirements import Requirement

import napari_uninuc
from napari_uninuc import errors
from napari_uninuc.cli.app import _COMPUTES


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


ROOT = Path(__file__).parents[1]


def test_the_manifest_beside_the_readme_is_the_one_in_the_package():
    """A copy and no link: where git makes no links, a link is a text file with a path in it."""
    shown = ROOT / "napari.yaml"
    assert not shown.is_symlink()
    assert shown.read_bytes() == (ROOT / "src/napari_uninuc/napari.yaml").read_bytes()


def test_version_and_day_are_the_same_wherever_they_are_written():
    released = re.findall(
        r"^## (\d[^ ]*) - (\d{4}-\d\d-\d\d)$",
        (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
        flags=re.MULTILINE,
    )
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert released[0] == (napari_uninuc.__version__, str(cited["date-released"]))
    assert cited["version"] == napari_uninuc.__version__


def test_the_issue_form_asks_for_the_doctor():
    form = yaml.safe_load((ROOT / ".github/ISSUE_TEMPLATE/bug.yml").read_text(encoding="utf-8"))
    assert {"name", "description", "body"} <= form.keys()
    (asked,) = [part for part in form["body"] if part.get("id") == "doctor"]
    assert "uninuc doctor" in asked["attributes"]["label"]
    assert asked["validations"]["required"] is True


def test_the_window_alone_needs_all_but_what_computes(monkeypatch):
    """What `pip install ./client` brings, from the requirements that stand here once."""
    interface = ModuleType("hatchling.metadata.plugin.interface")
    interface.MetadataHookInterface = object
    for name in ("hatchling", "hatchling.metadata", "hatchling.metadata.plugin"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, interface.__name__, interface)
    hook = runpy.run_path(str(ROOT / "client/hatch_build.py"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = {Requirement(each).name for each in hook["needed_by_the_window"](project)}
    everything = {Requirement(each).name for each in project["dependencies"]}
    assert everything - needed == set(_COMPUTES)
    assert {"httpx", "magicgui", "napari", "qtpy"} <= needed
    assert "napari-uninuc" not in needed
