import numpy as np
import pytest

from napari_uninuc.core.detections import Detections
from napari_uninuc.errors import PromptError


@pytest.fixture
def three():
    boxes = [[0, 0, 2, 4], [1.5, 2, 3, 5], [7, 8, 9, 12]]
    return Detections(np.array(boxes), np.array([0.25, 1, 0]), np.array([0, 2, 1]))


def test_types_are_fixed(three):
    assert three.boxes_yxyx.dtype == three.scores.dtype == np.float32
    assert three.class_ids.dtype == np.int64
    assert len(three) == 3
    assert len(Detections.empty()) == 0


def test_shift_and_scale_move_boxes_only(three):
    moved = three.shifted(10, -1).scaled(2)
    np.testing.assert_array_equal(moved.boxes_yxyx[1], [23, 2, 26, 8])
    np.testing.assert_array_equal(moved.scores, three.scores)
    np.testing.assert_array_equal(moved.class_ids, three.class_ids)


def test_take_and_concatenate_invert_each_other(three):
    parts = [three.take(np.array([0])), Detections.empty(), three.take(three.class_ids > 0)]
    joined = Detections.concatenate(parts)
    np.testing.assert_array_equal(joined.boxes_yxyx, three.boxes_yxyx)
    np.testing.assert_array_equal(joined.scores, three.scores)
    np.testing.assert_array_equal(joined.class_ids, three.class_ids)
    assert len(Detections.concatenate([])) == 0


@pytest.mark.parametrize(
    ("boxes", "scores", "class_ids"),
    [
        (np.zeros((2, 4)), np.zeros(1), np.zeros(1)),
        (np.zeros((1, 3)), np.zeros(1), np.zeros(1)),
        (np.zeros((1, 4)), np.zeros(1), np.zeros(2)),
        (np.zeros((1, 4)), np.zeros((1, 1)), np.zeros(1)),
        (np.zeros((1, 4)), np.array([1.5]), np.zeros(1)),
        (np.zeros((1, 4)), np.array([np.nan]), np.zeros(1)),
    ],
)
def test_inconsistent_detections_are_refused(boxes, scores, class_ids):
    with pytest.raises(PromptError, match=r"detections|scores"):
        Detections(boxes, scores, class_ids)
