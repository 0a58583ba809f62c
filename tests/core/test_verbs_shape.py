import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from napari_uninuc.core import verbs
from napari_uninuc.core.labels import LabelMap
from napari_uninuc.core.nuclei import Nucleus, Status
from napari_uninuc.errors import LabelsError, PromptError


def discs(*circles, shape=(60, 80)):
    """One label for each (y, x, radius, id); later ones lie on top."""
    ys, xs = np.indices(shape)
    pixels = np.zeros(shape, dtype=np.int32)
    for y, x, radius, id_ in circles:
        pixels[(ys - y) ** 2 + (xs - x) ** 2 <= radius**2] = id_
    return pixels


def automatic(pixels):
    box = (0.0, 0.0, 9.0, 9.0)
    rows = {
        int(i): Nucleus(int(i), int(i), 0.5, 0.9, Status.AUTOMATIC, box)
        for i in np.unique(pixels[pixels > 0])
    }
    return LabelMap.from_labels(pixels, rows)


@pytest.mark.parametrize("gap", [0, 1, 2])
def test_merging_closes_a_thin_gap(gap):
    pixels = np.zeros((12, 30), dtype=np.int32)
    pixels[2:10, 4:10] = 5
    pixels[2:10, 10 + gap : 16 + gap] = 3
    labels = automatic(pixels)
    labels.apply(verbs.merge(labels, [5, 3]))
    assert set(labels.nuclei) == {5}
    assert labels.box(5) == (2, 4, 10, 16 + gap)
    assert labels.area(5) == 8 * (12 + gap)
    row = labels.nuclei[5]
    assert (row.class_id, row.score, row.status) == (5, 0.5, Status.EDITED)


def test_merging_leaves_a_wide_gap_a_third_nucleus_and_other_notches_alone():
    pixels = np.zeros((12, 30), dtype=np.int32)
    pixels[2:10, 4:10] = 1
    pixels[5, 4] = 0  # a notch far from the other one
    pixels[2:10, 12:16] = 2
    pixels[4:6, 10:12] = 9  # sits in the gap
    pixels[2:10, 20:24] = 3
    labels = automatic(pixels)
    labels.apply(verbs.merge(labels, [1, 2, 3]))
    assert labels.area(9) == 4
    assert labels.area(1) == np.isin(pixels, [1, 2, 3]).sum() + 2 * 8 - 4
    assert labels.at((5, 4)) == 0
    assert labels.at((5, 18)) == 0


def test_merging_fewer_than_two_is_no_edit_and_unknown_ones_are_refused():
    labels = automatic(discs((20, 20, 5, 1)))
    assert verbs.merge(labels, []) is None
    assert verbs.merge(labels, [1, 1]) is None
    with pytest.raises(LabelsError, match="nucleus 4"):
        verbs.merge(labels, [1, 4])


def test_a_line_cuts_in_two_and_the_larger_side_keeps_the_id():
    labels = automatic(discs((30, 40, 12, 4)))
    whole = labels.pixels == 4
    labels.apply(verbs.split_by_line(labels, 4, (20, 44.5), (24, 44.5)))  # ends inside
    assert set(labels.nuclei) == {4, 5}
    assert labels.box(4)[3] == 45
    assert labels.box(5)[1] == 45
    np.testing.assert_array_equal((labels.pixels == 4) | (labels.pixels == 5), whole)
    assert labels.nuclei[4].score == 0.5
    assert labels.nuclei[5] == Nucleus(5, 4, math.nan, math.nan, Status.EDITED)
    assert labels.nuclei[4].status is Status.EDITED


def test_a_line_beside_the_nucleus_is_no_edit_and_a_point_is_no_line():
    labels = automatic(discs((30, 40, 12, 4)))
    assert verbs.split_by_line(labels, 4, (0, 10), (59, 10)) is None
    with pytest.raises(PromptError, match="two different"):
        verbs.split_by_line(labels, 4, (5, 5), (5, 5))
    with pytest.raises(PromptError):
        verbs.split_by_line(labels, 4, (5, math.nan), (5, 5))
    with pytest.raises(LabelsError, match="nucleus 9"):
        verbs.split_by_line(labels, 9, (5, 1), (5, 5))


