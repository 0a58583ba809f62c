"""Who is looked at first, and why."""

import math
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_uninuc.core.edits import Edit
from napari_uninuc.core.labels import LabelMap
from napari_uninuc.core.nuclei import Nucleus, Status
from napari_uninuc.core.review import Progress, ReviewQueue
from napari_uninuc.core.uncertainty import ReviewWeights, SizeScale, Uncertainty, uncertainty
from napari_uninuc.core.verbs import delete, set_status
from napari_uninuc.errors import LabelsError, RecipeError
from napari_uninuc.testing import make_label_map


def row_of(id_, score=0.9, iou=0.8, status=Status.AUTOMATIC, box=None):
    return Nucleus(id_, 0, score, iou, status, box)


def one_nucleus(where, row, shape=(40, 40)):
    labels = np.zeros(shape, int)
    labels[where] = row.id
    return LabelMap.from_labels(labels, {row.id: row})


MIDDLE = (slice(10, 20), slice(10, 30))


class TestTerms:
    def terms(self, row, where=MIDDLE):
        labels = one_nucleus(where, row)
        return uncertainty(labels, row.id, SizeScale.of([labels.area(row.id)]))

    def test_each_term_is_its_doubt(self):
        found = self.terms(row_of(3, 0.7, 0.4, box=(10, 10, 20, 20)))
        assert found.terms() == pytest.approx(
            {
                "score": 0.3,
                "predicted_iou": 0.6,
                "disagreement": 0.5,
                "border": 0,
                "size": 0,
                "class_doubt": 0,
            }
        )

    def test_what_is_unknown_is_no_reason(self):
        assert self.terms(row_of(3, math.nan, math.nan)) == Uncertainty(0, 0, 0, 0, 0)

    def test_what_a_person_drew_is_not_doubted_for_the_model(self):
        drawn = row_of(3, 0.1, 0.1, Status.EDITED, (0, 0, 5, 5))
        assert self.terms(drawn) == Uncertainty(0, 0, 0, 0, 0)

    @pytest.mark.parametrize(
        "where",
        [
            (slice(0, 5), slice(9, 15)),
            (slice(9, 15), slice(0, 5)),
            (slice(35, 40), slice(9, 15)),
            (slice(9, 15), slice(35, 40)),
        ],
    )
    def test_every_side_of_the_tile_is_a_border(self, where):
        assert self.terms(row_of(3), where).border == 1

    def test_one_pixel_from_the_border_is_inside(self):
        assert self.terms(row_of(3), (slice(1, 39), slice(1, 39))).border == 0

    def test_a_detected_box_is_cut_to_the_tile_before_it_is_compared(self):
        found = self.terms(row_of(3, box=(-5, -5, 5, 5)), (slice(0, 5), slice(0, 5)))
        assert found.disagreement == 0

    def test_a_box_elsewhere_disagrees_wholly(self):
        assert self.terms(row_of(3, box=(30, 30, 35, 35))).disagreement == 1

    def test_size_is_strange_both_ways(self):
        scale = SizeScale.of([90, 100, 100, 110, 120])
        assert scale.strangeness(100) == 0
        assert 0 < scale.strangeness(130) < scale.strangeness(400) == 1
        assert scale.strangeness(20) == 1

    def test_equal_sizes_do_not_make_a_pixel_strange(self):
        assert SizeScale.of([100] * 50).strangeness(101) < 0.05


class TestTotal:
    def test_it_is_the_weighted_mean(self):
        weights = ReviewWeights(3, 1, 0, 0, 0, 0)
        found = Uncertainty(0.2, 0.6, 1, 1, 1, 1)
        assert found.total(weights) == pytest.approx(0.3)
        assert found.main_reason(weights) in ("score", "predicted_iou")
        assert found.main_reason(ReviewWeights(1, 0, 0, 2, 0, 0)) == "border"

    @pytest.mark.parametrize("bad", [(-1, 1, 1, 1, 1), (0, 0, 0, 0, 0, 0), (math.nan, 1, 1, 1, 1)])
    def test_weights_must_weigh(self, bad):
        with pytest.raises(RecipeError, match="review weights"):
            ReviewWeights(*bad)

    @given(st.lists(st.floats(0, 1), min_size=6, max_size=6))
    def test_it_lies_between_0_and_1(self, values):
        assert -1e-9 <= Uncertainty(*values).total(ReviewWeights()) <= 1 + 1e-9


@pytest.fixture
def labels():
    return make_label_map((200, 200), 30)


@pytest.fixture
def queue(labels):
    made = ReviewQueue(labels)
    labels.changed.connect(lambda edit: made.update(edit.ids))
    return made


