"""Which pieces stay and which holes close."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage

from napari_uninuc.core.outline import common_part, keep_meant, tight_crop

MASKS = arrays.arrays(bool, arrays.array_shapes(min_dims=2, max_dims=2, max_side=9))


def discs(*specs, shape=(40, 60)):
    """Discs (y, x, radius) in one mask."""
    ys, xs = np.mgrid[: shape[0], : shape[1]]
    mask = np.zeros(shape, bool)
    for y, x, radius in specs:
        mask |= (ys - y) ** 2 + (xs - x) ** 2 <= radius**2
    return mask


LARGE, SMALL = (15, 15, 8), (15, 40, 4)
TWO = discs(LARGE, SMALL)


def test_without_clicks_the_largest_piece_stays():
    np.testing.assert_array_equal(keep_meant(TWO), discs(LARGE))


def test_the_piece_that_was_clicked_stays_and_not_the_larger_one():
    np.testing.assert_array_equal(keep_meant(TWO, [(15, 40)]), discs(SMALL))


def test_pieces_that_were_all_clicked_all_stay():
    np.testing.assert_array_equal(keep_meant(TWO, [(15, 40), (14.6, 15.2)]), TWO)


def test_a_click_beside_a_nucleus_adds_to_it():
    meant = keep_meant(TWO, [(15, 40)], previous=discs((16, 14, 7)))
    np.testing.assert_array_equal(meant, TWO)


def test_what_was_before_but_is_gone_brings_nothing_back():
    gone = discs((35, 5, 3))
    np.testing.assert_array_equal(keep_meant(TWO, [(15, 40)], previous=gone), discs(SMALL))


def test_clicks_on_nothing_or_out_of_the_crop_say_nothing():
    meant = keep_meant(TWO, [(2, 2), (15, -40), (400, 15)], [(-1, 0), (15, 61)])
    np.testing.assert_array_equal(meant, discs(LARGE))


def test_holes_close_unless_a_click_asks_for_one():
    ring = discs(LARGE) & ~discs((15, 15, 2)) & ~discs((15, 20, 1))
    np.testing.assert_array_equal(keep_meant(ring), discs(LARGE))
    asked = keep_meant(ring, outside_yx=[(15, 15)])
    np.testing.assert_array_equal(asked, discs(LARGE) & ~discs((15, 15, 2)))


@given(MASKS)
def test_one_piece_without_holes_of_what_was_there(raw):
    meant = keep_meant(raw)
    assert ndimage.label(meant)[1] == int(raw.any())
    np.testing.assert_array_equal(ndimage.binary_fill_holes(meant), meant)
    assert (meant | ~raw | (ndimage.label(raw)[1] > 1)).all()  # one piece loses nothing


@given(MASKS, st.data())
def test_every_click_inside_a_raw_mask_stays_inside(raw, draw):
    places = np.argwhere(raw)
    clicks = []
    if len(places):
        clicks = draw.draw(st.lists(st.sampled_from([tuple(p) for p in places.tolist()])))
    meant = keep_meant(raw, clicks)
    assert all(meant[place] for place in clicks)
    assert ndimage.label(meant)[1] <= max(1, len(clicks))


@given(MASKS, st.integers(-5, 50), st.integers(-5, 50))
def test_a_tight_crop_loses_no_pixel(mask, y, x):
    (top, left), crop = tight_crop(mask, (y, x))
    places = np.argwhere(mask) + np.array([y, x])
    np.testing.assert_array_equal(np.argwhere(crop) + np.array([top, left]), places)
    if mask.any():
        edges = (crop[0], crop[-1], crop[:, 0], crop[:, -1])
        assert all(edge.any() for edge in edges)
    else:
        assert crop.shape == (0, 0)


@given(
    st.tuples(st.integers(-20, 20), st.integers(-20, 20)),
    st.tuples(st.integers(0, 12), st.integers(0, 12)),
)
def test_the_common_part_is_what_both_hold(origin, crop_hw):
    shape = (9, 7)
    numbers = np.arange(crop_hw[0] * crop_hw[1]).reshape(crop_hw) + 1
    picture = np.zeros(shape, int)
    here, there = common_part(origin, crop_hw, shape)
    picture[here] = numbers[there]
    for (row, column), number in np.ndenumerate(numbers):
        y, x = row + origin[0], column + origin[1]
        if 0 <= y < shape[0] and 0 <= x < shape[1]:
            assert picture[y, x] == number
    assert np.count_nonzero(picture) == numbers[there].size


@pytest.mark.parametrize("origin", [(-30, 0), (0, 30), (30, -30)])
def test_what_does_not_meet_has_no_common_part(origin):
    here, there = common_part(origin, (5, 5), (9, 7))
    assert np.zeros((9, 7))[here].size == np.zeros((5, 5))[there].size == 0