@pytest.mark.parametrize(("small", "x"), [(14, 58), (7, 52)])
def test_two_points_cut_at_the_neck(small, x):
    """Two touching discs of equal or of different size, clicked roughly in the middle."""
    pixels = discs((30, 30, 14, 1), (30, x, small, 2))
    truth = pixels.copy()
    pixels[pixels == 2] = 1
    labels = automatic(pixels)
    labels.apply(verbs.split_by_points(labels, 1, [(31, x + 1), (29, 29)]))
    wrong = ((labels.pixels == 2) != (truth == 2)).sum()
    if small == 14:  # equal: which half is larger is chance
        wrong = min(wrong, ((labels.pixels == 1) != (truth == 2)).sum())
    assert wrong <= 0.03 * (truth > 0).sum()


@given(
    st.lists(
        st.tuples(st.integers(19, 41), st.integers(29, 51)), min_size=2, max_size=5, unique=True
    )
)
def test_each_point_inside_gets_its_own_part(points):
    labels = automatic(discs((30, 40, 15, 1)))
    whole = labels.pixels > 0
    inside = [point for point in points if labels.at(point)]
    if len(inside) < 2:
        return
    edit = verbs.split_by_points(labels, 1, inside)
    labels.apply(edit)
    assert len({labels.at(point) for point in inside}) == len(inside)
    np.testing.assert_array_equal(labels.pixels > 0, whole)
    assert labels.area(1) == max(labels.area(i) for i in labels.nuclei)
    assert set(labels.nuclei) == set(range(1, len(inside) + 1))


def test_points_beside_the_nucleus_count_as_its_nearest_pixel():
    labels = automatic(discs((30, 40, 15, 1)))
    labels.apply(verbs.split_by_points(labels, 1, [(30, 0), (30, 79)]))
    assert labels.at((30, 26)) != labels.at((30, 54))
    fresh = automatic(discs((30, 40, 15, 1)))
    assert verbs.split_by_points(fresh, 1, [(30, 40), (30.2, 40.1)]) is None
    with pytest.raises(PromptError, match="two or more"):
        verbs.split_by_points(fresh, 1, [(30, 40)])


def test_filling_holes_leaves_what_lives_in_them():
    pixels = discs((30, 40, 15, 1), (30, 36, 4, 0), (30, 46, 3, 2))
    labels = automatic(pixels)
    edit = verbs.fill_holes(labels, [1, 2])
    assert edit.ids == {1}
    labels.apply(edit)
    assert labels.at((30, 36)) == 1
    assert labels.area(2) == (pixels == 2).sum()
    assert verbs.fill_holes(labels, [1, 2]) is None
    assert labels.nuclei[2].status is Status.AUTOMATIC


def test_smoothing_takes_off_spurs_and_crumbs_and_fills_notches():
    pixels = discs((30, 40, 10, 1))
    clean = pixels == 1
    pixels[30, 51:56] = 1  # spur
    pixels[20:24, 39] = 0  # notch
    pixels[5, 40] = 1  # crumb
    pixels[26:30, 51] = 2  # neighbour
    labels = automatic(pixels)
    labels.apply(verbs.smooth(labels, [1]))
    found = labels.pixels == 1
    assert (found != clean).sum() <= 4
    assert ndimage.label(found)[1] == 1
    assert labels.area(2) == 4
    assert labels.at((30, 53)) == 0
    assert labels.at((21, 39)) == 1


def test_a_nucleus_too_small_to_smooth_stays():
    labels = automatic(np.array([[0, 1, 1, 0]], dtype=np.int32))
    assert verbs.smooth(labels, [1]) is None
    assert verbs.smooth(labels, []) is None


def test_smoothing_at_the_tiles_border_keeps_a_straight_edge():
    pixels = np.zeros((10, 10), dtype=np.int32)
    pixels[:6, :6] = 1
    assert verbs.smooth(automatic(pixels), [1]) is None
