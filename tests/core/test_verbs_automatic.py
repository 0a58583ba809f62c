from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_uninuc.core import verbs
from napari_uninuc.core.instances import InstanceMask, resolve_overlaps
from napari_uninuc.core.labels import LabelMap
from napari_uninuc.core.nuclei import Status
from napari_uninuc.errors import LabelsError

SHAPE = (14, 16)
THRESHOLDS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)

found_masks = st.lists(
    st.builds(
        InstanceMask,
        origin_yx=st.tuples(st.integers(-3, 12), st.integers(-3, 14)),
        mask=hnp.arrays(
            np.bool_, st.tuples(st.integers(2, 8), st.integers(2, 8)), fill=st.just(True)
        ),
        score=st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.9]),
        class_id=st.integers(0, 2),
        predicted_iou=st.just(0.5),
    ),
    max_size=8,
)
filters = st.tuples(st.sampled_from(THRESHOLDS), st.integers(0, 12))


def block(y, x, height, width, score):
    return InstanceMask((y, x), np.ones((height, width), dtype=bool), score, 0, 1.0)


def run(masks, labels=None, **settings):
    """Apply an automatic run; returns the map and the whole masks of what it holds."""
    labels = LabelMap(SHAPE) if labels is None else labels
    first = labels.next_id
    edit = verbs.add_automatic(labels, masks, [None] * len(masks), **settings)
    if edit is not None:
        labels.apply(edit)
    return labels, {i: m for i, m in enumerate(masks, start=first) if i in labels.nuclei}


def move(labels, candidates, threshold, min_area):
    edit = verbs.set_filter(labels, candidates, threshold, min_area)
    if edit is not None:
        labels.apply(edit)


def painted(candidates, threshold=0.0, min_area=0):
    """What a run at this filter would paint, by the rule that the headless engine uses."""
    passing = [
        replace(mask, predicted_iou=float(id_))
        for id_, mask in candidates.items()
        if mask.score >= threshold
    ]
    picture = np.zeros(SHAPE, dtype=np.int32)
    for mask in resolve_overlaps(passing, SHAPE, min_area=min_area):
        y0, x0, y1, x1 = mask.box_yxyx
        picture[y0:y1, x0:x1][mask.mask] = int(mask.predicted_iou)
    return picture


@given(found_masks)
def test_a_run_paints_what_the_headless_engine_paints(masks):
    labels, candidates = run(masks)
    np.testing.assert_array_equal(labels.pixels, painted(dict(enumerate(masks, start=1))))
    assert set(candidates) == set(np.unique(labels.pixels)) - {0}
    for id_, row in labels.nuclei.items():
        assert row.status is Status.AUTOMATIC
        assert (row.score, row.class_id) == (masks[id_ - 1].score, masks[id_ - 1].class_id)


@given(found_masks, st.lists(st.sampled_from(THRESHOLDS), min_size=1, max_size=5))
def test_filtering_is_exact(masks, thresholds):
    labels, candidates = run(masks)
    for threshold in thresholds:
        move(labels, candidates, threshold, 0)
        expected = painted(dict(enumerate(masks, start=1)), threshold)
        np.testing.assert_array_equal(labels.pixels, expected)


@given(found_masks, st.lists(filters, min_size=1, max_size=5))
def test_the_picture_depends_on_the_sliders_and_not_on_the_way_there(masks, path):
    labels, candidates = run(masks)
    for threshold, min_area in path:
        move(labels, candidates, threshold, min_area)
        np.testing.assert_array_equal(labels.pixels, painted(candidates, threshold, min_area))
        visible = {i for i, row in labels.nuclei.items() if row.status is Status.AUTOMATIC}
        assert visible == set(np.unique(labels.pixels)) - {0}


@given(found_masks, filters)
def test_a_run_with_a_filter_is_a_run_and_then_the_filter(masks, setting):
    threshold, min_area = setting
    at_once, _ = run(masks, threshold=threshold, min_area_px=min_area)
    later, candidates = run(masks)
    move(later, candidates, threshold, min_area)
    np.testing.assert_array_equal(at_once.pixels, later.pixels)
    assert dict(at_once.nuclei) == dict(later.nuclei)


