import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_uninuc.errors import LabelsError
from napari_uninuc.io import filling
from napari_uninuc.io.filling import fill_polygon, fill_polygons

SHAPE = (9, 11)
POINT = st.tuples(st.floats(-4, 15), st.floats(-4, 13))


def whole(crop):
    picture = np.zeros(SHAPE, bool)
    if crop is not None:
        (y, x), mask = crop
        picture[y : y + mask.shape[0], x : x + mask.shape[1]] = mask
    return picture


def inside(x, y, rings):
    """Even-odd rule, one centre and one edge at a time."""
    odd = False
    for ring in rings:
        for (xa, ya), (xb, yb) in zip(ring, [*ring[1:], ring[0]], strict=True):
            if min(ya, yb) <= y < max(ya, yb):
                odd ^= xa + (y - ya) / (yb - ya) * (xb - xa) <= x
    return odd


@given(st.lists(st.lists(POINT, min_size=3, max_size=7), min_size=1, max_size=3))
def test_centres_inside_are_inside(rings):
    picture = whole(fill_polygon(rings, SHAPE))
    for y in range(SHAPE[0]):
        for x in range(SHAPE[1]):
            assert picture[y, x] == inside(x + 0.5, y + 0.5, rings)


@given(
    st.lists(st.lists(st.lists(POINT, min_size=3, max_size=7), min_size=1, max_size=3), max_size=6),
    st.tuples(st.integers(-3, 3), st.integers(-3, 3)),
    st.sampled_from([0, 9, 2**16]),
    st.sampled_from([0, 20, 2**14]),
)
def test_many_are_filled_as_each_alone(polygons, origin, small_px, few_crossings):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(filling, "_SMALL_PX", small_px)
        patched.setattr(filling, "_FEW_CROSSINGS", few_crossings)
        together = list(fill_polygons(polygons, SHAPE, origin))
    assert len(together) == len(polygons)
    for crop, rings in zip(together, polygons, strict=True):
        alone = fill_polygon(rings, SHAPE, origin)
        assert (crop is None) == (alone is None)
        np.testing.assert_array_equal(whole(crop), whole(alone))


def test_what_is_wrong_with_one_of_many_is_told_when_it_is_its_turn():
    good, heights = [[(0, 0), (4, 0), (4, 9)]], [[(0, 0), (4, 0, 7), (4, 9)]]
    assert list(fill_polygons([], SHAPE)) == []
    for bad in ([], 7, "abc", [[(0, 0), (1, 1)]], [[(0, 0), (1, 1), (np.nan, 2)]]):
        crops = fill_polygons([good, heights, bad, good], SHAPE)
        assert whole(next(crops)).any()
        assert whole(next(crops)).any()
        with pytest.raises(LabelsError):
            next(crops)


def test_polygons_that_share_a_side_share_no_pixel():
    left, right = [(0, 0), (4.5, 0), (4.5, 9), (0, 9)], [(4.5, 0), (11, 0), (11, 9), (4.5, 9)]
    first, second = whole(fill_polygon([left], SHAPE)), whole(fill_polygon([right], SHAPE))
    assert not (first & second).any()
    assert (first | second).all()


def test_nothing_inside_is_nothing():
    assert fill_polygon([[(1.6, 1.6), (1.9, 1.6), (1.7, 1.9)]], SHAPE) is None
    assert fill_polygon([[(100, 100), (120, 100), (110, 120)]], SHAPE) is None
    assert fill_polygon([[(-9, -9), (-2, -9), (-4, -1)]], SHAPE) is None


@pytest.mark.parametrize(
    ("rings", "words"),
    [
        ([], "list of rings|ring of points"),
        (7, "list of rings"),
        ("abc", "list of rings"),
        ([[(0, 0), (1, 1)]], "three"),
        ([[0, 1, 2, 3]], "three"),
        ([[(0, 0), (1, 1), (2,)]], "numbers"),
        ([[(0, 0), (1, None), (2, 2)]], "coordinates|numbers"),
        ([[(0, 0), (1, "a"), (2, 2)]], "numbers"),
        ([[(0, 0), (1, {}), (2, 2)]], "numbers"),
        ([[(0, 0), (1, float("nan")), (2, 2)]], "NaN"),
        ([[(0, 0), (1, float("inf")), (2, 2)]], "NaN"),
        ([[(0, 0), (1, 10**400), (2, 2)]], "numbers"),
        ([[(0, 0), (1, 1e30), (2, 2)]], "1e"),
    ],
)
def test_what_is_no_polygon_is_refused(rings, words):
    with pytest.raises(LabelsError, match=words):
        fill_polygon(rings, SHAPE)


def test_too_large_and_too_winding_are_refused(monkeypatch):
    square = [(0, 0), (9, 0), (9, 9), (0, 9)]
    monkeypatch.setattr(filling, "MAX_NUCLEUS_PX", 80)
    with pytest.raises(LabelsError, match="9 x 9"):
        fill_polygon([square], SHAPE)
    monkeypatch.setattr(filling, "MAX_NUCLEUS_PX", 81)
    monkeypatch.setattr(filling, "MAX_CROSSINGS", 17)
    with pytest.raises(LabelsError, match="got 18"):
        fill_polygon([square], SHAPE)
    monkeypatch.setattr(filling, "MAX_CROSSINGS", 18)
    assert whole(fill_polygon([square], SHAPE)).sum() == 81


def test_a_height_of_some_points_is_left_out():
    (y, x), mask = fill_polygon([[[2, 3, 0], [6, 3], [6, 8, 1.5], [2, 8]]], (20, 20))
    assert (y, x, mask.sum()) == (3, 2, 20)
