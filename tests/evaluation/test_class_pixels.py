"""Dice of classes of pixels, and its weighted mean."""

import math

import numpy as np
import pytest

from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.core.tile import Tile
from napari_uninuc.datasets.folder import LabelledTile
from napari_uninuc.evaluation.automatic import score_automatic
from napari_uninuc.evaluation.class_pixels import (
    ClassPixels,
    added_up,
    class_pixels_of,
    painted_of,
    weighted_dice,
)

LABELS = np.zeros((10, 10), np.int32)
LABELS[0:2, 0:5], LABELS[4:8, 0:5], LABELS[9, 5:] = 1, 2, 3


def labelled(classes):
    return LabelledTile(Tile.from_array(np.zeros((10, 10, 3), np.uint8), name="a"), LABELS, classes)


def test_dice_of_each_class_and_their_mean_by_frequency():
    painted = np.zeros((10, 10), np.int64)
    painted[0:2, 0:5] = 1  # all of a
    painted[4:6, 0:5] = 2  # half of b
    a, b, c = class_pixels_of(labelled({1: "a", 2: "b"}), painted, ("a", "b", "c"))
    assert (a.true, a.found, a.both, a.dice) == (10, 10, 10, 1.0)
    assert (b.true, b.found, b.both) == (20, 10, 10)
    assert b.dice == pytest.approx(2 / 3)
    assert math.isnan(c.dice)
    assert weighted_dice((a, b, c)) == pytest.approx((10 * 1 + 20 * 2 / 3) / 30)


def test_pixels_of_a_nucleus_whose_class_nobody_knows_count_nowhere():
    painted = np.zeros((10, 10), np.int64)
    painted[9] = 1
    (a,) = class_pixels_of(labelled({1: "a"}), painted, ("a",))
    assert (a.true, a.found, a.both) == (10, 5, 0)  # of row 9 the half without a nucleus


def test_without_classes_there_is_nothing_to_score():
    assert class_pixels_of(labelled(None), np.zeros((10, 10), np.int64), ("a",)) == ()
    assert math.isnan(weighted_dice(()))


def test_pixels_of_images_add_up():
    one, other = ClassPixels("a", 4, 2, 1), ClassPixels("a", 6, 6, 5)
    assert added_up([[one], [other, ClassPixels("b", 1, 0, 0)]]) == (
        ClassPixels("a", 10, 8, 6),
        ClassPixels("b", 1, 0, 0),
    )


def test_nuclei_are_painted_with_their_classes_where_no_map_is():
    found = Segmentation.from_labels(LABELS)
    found.table["class"] = ["a", "b", "else"]
    painted = painted_of(found, ("b", "a"))
    assert (painted[0, 0], painted[4, 0], painted[9, 9]) == (2, 1, 0)
    row = score_automatic(labelled({1: "a", 2: "b", 3: "a"}), found, 0.0)
    assert row.weighted_dice == pytest.approx((15 * 0.8 + 20) / 35)
    by_map = score_automatic(labelled({1: "a", 2: "b", 3: "a"}), found, 0.0, painted=0 * painted)
    assert by_map.weighted_dice == 0
    assert by_map.mpq == row.mpq
