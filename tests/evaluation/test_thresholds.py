"""Choosing the score threshold."""

import numpy as np
import pytest

from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.core.tile import Tile
from napari_uninuc.datasets.folder import LabelledTile
from napari_uninuc.errors import DatasetError
from napari_uninuc.evaluation.thresholds import above, choose_threshold

TRUTH = np.zeros((40, 40), np.int32)
TRUTH[2:10, 2:10], TRUTH[2:10, 20:28], TRUTH[20:28, 2:10] = 1, 2, 3
NAMES = ("epithelial", "spindle")


def labelled(classes=None, truth=TRUTH):
    return LabelledTile(Tile.from_array(np.zeros((40, 40, 3), np.uint8), name="a"), truth, classes)


def segmented(places, classes=None):
    """Squares of 8 px at (y, x) with a score each."""
    kinds = classes or [0] * len(places)
    masks = [
        InstanceMask((y, x), np.ones((8, 8), bool), score, kind, 0.5)
        for (y, x, score), kind in zip(places, kinds, strict=True)
    ]
    return Segmentation.from_instances(masks, (40, 40), NAMES, {})


FOUND = segmented([(2, 2, 0.9), (2, 20, 0.5), (20, 2, 0.4), (30, 30, 0.3), (20, 20, 0.2)])


def test_the_best_is_found_and_of_equals_the_lowest():
    choice = choose_threshold([(labelled(), FOUND)], candidates=(0.6, 0.38, 0.35, 0.25, 0.1))
    assert (choice.threshold, choice.metric) == (0.35, "msa")
    assert [t for t, _ in choice.tried] == [0.1, 0.25, 0.35, 0.38, 0.6]
    assert [score for _, score in choice.tried] == pytest.approx([3 / 5, 3 / 4, 1, 1, 1 / 3])


def test_what_is_left_is_whole():
    kept = above(FOUND, 0.35)
    assert kept.table["score"].tolist() == [0.9, 0.5, 0.4]
    assert set(np.unique(kept.labels)) == {0, *kept.table["id"]}
    assert (kept.labels == np.where(TRUTH > 0, FOUND.labels, 0)).all()
    assert above(FOUND, 0.0).labels.tolist() == FOUND.labels.tolist()


def test_pictures_are_averaged_and_told():
    told = []
    half = segmented([(2, 2, 0.9)])
    choice = choose_threshold(
        [(labelled(), FOUND), (labelled(), half)], candidates=(0.35,), step=lambda: told.append(1)
    )
    assert choice.tried == ((0.35, pytest.approx((1 + 1 / 3) / 2)),)
    assert len(told) == 2


def test_classes_may_choose():
    classes = {1: "epithelial", 2: "spindle", 3: "spindle"}
    confused = segmented([(2, 2, 0.9), (2, 20, 0.6), (20, 2, 0.4)], [0, 1, 0])
    by_class = choose_threshold([(labelled(classes), confused)], "mpq", (0.3, 0.5))
    by_outline = choose_threshold([(labelled(classes), confused)], "msa", (0.3, 0.5))
    assert (by_class.threshold, by_outline.threshold) == (0.5, 0.3)


def test_a_threshold_above_which_every_name_is_wrong_does_not_win():
    """0.5 leaves one nucleus, called wrong: 0 there, as nothing at all would be."""
    classes = {1: "epithelial", 2: "spindle", 3: "spindle"}
    found = segmented([(2, 2, 0.9), (2, 20, 0.4), (20, 2, 0.4)], [1, 1, 1])
    choice = choose_threshold([(labelled(classes), found)], "mpq", (0.3, 0.5), known=NAMES)
    assert choice.threshold == 0.3
    assert dict(choice.tried) == {0.3: pytest.approx((0 + 0.8) / 2), 0.5: 0.0}


def test_pictures_of_a_class_that_is_always_called_another_count_in_the_choice():
    right = labelled({1: "epithelial", 2: "epithelial", 3: "epithelial"})
    wrong = labelled({1: "spindle", 2: "spindle", 3: "spindle"})
    found = segmented([(2, 2, 0.9), (2, 20, 0.9), (20, 2, 0.9)], [0, 0, 0])
    choice = choose_threshold([(right, found), (wrong, found)], "mpq", (0.3,), known=NAMES)
    assert choice.tried == ((0.3, 0.5),)


def test_nothing_to_choose_by():
    with pytest.raises(DatasetError, match="no picture") as caught:
        choose_threshold([(labelled(), FOUND)], "mpq")
    assert "\n" not in str(caught.value)
    with pytest.raises(DatasetError, match="no picture"):
        choose_threshold([])
    others = labelled({1: "plasma", 2: "plasma", 3: "plasma"})
    with pytest.raises(DatasetError, match="with the model's classes"):
        choose_threshold([(others, FOUND)], "mpq", known=NAMES)
