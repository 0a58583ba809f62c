import numpy as np
import pytest
from layouts import WRITERS
from PIL import Image

from napari_uninuc.datasets.checking import Tally, find_layouts, split_of
from napari_uninuc.datasets.folder import read_folder
from napari_uninuc.errors import DatasetError


@pytest.fixture
def plain(tmp_path):
    """Three pictures: two nuclei, a speck and one of two pieces; none; one nucleus."""
    first, last = np.zeros((40, 40), np.uint8), np.zeros((40, 40), np.uint8)
    first[5:15, 5:15] = 1
    first[20:24, 20:24] = first[30:34, 30:34] = 2
    first[38, 38] = 3
    first[24, 24] = 2  # touches at a corner: still the same piece
    last[0:10, 0:10] = 9
    for name, labels in (("a", first), ("b", np.zeros((30, 40), np.uint8)), ("c", last)):
        folder = tmp_path / ("train" if name == "a" else "test")
        for part, pixels in (("images", np.dstack([labels] * 3)), ("labels", labels)):
            (folder / part).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / part / f"{name}.png")
    return tmp_path


def test_a_tally_counts_what_is_there(plain):
    tally = Tally()
    for image in read_folder(plain):
        tally.add(image, image.read())
    assert tally.images == {"train": 1, "test": 2}
    assert tally.nuclei == {"train": 3, "test": 1}
    assert tally.sizes == {(40, 40): 2, (30, 40): 1}
    assert (tally.empty, tally.scattered, tally.specks) == (1, 1, 1)
    # Areas 1, 33, 100, 100 px.
    diameters = np.sqrt(4 / np.pi * np.array([33, 100]))
    assert tally.median_diameter_px == pytest.approx(diameters.mean())
    assert [line.split(" ")[0] for line in tally.remarks()] == ["1", "1", "1"]


def test_an_empty_tally_has_nothing_to_say():
    assert (Tally().median_diameter_px, Tally().remarks()) == (None, [])


def test_splits_of_plain_folders_are_their_folders(plain):
    assert [split_of(image) for image in read_folder(plain)] == ["test", "test", "train"]
    assert [split_of(image) for image in read_folder(plain / "train")] == ["all"]


def test_layouts_are_found_before_plain_folders(plain, tmp_path_factory):
    assert find_layouts(plain) == [None]
    folder = tmp_path_factory.mktemp("nuclick")
    WRITERS["nuclick"](folder)
    assert [layout.name for layout in find_layouts(folder)] == ["nuclick"]


def test_nothing_known_is_one_line(tmp_path):
    with pytest.raises(DatasetError, match="no such folder"):
        find_layouts(tmp_path / "gone")
    with pytest.raises(DatasetError, match="uninuc data list"):
        find_layouts(tmp_path)
    (tmp_path / "fold_1.zip").touch()
    with pytest.raises(DatasetError, match=r"unzip fold_1\.zip"):
        find_layouts(tmp_path)
