"""The way through the queue while the nuclei on it change."""

from dataclasses import replace

import numpy as np
import pytest

from napari_uninuc.core import verbs
from napari_uninuc.core.edits import Edit
from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.labels import LabelMap
from napari_uninuc.core.nuclei import Status
from napari_uninuc.core.review import ReviewQueue
from napari_uninuc.core.review_walk import ReviewWalk
from napari_uninuc.testing import make_label_map


@pytest.fixture
def labels():
    return make_label_map((240, 240), 40)


@pytest.fixture
def queue(labels):
    made = ReviewQueue(labels)
    labels.changed.connect(lambda edit: made.update(edit.ids))
    return made


@pytest.fixture
def walk(queue):
    return ReviewWalk(queue)


def taken(labels: LabelMap, edit: Edit | None) -> Edit:
    assert edit is not None
    labels.apply(edit)
    return edit


def wider(labels: LabelMap, id_: int) -> InstanceMask:
    found = labels.mask(id_)
    (y, x), mask = found.origin_yx, np.pad(found.mask, 1)
    mask[:-2, 1:-1] |= found.mask
    return replace(found, mask=mask, origin_yx=(y - 1, x - 1))


def halves(labels: LabelMap, id_: int):
    y0, x0, y1, x1 = labels.box(id_)
    middle = (x0 + x1) / 2
    return verbs.split_by_line(labels, id_, (y0 - 2, middle), (y1 + 2, middle))


CHANGES = {
    "outline": lambda labels, id_, _: verbs.refine(labels, id_, wider(labels, id_)),
    "class": lambda labels, id_, _: verbs.set_class(labels, [id_], 1),
    "split": lambda labels, id_, _: halves(labels, id_),
    "delete": lambda labels, id_, _: verbs.delete(labels, [id_]),
    "merge": lambda labels, id_, least: verbs.merge(labels, [id_, least]),
    "merge into another": lambda labels, id_, least: verbs.merge(labels, [least, id_]),
}


@pytest.mark.parametrize("accepted", [True, False], ids=["accepted", "skipped"])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_whatever_is_done_to_one_the_next_most_doubtful_follows(
    walk, queue, labels, change, accepted
):
    order = queue.order()
    for place in range(6):
        id_ = walk.next()
        assert id_ == order[place]
        taken(labels, change(labels, id_, order[-1 - place]))
        if accepted and labels.area(id_):
            taken(labels, verbs.set_status(labels, [id_], Status.REVIEWED))


def test_without_changes_it_goes_through_all_and_round(walk, queue):
    order = queue.order()
    assert walk.current is None
    assert [walk.next() for _ in order] == order
    assert [walk.previous() for _ in order[1:]] == order[-2::-1]
    assert [walk.next() for _ in order[1:]] == order[1:]
    assert walk.next() == order[0], "a new round"
    assert walk.previous() == order[-1]


def test_back_is_what_was_looked_at_before_even_if_accepted_or_corrected(walk, queue, labels):
    order = queue.order()
    for id_ in order[:4]:
        assert walk.next() == id_
        taken(labels, verbs.set_class(labels, [id_], 1))
    taken(labels, verbs.set_status(labels, [order[2]], Status.REVIEWED))
    taken(labels, verbs.delete(labels, [order[1]]))
    assert [walk.previous(), walk.previous()] == [order[2], order[0]]
    # Forward again: what is accepted or gone needs no second look.
    assert [walk.next(), walk.next()] == [order[3], order[4]]


def test_before_the_first_comes_the_last(walk, queue):
    order = queue.order()
    walk.next()
    assert walk.previous() == order[-1]
    assert [walk.next(), walk.next()] == order[:2]


def test_undo_shows_no_nucleus_twice_and_the_round_ends_with_what_it_brought_back(
    walk, queue, labels
):
    order = queue.order()
    first, second = walk.next(), walk.next()
    review = taken(labels, verbs.set_status(labels, [second], Status.REVIEWED))
    assert walk.next() == order[2]
    labels.apply(review.inverse())
    assert [walk.next() for _ in order[3:]] == order[3:]
    assert [walk.next(), walk.next()] == [first, second]


def test_more_doubtful_ones_that_come_later_are_next(walk, queue, labels):
    """As when the sliders show more, or all is outlined anew."""
    order = queue.order()
    hidden = order[:5]
    gone = taken(labels, verbs.delete(labels, hidden))
    assert [walk.next(), walk.next()] == order[5:7]
    labels.apply(gone.inverse())
    assert [walk.next() for _ in range(6)] == [*hidden, order[7]]


def test_the_last_one_and_none(walk, queue, labels):
    *most, last = queue.order()
    taken(labels, verbs.delete(labels, most))
    assert [walk.next(), walk.next(), walk.previous()] == [last] * 3
    taken(labels, verbs.set_status(labels, [last], Status.REVIEWED))
    assert (walk.next(), walk.previous()) == (None, None)
    assert walk.current == last
    taken(labels, verbs.delete(labels, [last]))
    assert (walk.next(), walk.previous()) == (None, None)


def test_a_new_round_does_not_begin_where_one_stands(walk, queue, labels):
    taken(labels, verbs.delete(labels, queue.order()[3:]))
    order = queue.order()
    for id_ in order[:2]:
        assert walk.next() == id_
        taken(labels, verbs.set_class(labels, [id_], 1))  # now behind the third
    assert walk.next() == order[2] == queue.order()[0]
    assert walk.next() in order[:2]
