"""Tiles at half their resolution: what evaluate-20x is scored on."""

import numpy as np
from half_resolution import halved_labels, halved_picture, main
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from napari_uninuc.datasets.folder import read_folder

LABELS = arrays.arrays(
    np.int32,
    st.tuples(st.integers(2, 9), st.integers(2, 9)),
    elements=st.integers(0, 3),
)


@given(LABELS)
def test_each_px_is_a_commonest_of_its_four(labels):
    halved = halved_labels(labels)
    assert halved.shape == (labels.shape[0] // 2, labels.shape[1] // 2)
    for y, x in np.ndindex(halved.shape):
        four = labels[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].ravel()
        counts = np.bincount(four)
        assert counts[halved[y, x]] == counts.max()


def test_a_nucleus_that_ends_between_px_neither_grows_nor_shrinks():
    labels = np.zeros((40, 40), np.int32)
    labels[:, 11:25] = 1  # 14 px wide: 7 at half the resolution, both edges cut a pair in two
    assert (halved_labels(labels) == 1).sum() == 7 * 20


def test_pictures_are_averaged():
    rgb = np.array([[[0] * 3, [100] * 3], [[50] * 3, [250] * 3]], np.uint8)
    assert halved_picture(rgb).tolist() == [[[100] * 3]]


def test_both_sets_are_written_to_be_read_again(tmp_path):
    data, labels = tmp_path / "data", np.zeros((20, 20), np.uint16)
    labels[4:12, 6:14] = 7
    for name, image in (("monuseg/test", "TCGA-1"), ("consep", "test_1"), ("consep", "train_1")):
        for part in ("images", "labels"):
            (data / name / part).mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((20, 20, 3), 200, np.uint8)).save(
            data / name / "images" / f"{image}.png"
        )
        Image.fromarray(labels).save(data / name / "labels" / f"{image}.png")
    main([str(data), str(tmp_path / "half"), "--write-only"], standalone_mode=False)
    (tile,) = [image.read(0.5) for image in read_folder(tmp_path / "half" / "consep")]
    assert tile.tile.name == "test_1"
    assert np.array_equal(np.argwhere(tile.labels == 7)[[0, -1]], [[2, 3], [5, 6]])
    assert len(read_folder(tmp_path / "half" / "monuseg" / "test")) == 1