def test_the_most_doubtful_is_first(queue, labels):
    order = queue.order()
    assert sorted(order) == sorted(labels.nuclei)
    totals = [queue.uncertainty_of(id_).total(queue.weights) for id_ in order]
    assert totals == sorted(totals, reverse=True)
    assert totals[0] > totals[-1]


def test_weights_decide(labels):
    by_score = ReviewQueue(labels, ReviewWeights(1, 0, 0, 0, 0)).order()
    scores = [labels.nuclei[id_].score for id_ in by_score]
    assert scores == sorted(scores)


def test_first_and_last_can_be_asked_for_besides_some(queue):
    order = queue.order()
    assert (queue.first(), queue.last()) == (order[0], order[-1])
    assert queue.first(order[:3]) == order[3]
    assert queue.last({order[-1]}) == order[-2]
    assert (queue.first(order), queue.last(order)) == (None, None)


def test_reviewed_ones_leave(queue, labels):
    order = queue.order()
    assert str(queue.progress) == f"0 / {len(order)} reviewed"
    labels.apply(set_status(labels, [order[4]], Status.REVIEWED))
    assert queue.progress == Progress(1, len(order))
    assert len(queue) == len(order) - 1
    assert order[4] not in queue.order()
    assert not queue.waits(order[4])
    assert queue.is_visible(order[4])
    assert queue.uncertainty_of(order[4]).total(queue.weights) > 0


def test_deleted_ones_leave_too(queue, labels):
    order = queue.order()
    labels.apply(delete(labels, [order[4]]))
    assert not queue.is_visible(order[4])
    assert queue.progress == (0, len(order) - 1)
    with pytest.raises(LabelsError, match="not in the review"):
        queue.uncertainty_of(order[4])


def test_undo_brings_back_the_very_order(queue, labels):
    order = queue.order()
    for edit in (set_status(labels, order[:2], Status.REVIEWED), delete(labels, order[5:7])):
        labels.apply(edit)
        assert queue.order() != order
        labels.apply(edit.inverse())
        assert queue.order() == order


def test_hidden_ones_do_not_wait(queue, labels):
    order = queue.order()
    id_ = order[3]
    y0, x0, y1, x1 = labels.box(id_)
    before = labels.pixels[y0:y1, x0:x1].copy()
    row = labels.nuclei[id_]
    hidden = replace(row, status=Status.HIDDEN)
    labels.apply(
        Edit(
            "filter",
            (y0, x0),
            before,
            np.where(before == id_, 0, before).astype(np.int32),
            {id_: row},
            {id_: hidden},
        )
    )
    assert queue.order() == order[:3] + order[4:]
    assert queue.progress.total == len(order) - 1


def test_what_a_person_corrected_goes_back_in_the_queue(queue, labels):
    order = queue.order()
    first = order[0]
    labels.apply(set_status(labels, [first], Status.EDITED))
    assert queue.order().index(first) > len(order) // 2


def test_an_empty_queue_has_no_next():
    queue = ReviewQueue(LabelMap((20, 20)))
    assert (queue.first(), queue.last(), queue.waits(7)) == (None, None, False)
    assert queue.order() == []
    assert queue.progress == (0, 0)


STATUSES = st.sampled_from([Status.REVIEWED, Status.AUTOMATIC, Status.EDITED])


@given(st.lists(st.tuples(st.integers(0, 39), STATUSES | st.none()), max_size=30))
def test_step_by_step_is_as_good_as_afresh(changes):
    labels = make_label_map((220, 220), 40)
    ids = sorted(labels.nuclei)
    weights = ReviewWeights(size=0.0)  # what size is usual is asked anew now and then only
    queue = ReviewQueue(labels, weights)
    for index, status in changes:
        id_ = ids[index]
        if id_ not in labels.nuclei:
            continue
        edit = delete(labels, [id_]) if status is None else set_status(labels, [id_], status)
        if edit is not None:
            labels.apply(edit)
            queue.update(edit.ids)
            queue.first()  # settles
    fresh = ReviewQueue(labels, weights)
    assert queue.order() == fresh.order()
    assert queue.progress == fresh.progress


def test_ten_thousand_nuclei_stay_cheap():
    """A change among 10,000 costs next to nothing beside making the queue."""
    side, n_changes = 100, 80
    pixels = np.kron(np.arange(1, side**2 + 1).reshape(side, side), np.ones((6, 6), int))
    labels = np.pad(pixels, 2)
    rng = np.random.default_rng(0)
    rows = {i: row_of(i, float(s)) for i, s in enumerate(rng.uniform(0, 1, side**2), start=1)}
    queue = ReviewQueue(LabelMap.from_labels(labels, rows))
    began = time.process_time()
    queue.order()
    made = time.process_time() - began
    began = time.process_time()
    for id_ in range(1, 1 + n_changes):
        queue.update([id_])
        queue.first()
    assert time.process_time() - began < made
