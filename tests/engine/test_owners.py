"""Which field answers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_uninuc.core.geometry import plan_fields
from napari_uninuc.engine.owners import SEAM_PX, field_of, owned_by, owners_of
from napari_uninuc.engine.requests import PromptBatch
from napari_uninuc.errors import PromptError

FIELDS = plan_fields((300, 420), 160, 40)


@given(st.integers(0, 299), st.integers(0, 419))
def test_a_pixel_belongs_to_the_field_whose_inner_part_holds_it(y, x):
    y0, x0, y1, x1 = field_of(FIELDS, (y, x)).inner_yxyx
    assert y0 <= y < y1
    assert x0 <= x < x1


@pytest.mark.parametrize(("place", "index"), [((-40, -2), 0), ((900, 900), len(FIELDS) - 1)])
def test_places_outside_go_to_the_nearest_field(place, index):
    assert field_of(FIELDS, place).index == index


def test_the_cut_lies_between_pixels():
    cut = FIELDS[0].inner_yxyx[3]
    assert field_of(FIELDS, (5, cut - 0.6)).index == 0
    assert field_of(FIELDS, (5, cut - 0.4)).index == 1


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_boxes_close_to_the_cut_are_owned_by_both(scale):
    cut = FIELDS[0].inner_yxyx[3]
    offsets = np.array([-30, -0.9 * SEAM_PX / scale, 0.9 * SEAM_PX / scale, 30])
    boxes = np.stack([[10, cut + d - 5, 20, cut + d + 5] for d in offsets]).astype(np.float32)
    scales = np.array([scale, scale])
    assert owned_by(FIELDS[0], boxes, scales).tolist() == [True, True, True, False]
    assert owned_by(FIELDS[1], boxes, scales).tolist() == [False, True, True, True]


@given(st.lists(st.tuples(st.integers(-20, 320), st.integers(-20, 440)), min_size=1))
def test_a_batch_is_answered_where_its_first_points_are(places):
    points = np.array(places, np.float32)[:, None]
    batch = PromptBatch(points, np.ones((len(places), 1), np.int64))
    assert owners_of(FIELDS, batch).tolist() == [field_of(FIELDS, at).index for at in places]


def test_a_box_decides_before_a_click():
    points = np.array([[[299.0, 419.0]]], np.float32)
    batch = PromptBatch(points, np.ones((1, 1), np.int64), np.array([[0, 0, 9, 9]], np.float32))
    assert owners_of(FIELDS, batch).tolist() == [0]


def test_a_mask_alone_is_of_no_field_unless_there_is_one():
    nothing = np.zeros((1, 0, 2), np.float32), np.zeros((1, 0), np.int64)
    batch = PromptBatch(*nothing, None, np.zeros((1, 8, 8), np.float32))
    assert owners_of(FIELDS[:1], batch).tolist() == [0]
    with pytest.raises(PromptError):
        owners_of(FIELDS, batch)
