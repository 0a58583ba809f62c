"""What a gesture means, from places alone."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.labels import LabelMap
from napari_uninuc.gui.canvas.gestures import (
    box_between,
    box_meets,
    nuclei_inside,
    nucleus_under_line,
    place_belongs,
)
from napari_uninuc.session import Draft
from napari_uninuc.testing import make_label_map

PLACES = st.tuples(st.floats(-10, 70), st.floats(-10, 70))


@pytest.fixture
def disc():
    """A draft of nucleus 3: a disc of radius 10 around (30, 40)."""
    y, x = np.mgrid[:21, :21] - 10
    return Draft.of_nucleus(3, InstanceMask((20, 30), y**2 + x**2 <= 100, 1.0, 0, 1.0), 1)


@pytest.mark.parametrize(
    ("place", "there", "belongs"),
    [
        ((30, 40), 3, True),
        ((30, 40), 8, True),  # the outline in hand lies over a neighbour there
        ((30, 55), 0, True),
        ((30, 59.5), 0, True),
        ((30, 55), 8, False),
        ((30, 62), 0, False),
        ((52, 40), 3, False),
    ],
)
def test_near_is_half_a_diameter(disc, place, there, belongs):
    assert place_belongs(disc, place, there) is belongs


def test_before_the_first_answer_near_is_near_the_clicks():
    draft = Draft.of_new(1).clicked((10.0, 10.0), True, 2)
    assert place_belongs(draft, (15.0, 10.0), 0)
    assert not place_belongs(draft, (15.0, 10.0), 4)
    assert not place_belongs(draft, (40.0, 10.0), 0)


@given(PLACES, PLACES)
def test_a_box_holds_the_pixels_under_both_ends(start, end):
    box = box_between(start, end, (50, 60))
    if box is None:
        for places, side in zip(zip(start, end, strict=True), (50, 60), strict=True):
            if max(places) < -0.5 or min(places) >= side - 0.5:
                return
        raise AssertionError("the box lies on the tile")
    assert 0 <= box[0] < box[2] <= 50
    assert 0 <= box[1] < box[3] <= 60
    for y, x in (start, end):
        row, column = math.floor(y + 0.5), math.floor(x + 0.5)
        if 0 <= row < 50 and 0 <= column < 60:
            assert box[0] <= row < box[2]
            assert box[1] <= column < box[3]


def test_a_box_far_from_the_outline_is_not_meant_for_it(disc):
    assert box_meets((35.0, 45.0, 60.0, 60.0), disc)
    assert not box_meets((41.0, 30.0, 60.0, 60.0), disc)
    assert box_meets((0.0, 0.0, 1.0, 1.0), Draft.of_new(1))


@given(st.integers(0, 5), st.floats(0, 64), st.floats(0, 64), st.floats(5, 60))
def test_a_lasso_takes_those_that_are_mostly_inside(seed, y, x, size):
    labels = make_label_map((64, 64), 8, seed=seed)
    corners = [(y, x), (y, x + size), (y + size, x + size), (y + size, x)]
    rows, columns = np.mgrid[:64, :64]
    inside = (rows > y) & (rows < y + size) & (columns > x) & (columns < x + size)
    for id_ in labels.nuclei:
        share = np.count_nonzero(inside & (labels.pixels == id_)) / labels.area(id_)
        if abs(share - 0.5) > 0.2:  # pixel centres on the line may fall either way
            assert (id_ in nuclei_inside(labels, corners)) == (share > 0.5)


@pytest.mark.parametrize("corners", [[], [(1, 1), (5, 5)], [(-9, -9), (-9, -5), (-5, -5)]])
def test_a_lasso_around_nothing_takes_nothing(corners):
    assert nuclei_inside(make_label_map((64, 64), 8), corners) == frozenset()


def test_a_cut_is_meant_for_the_one_pressed_on_or_most_crossed():
    pixels = np.zeros((20, 40), dtype=np.int32)
    pixels[5:15, 5:10], pixels[5:15, 12:30] = 1, 2
    labels = LabelMap.from_labels(pixels)
    assert nucleus_under_line(labels, (10, 7), (10, 35)) == 1
    assert nucleus_under_line(labels, (10, 2), (10, 35)) == 2
    assert nucleus_under_line(labels, (2, 2), (2, 35)) == 0
    assert nucleus_under_line(labels, (-5, 2), (25, 2)) == 0
