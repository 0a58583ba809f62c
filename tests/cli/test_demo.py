import re

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from napari_uninuc.errors import DeviceError
from napari_uninuc.gui.window import check as window_check


@pytest.fixture
def model_here(random_model, monkeypatch):
    """Let the default model be found even where none is bundled."""
    monkeypatch.setenv("UNINUC_MODELS", str(random_model.parent))


@pytest.mark.usefixtures("model_here")
def test_demo_writes_and_prints_what_it_promises(uninuc, tmp_path):
    folder = tmp_path / "new" / "demo"
    status, out, err = uninuc("demo", "--output", folder, "--device", "cpu")
    assert (status, err) == (0, "")
    names = ["labels.ome.zarr", "labels.tif", "overlay.png"]
    assert sorted(path.name for path in folder.iterdir()) == names
    labels = tifffile.imread(folder / "labels.tif")
    assert labels.shape == (512, 512)
    root = zarr.open_group(str(folder / "labels.ome.zarr"), mode="r")
    assert root["0"].shape == (3, 512, 512)
    np.testing.assert_array_equal(root["labels/nuclei/0"], labels)
    with Image.open(folder / "overlay.png") as overlay:
        assert overlay.size == (1024, 1024)
    assert out.startswith(f"{len(np.unique(labels)) - 1} nuclei in immunohistochemistry")
    for step in ("encode", "detect", "masks"):
        assert re.search(rf"^ +{step} +\d+\.\d\d s$", out, re.MULTILINE)
    for name in names:
        assert f"wrote {folder / name}\n" in out


@pytest.mark.usefixtures("no_model_is_loaded")
def test_unwritable_folder_is_found_before_the_work(refused, tmp_path):
    (tmp_path / "file").touch()
    assert "cannot be written" in refused("demo", "--output", tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.usefixtures("no_model_is_loaded")
def test_gui_without_napari_names_the_command_that_installs_it(refused, tmp_path, monkeypatch):
    monkeypatch.setattr(window_check, "find_spec", lambda name: None)
    line = refused("demo", "--gui", "--output", tmp_path / "demo")
    assert 'pip install "napari-uninuc[all]"' in line
    assert not (tmp_path / "demo").exists()


@pytest.mark.usefixtures("model_here")
def test_gui_opens_the_tile_to_be_corrected(uninuc, tmp_path, monkeypatch):
    from napari_uninuc.gui.window import show

    shown = []
    monkeypatch.setattr(window_check, "require_window", lambda: None)
    monkeypatch.setattr(show, "show_for_correction", shown.append)
    assert uninuc("demo", "--gui", "--output", tmp_path / "demo")[0] == 0
    [tile] = shown
    assert tile.name == "immunohistochemistry"
    assert tifffile.imread(tmp_path / "demo" / "labels.tif").shape == tile.shape


def test_gui_without_a_display_is_one_line(refused, tmp_path, monkeypatch):
    def closed():
        raise DeviceError("no display")

    monkeypatch.setattr(window_check, "require_window", closed)
    assert refused("demo", "--gui", "--output", tmp_path / "demo") == "no display"
