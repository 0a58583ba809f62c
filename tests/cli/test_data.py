import numpy as np
import pytest
from layouts import RGB, WRITERS
from PIL import Image

from napari_uninuc.datasets.public.registry import LAYOUTS


@pytest.fixture
def written(tmp_path):
    def write(name):
        WRITERS[name](tmp_path / name)
        return tmp_path / name

    return write


def test_list_names_every_layout_with_licence_and_source(uninuc):
    status, out, err = uninuc("data", "list")
    assert (status, err) == (0, "")
    for name, layout in LAYOUTS.items():
        assert f"\n{name} " in f"\n{out}"
        assert f"licence  {layout.licence}\n" in out
        assert layout.source in out
    assert uninuc("data") == (0, out, "")


def test_check_counts_and_draws(uninuc, written, tmp_path):
    sheet = tmp_path / "sheets/tnbc.png"
    status, out, err = uninuc("data", "check", written("puma"), "--sheet", sheet)
    assert (status, err.count("\n")) == (2, 1)
    assert "puma has 205 or 206 images, got 8" in err
    assert "sizes    24 x 32 px (8)" in out
    assert "scale    0.23 um/px as published" in out
    assert "train    4 images, 8 nuclei" in out
    assert "in all   8 images, 16 nuclei" in out
    assert "classes  tumor 8, plasma_cell 8" in out
    pixels = np.asarray(Image.open(sheet))
    assert pixels.shape == (2 * 328 - 8, 4 * 328 - 8, 3)
    assert (pixels[2 * 2 : 2 * 8, 2 * 3] == (255, 230, 0)).all()  # left side of the first nucleus
    assert (pixels[100, 100] == 255).all()  # beside the picture


def test_a_whole_data_set_is_all_right(uninuc, written):
    status, out, err = uninuc("data", "check", written("cpm15"))
    assert (status, err) == (0, "")
    assert "val      2 images, 4 nuclei" in out
    assert "scale    unknown; half of the nuclei are wider than" in out


def test_two_data_sets_in_one_folder_are_both_checked(uninuc, written):
    status, out, _ = uninuc("data", "check", written("lynsec-he"))
    assert status == 0
    assert "lynsec-he, " in out
    assert "lynsec-ihc, " in out


def test_a_named_layout_is_taken(uninuc, written):
    out = uninuc("data", "check", written("consep"), "--layout", "consep-7")[1]
    assert "malignant epithelial 7, muscle 7" in out


def test_plain_folders_are_checked(uninuc, tmp_path):
    labels = np.zeros((24, 32), np.uint8)
    for name in ("a", "b"):
        for part, pixels in (("images", RGB), ("labels", labels)):
            (tmp_path / part).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / part / f"{name}.png")
    status, out, err = uninuc("data", "check", tmp_path, "--sheet", tmp_path / "sheet.png")
    assert (status, err) == (0, f"uninuc: warning: {tmp_path}: 2 images have no nucleus\n")
    assert "images and labels" in out
    assert "contact sheet of 2 images" in out


def test_masks_are_told_and_not_passed(uninuc, tmp_path):
    mask = np.zeros((24, 32), np.uint8)
    mask[2:22:4, 2:30:4] = 255
    for part, pixels in (("images", RGB), ("labels", mask)):
        (tmp_path / part).mkdir()
        Image.fromarray(pixels).save(tmp_path / part / "a.png")
    status, out, err = uninuc("data", "check", tmp_path)
    assert status == 2
    assert "in all   1 images, 1 nuclei" in out
    assert f"uninuc: error: {tmp_path}: labels must have a number of its own" in err
    assert "masks with the one value 255 (35 pieces of 1 numbers in 1 pictures" in err


def test_damaged_files_are_told_one_by_one_and_the_rest_is_counted(uninuc, written):
    folder = written("cpm15")
    for k in (3, 7):
        (folder / f"cpm15/Labels/image_{k:02d}.mat").write_bytes(b"MATLAB")
    status, out, err = uninuc("data", "check", folder)
    assert status == 2
    assert "in all   13 images" in out
    assert err.count("\n") == 2
    assert "image_03.mat" in err
    assert "image_07.mat" in err


def test_damaged_archives_are_told(uninuc, written):
    folder = written("nuclick")
    (folder / "ihc_nuclick.zip").write_bytes(b"half of it")
    status, out, err = uninuc("data", "check", folder)
    assert status == 2
    assert "ihc_nuclick.zip: NOT as published" in out
    assert "not the published file" in err


def test_bad_input_is_one_line(refused, uninuc, tmp_path, written):
    assert "no such folder" in refused("data", "check", tmp_path / "gone")
    assert "uninuc data list" in refused("data", "check", tmp_path)
    assert "expected one of folder, cpm15" in refused("data", "check", tmp_path, "--layout", "x")
    assert "expected pannuke as unzipped" in refused(
        "data", "check", tmp_path, "--layout", "pannuke"
    )
    line = refused("data", "check", written("nuclick"), "--sheet", tmp_path)
    assert "a file is written here" in line