def test_a_run_fills_around_what_is_there_and_drops_what_is_mostly_taken():
    labels = LabelMap(SHAPE)
    labels.apply(verbs.add_nucleus(labels, block(0, 0, 4, 4, 1.0), 0))
    labels.apply(verbs.set_status(labels, [1], Status.REVIEWED))
    labels, _ = run([block(0, 0, 4, 7, 0.9), block(2, 0, 4, 4, 0.9)], labels)
    assert set(labels.nuclei) == {1, 3}
    assert labels.area(1) == 16
    assert labels.box(3) == (4, 0, 6, 4)


def test_boxes_are_kept_for_review_and_must_match():
    labels = LabelMap(SHAPE)
    box = (0.5, 0.5, 3.0, 3.0)
    labels.apply(verbs.add_automatic(labels, [block(0, 0, 3, 3, 0.9)], [box]))
    assert labels.nuclei[1].detected_box_yxyx == box
    with pytest.raises(LabelsError, match="box"):
        verbs.add_automatic(labels, [block(0, 0, 3, 3, 0.9)], [])
    assert verbs.add_automatic(labels, [], []) is None


def test_the_filter_leaves_a_persons_work_alone():
    masks = [block(0, 3 * k, 3, 3, 0.1) for k in range(4)]
    labels, candidates = run(masks)
    labels.apply(verbs.set_class(labels, [1], 2))
    labels.apply(verbs.set_status(labels, [2], Status.REVIEWED))
    labels.apply(verbs.refine(labels, 3, block(0, 6, 5, 3, 0.1)))
    move(labels, candidates, 1.0, 100)
    assert [labels.area(i) for i in (1, 2, 3, 4)] == [9, 9, 15, 0]
    assert labels.nuclei[4].status is Status.HIDDEN


def test_automatic_nuclei_without_a_whole_mask_are_left_alone():
    labels, _ = run([block(0, 0, 3, 3, 0.1)])
    assert verbs.set_filter(labels, {}, 1.0, 0) is None


def test_what_a_person_draws_over_a_hidden_nucleus_stays():
    labels, candidates = run([block(0, 0, 4, 4, 0.3), block(8, 8, 4, 4, 0.3)])
    move(labels, candidates, 0.5, 0)
    labels.apply(verbs.add_nucleus(labels, block(0, 0, 4, 3, 1.0), 0))  # over most of 1
    labels.apply(verbs.add_nucleus(labels, block(8, 8, 4, 1, 1.0), 0))  # over some of 2
    move(labels, candidates, 0.0, 0)
    assert [labels.area(i) for i in (1, 2, 3, 4)] == [0, 12, 12, 4]


def test_a_deleted_nucleus_does_not_come_back():
    labels, candidates = run([block(0, 0, 4, 4, 0.3), block(8, 8, 4, 4, 0.9)])
    labels.apply(verbs.delete(labels, [1]))
    move(labels, candidates, 0.5, 0)
    move(labels, candidates, 0.0, 0)
    assert set(labels.nuclei) == {2}


def test_moving_the_filter_far_away_does_not_redraw_a_nucleus():
    """Nucleus 2 was cut by 1. Once 1 is deleted, only what comes and goes beside 2 moves it."""
    masks = [block(0, 0, 4, 4, 0.9), block(0, 2, 4, 6, 0.8), block(10, 10, 3, 3, 0.2)]
    labels, candidates = run(masks)
    labels.apply(verbs.delete(labels, [1]))
    move(labels, candidates, 0.5, 0)
    assert labels.area(2) == 16


def test_deleting_the_models_own_takes_hidden_ones_too():
    labels, candidates = run(
        [block(0, 0, 3, 3, 0.1), block(6, 6, 3, 3, 0.9), block(10, 0, 3, 3, 0.9)]
    )
    move(labels, candidates, 0.5, 0)
    labels.apply(verbs.set_status(labels, [3], Status.REVIEWED))
    labels.apply(verbs.delete_automatic(labels))
    assert set(labels.nuclei) == {3}
    assert verbs.delete_automatic(labels) is None
