"""Masks and maps of classes are told from pictures of numbered nuclei."""

import io

import numpy as np
import pytest
from PIL import Image
from skimage.measure import label

from napari_uninuc.datasets.numbering import Numbering, look_at, pieces_of
from napari_uninuc.datasets.recipes import DatasetSpec
from napari_uninuc.errors import DatasetError


def marked(seed=0, count=30):
    """Discs of 9 px thrown on 128 x 128: where nuclei are, some of them touching."""
    rng = np.random.default_rng(seed)
    yy, xx = np.mgrid[:128, :128]
    places = rng.integers(8, 120, (count, 2))
    return np.any([(yy - y) ** 2 + (xx - x) ** 2 < 20 for y, x in places], axis=0)


def numbered(seed=0):
    return label(marked(seed)).astype(np.uint8)


def one(value, pieces=1):
    """One nucleus, of so many lobes."""
    labels = np.zeros((64, 64), np.uint8)
    for k in range(pieces):
        labels[10 + 16 * k : 22 + 16 * k, 20:40] = value
    return labels


def of_classes(seed):
    """Every nucleus has the number of its class, 1 to 5."""
    labels = numbered(seed)
    return np.where(labels > 0, labels % 5 + 1, 0).astype(np.uint8)


def through_jpeg(seed):
    stream = io.BytesIO()
    Image.fromarray(marked(seed).astype(np.uint8) * 255).save(stream, format="JPEG", quality=80)
    return np.asarray(Image.open(stream))


def write(folder, pictures):
    for k, labels in enumerate(pictures):
        for part, pixels in (
            ("images", np.zeros((*labels.shape, 3), np.uint8)),
            ("labels", labels),
        ):
            (folder / part).mkdir(exist_ok=True, parents=True)
            Image.fromarray(pixels).save(folder / part / f"{k}.png")
    return DatasetSpec(name="set", path=folder)


MASKS = {
    "0 and 255": [marked(k).astype(np.uint8) * 255 for k in range(3)],
    "0 and 1": [marked(k).astype(np.uint8) for k in range(3)],
    "one bit": [marked(k) for k in range(2)],
    "one picture": [marked().astype(np.uint8) * 255],
    "beside glass": [marked().astype(np.uint8) * 255, np.zeros((64, 64), np.uint8)],
    "classes": [of_classes(k) for k in range(3)],
    "JPEG": [through_jpeg(k) for k in range(3)],
    "half of them": [marked(0).astype(np.uint8) * 255, numbered(1)],
}


@pytest.mark.parametrize("kind", MASKS)
def test_masks_are_not_trained_on(kind, tmp_path):
    with pytest.raises(DatasetError, match="a number of its own for each nucleus") as caught:
        look_at(write(tmp_path / "set", MASKS[kind]))
    assert str(caught.value).startswith(f"{tmp_path / 'set'}: ")
    assert "\n" not in str(caught.value)
    one_value = {"0 and 255": "255", "one picture": "255", "0 and 1": "1"}.get(kind)
    if one_value is not None:
        assert f"got masks with the one value {one_value} (" in str(caught.value)


NUMBERED = {
    "many nuclei": [numbered(k) for k in range(3)],
    "one nucleus": [one(1)],
    "one nucleus each": [one(1), one(7), one(255)],
    "one nucleus in two pieces": [one(1, pieces=2)],
    "none": [np.zeros((32, 32), np.uint8)],
    "some in pieces": [numbered(0), one(3, pieces=3), numbered(2)],
}


@pytest.mark.parametrize("kind", NUMBERED)
def test_numbered_nuclei_are_all_right(kind, tmp_path):
    assert look_at(write(tmp_path, NUMBERED[kind])).remarks() == []


DOUBTFUL = {
    "one of several is a mask": (
        [numbered(0), numbered(1), marked(2).astype(np.uint8)],
        "1 of 3 label pictures look like masks",
    ),
    "nuclei of lobes, or few to a picture": (
        [one(1, pieces=2), one(1, pieces=3), one(1, pieces=2)],
        "labels may be masks: 7 pieces of 3 numbers",
    ),
    "white": ([one(255), one(255)], "every label picture has the one number 255"),
}


@pytest.mark.parametrize("kind", DOUBTFUL)
def test_what_may_be_either_is_said_and_trained_on(kind, tmp_path):
    pictures, told = DOUBTFUL[kind]
    (remark,) = look_at(write(tmp_path, pictures)).remarks()
    assert remark.startswith(told)


def test_pieces_are_counted_by_number_with_corners():
    labels = np.zeros((9, 9), np.int32)
    labels[0, 0] = labels[1, 1] = 70_000
    labels[4, 4] = labels[4, 6] = labels[8, 8] = 2
    assert pieces_of(labels) == {2: 3, 70_000: 1}
    assert pieces_of(np.zeros((4, 4), np.int32)) == {}


def test_no_more_than_some_pictures_are_looked_at(tmp_path):
    numbering = look_at(write(tmp_path, [one(k % 7 + 1) for k in range(130)]))
    assert 32 <= numbering.labelled <= 64


def test_nothing_was_added():
    assert (Numbering().problem(), Numbering().remarks()) == (None, [])
