"""Masks cut out of images."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_uninuc.evaluation.crops import crop_iou, crop_of, mask_box, targets_of

SHAPE = (9, 11)
WHOLE = (0, 0, *SHAPE)
masks = hnp.arrays(bool, SHAPE)


@given(masks)
@settings(max_examples=60, deadline=None)
def test_mask_box_is_tight(mask):
    y0, x0, y1, x1 = mask_box(mask)
    inside = np.zeros_like(mask)
    inside[y0:y1, x0:x1] = True
    assert not (mask & ~inside).any()
    if mask.any():
        ys, xs = np.nonzero(mask)
        assert (y0, x0, y1, x1) == (ys.min(), xs.min(), ys.max() + 1, xs.max() + 1)


@given(
    masks, st.tuples(st.integers(0, 8), st.integers(0, 10), st.integers(1, 9), st.integers(1, 9))
)
@settings(max_examples=100, deadline=None)
def test_a_crop_is_drawn_where_it_was(mask, box):
    crop = crop_of(mask)
    assert np.array_equal(crop.within(WHOLE), mask)
    y, x, height, width = box
    y1, x1 = min(y + height, 9), min(x + width, 11)
    assert np.array_equal(crop.within((y, x, y1, x1)), mask[y:y1, x:x1])


def test_an_origin_moves_the_crop():
    mask = np.zeros((4, 5), bool)
    mask[1:3, 2:4] = True
    assert crop_of(mask, (10, 20)).box_yxyx == (11, 22, 13, 24)


@given(masks, masks.filter(lambda mask: mask.any()))
@settings(max_examples=100, deadline=None)
def test_iou_is_that_of_the_whole_masks(first, second):
    expected = (first & second).sum() / (first | second).sum()
    assert crop_iou(crop_of(first), crop_of(second)) == pytest.approx(expected)


def test_targets_are_the_ids_in_order():
    labels = np.zeros(SHAPE, np.int32)
    labels[1:3, 1:4], labels[5:9, 6:8] = 7, 2
    boxes = [target.box_yxyx for target in targets_of(labels)]
    assert boxes == [(5, 6, 9, 8), (1, 1, 3, 4)]
    assert [target.area for target in targets_of(labels)] == [8, 6]
