import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from napari_uninuc.core.instances import InstanceMask, paint_masks, resolve_overlaps
from napari_uninuc.errors import LabelsError

SHAPE = (12, 14)

instances = st.builds(
    InstanceMask,
    origin_yx=st.tuples(st.integers(-5, 13), st.integers(-5, 15)),
    mask=hnp.arrays(np.bool_, st.tuples(st.integers(1, 7), st.integers(1, 7))),
    score=st.sampled_from([0.1, 0.5, 0.9]),
    class_id=st.integers(0, 3),
    predicted_iou=st.just(0.5),
)


def full(mask: InstanceMask) -> np.ndarray:
    """Set the mask's pixels one by one in a picture of SHAPE."""
    picture = np.zeros(SHAPE, dtype=bool)
    for y, x in np.argwhere(mask.mask) + mask.origin_yx:
        if 0 <= y < SHAPE[0] and 0 <= x < SHAPE[1]:
            picture[y, x] = True
    return picture


def block(y, x, height, width, score):
    return InstanceMask((y, x), np.ones((height, width), dtype=bool), score, 0, 1.0)


@given(st.lists(instances, max_size=6))
def test_each_painted_pixel_belongs_to_the_best_mask_on_it(masks):
    labels = paint_masks(masks, SHAPE)
    assert labels.dtype == np.int32
    expected = np.zeros(SHAPE, dtype=int)
    best = np.full(SHAPE, -1.0)
    for index, mask in enumerate(masks):
        wins = full(mask) & (mask.score > best)
        expected[wins] = index + 1
        best[wins] = mask.score
    np.testing.assert_array_equal(labels, expected)


@given(st.lists(instances, max_size=6), st.sampled_from([0.0, 0.3, 0.5, 1.0]), st.integers(0, 5))
def test_resolved_masks_are_disjoint_tight_connected_and_ordered(masks, max_overlap, min_area):
    resolved = resolve_overlaps(masks, SHAPE, max_overlap=max_overlap, min_area=min_area)
    assert sum(full(mask).astype(int) for mask in resolved).max() <= 1 if resolved else True
    assert [m.score for m in resolved] == sorted((m.score for m in resolved), reverse=True)
    union = np.any([full(mask) for mask in masks], axis=0)
    for mask in resolved:
        assert mask.area >= max(min_area, 1)
        assert mask.area == full(mask).sum(), "no pixel outside the picture"
        assert ndimage.label(mask.mask)[1] == 1
        edges = (mask.mask[0], mask.mask[-1], mask.mask[:, 0], mask.mask[:, -1])
        assert all(edge.any() for edge in edges)
        assert not (full(mask) & ~union).any()


def test_disjoint_connected_masks_come_back_as_they_are():
    masks = [block(0, 0, 3, 4, 0.2), block(5, 5, 2, 2, 0.9)]
    resolved = resolve_overlaps(masks, SHAPE)
    assert [m.box_yxyx for m in resolved] == [(5, 5, 7, 7), (0, 0, 3, 4)]


def test_overlap_is_measured_against_the_masks_own_area():
    better, worse = block(0, 0, 4, 4, 0.9), block(2, 0, 4, 4, 0.8)  # half of each is shared
    kept = resolve_overlaps([worse, better], SHAPE, max_overlap=0.5)
    assert [m.box_yxyx for m in kept] == [(0, 0, 4, 4), (4, 0, 6, 4)]
    dropped = resolve_overlaps([worse, better], SHAPE, max_overlap=0.49)
    assert [m.box_yxyx for m in dropped] == [(0, 0, 4, 4)]


def test_only_the_largest_free_piece_is_kept():
    bar, cut = block(5, 0, 1, 10, 0.5), block(4, 6, 3, 1, 0.9)
    resolved = resolve_overlaps([bar, cut], SHAPE)
    assert [m.box_yxyx for m in resolved] == [(4, 6, 7, 7), (5, 0, 6, 6)]


def test_small_results_are_dropped_and_free_their_pixels():
    small, large = block(0, 0, 1, 3, 0.9), block(0, 0, 4, 4, 0.5)
    resolved = resolve_overlaps([small, large], SHAPE, min_area=4)
    assert [m.area for m in resolved] == [16]


def test_an_instance_knows_its_place():
    mask = InstanceMask((2, 3), np.array([[True, False, True]]), 0.5, 1, 0.25)
    assert mask.area == 2
    assert mask.box_yxyx == (2, 3, 3, 6)
    moved = mask.shifted(10, -1)
    assert moved.box_yxyx == (12, 2, 13, 5)
    assert (moved.score, moved.class_id, moved.predicted_iou) == (0.5, 1, 0.25)


@pytest.mark.parametrize("mask", [np.ones((2, 2)), np.ones((1, 2, 2), dtype=bool)])
def test_masks_that_are_not_bool_planes_are_refused(mask):
    with pytest.raises(LabelsError, match="bool"):
        InstanceMask((0, 0), mask, 1.0, 0, 1.0)


@pytest.mark.parametrize(("min_area", "kept"), [(6, 1), (7, 0)])
def test_a_mask_of_just_the_least_area_is_kept(min_area, kept):
    mask = InstanceMask((2, 3), np.ones((2, 3), bool), 0.5, 0, 0.5)
    assert len(resolve_overlaps([mask], (10, 10), min_area=min_area)) == kept
