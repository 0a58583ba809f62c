"""Random label maps and random edits of them, for every property of verbs and history."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_uninuc.core import verbs
from napari_uninuc.core.edits import Edit
from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.labels import LabelMap
from napari_uninuc.core.nuclei import Nucleus, Status

SHAPE = (14, 16)
SCORES = (0.1, 0.3, 0.5, 0.7, 0.9)

masks = st.builds(
    InstanceMask,
    origin_yx=st.tuples(st.integers(-5, 15), st.integers(-5, 17)),
    mask=hnp.arrays(np.bool_, st.tuples(st.integers(1, 8), st.integers(1, 8))),
    score=st.sampled_from(SCORES),
    class_id=st.integers(0, 3),
    predicted_iou=st.just(0.5),
)
VISIBLE = (Status.AUTOMATIC, Status.EDITED, Status.REVIEWED)


@dataclass(frozen=True)
class Gesture:
    """An edit and the nuclei it was asked to change; new ones and None edits are in neither."""

    edit: Edit | None
    asked: frozenset[int]


class Scene:
    """A label map, the whole masks of its automatic nuclei, and random gestures on it."""

    def __init__(self, draw: Callable) -> None:
        self.draw = draw
        labels = np.zeros(SHAPE, dtype=np.int32)
        for id_ in range(2, 2 + draw(st.integers(0, 4))):
            y, x = draw(st.integers(0, 12)), draw(st.integers(0, 14))
            labels[y : y + draw(st.integers(1, 7)), x : x + draw(st.integers(1, 7))] = 3 * id_
        specks = draw(st.lists(st.tuples(st.integers(0, 13), st.integers(0, 15)), max_size=8))
        for y, x in specks:  # holes, crumbs and a nucleus in pieces
            labels[y, x] = 0 if labels[y, x] else 1
        rows = {
            int(id_): Nucleus(int(id_), 0, draw(st.sampled_from(SCORES)), math.nan, status)
            for id_ in np.unique(labels[labels > 0])
            for status in [draw(st.sampled_from(VISIBLE))]
        }
        self.labels = LabelMap.from_labels(labels, rows)
        self.candidates = {
            id_: self.labels.mask(id_)
            for id_, row in rows.items()
            if row.status is Status.AUTOMATIC
        }

    def ids(self, at_least: int = 0) -> list[int]:
        visible = [id_ for id_, row in self.labels.nuclei.items() if row.visible]
        if len(visible) < at_least:
            return []
        return self.draw(
            st.lists(st.sampled_from(visible), min_size=max(at_least, 1), max_size=4, unique=True)
            if visible
            else st.just([])
        )

    def gesture(self) -> Gesture:
        """Make the edit of a random verb, preferably one that does something; apply nothing."""
        on_one = (self._refine, self._by_line, self._by_points)
        on_many = (self._delete, self._merge, self._class, self._review, self._fill, self._smooth)
        on_all = (self._automatic, self.move_filter, self._delete_automatic)
        for _ in range(3):
            made = self.draw(st.sampled_from((self._add, self._paint, *on_one, *on_many, *on_all)))
            gesture = made()
            if gesture.edit is not None:
                break
        return gesture

    def _add(self) -> Gesture:
        mask = self.draw(masks)
        return Gesture(verbs.add_nucleus(self.labels, mask, 2), frozenset())

    def _one(self, verb: Callable[[int], Edit | None]) -> Gesture:
        ids = self.ids(at_least=1)[:1]
        return Gesture(verb(ids[0]) if ids else None, frozenset(ids))

    def _many(self, verb: Callable[[list[int]], Edit | None]) -> Gesture:
        ids = self.ids()
        return Gesture(verb(ids), frozenset(ids))

    def _refine(self) -> Gesture:
        mask = self.draw(masks)
        return self._one(lambda id_: verbs.refine(self.labels, id_, mask))

    def _position(self) -> tuple[float, float]:
        return self.draw(st.tuples(st.floats(-2, 16), st.floats(-2, 18)))

    def _by_line(self) -> Gesture:
        start, end = self._position(), self._position()
        if start == end:
            return Gesture(None, frozenset())
        return self._one(lambda id_: verbs.split_by_line(self.labels, id_, start, end))

    def _by_points(self) -> Gesture:
        points = [self._position() for _ in range(self.draw(st.integers(2, 4)))]
        return self._one(lambda id_: verbs.split_by_points(self.labels, id_, points))

    def _delete(self) -> Gesture:
        return self._many(lambda ids: verbs.delete(self.labels, ids))

    def _merge(self) -> Gesture:
        return self._many(lambda ids: verbs.merge(self.labels, ids))

    def _class(self) -> Gesture:
        class_id = self.draw(st.integers(0, 3))
        return self._many(lambda ids: verbs.set_class(self.labels, ids, class_id))

    def _review(self) -> Gesture:
        status = self.draw(st.sampled_from(VISIBLE[1:]))
        return self._many(lambda ids: verbs.set_status(self.labels, ids, status))

    def _fill(self) -> Gesture:
        return self._many(lambda ids: verbs.fill_holes(self.labels, ids))

    def _smooth(self) -> Gesture:
        return self._many(lambda ids: verbs.smooth(self.labels, ids))

    def _paint(self) -> Gesture:
        y, x = self.draw(st.integers(0, 10)), self.draw(st.integers(0, 12))
        box = (y, x, y + self.draw(st.integers(0, 4)), x + self.draw(st.integers(0, 4)))
        colour = self.draw(st.sampled_from([0, self.labels.next_id, *self.labels.nuclei]))
        after = np.array(self.labels.pixels[box[0] : box[2], box[1] : box[3]])
        stroke = self.draw(hnp.arrays(np.bool_, after.shape, fill=st.just(True)))
        asked = frozenset(after[stroke].tolist()) | {colour}
        after[stroke] = colour
        return Gesture(verbs.paint(self.labels, box, after), asked)

    def _automatic(self) -> Gesture:
        found = self.draw(st.lists(masks, max_size=4))
        first = self.labels.next_id
        self.candidates.update(enumerate(found, start=first))
        edit = verbs.add_automatic(
            self.labels, found, [None] * len(found), self.draw(st.sampled_from([0.0, 0.4])), 2
        )
        return Gesture(edit, frozenset())

    def move_filter(self) -> Gesture:
        threshold = self.draw(st.sampled_from([0.8, 0.4, 0.2, 0.0]))
        edit = verbs.set_filter(
            self.labels, self.candidates, threshold, self.draw(st.integers(0, 6))
        )
        return Gesture(edit, self._models_own())

    def _delete_automatic(self) -> Gesture:
        return Gesture(verbs.delete_automatic(self.labels), self._models_own())

    def _models_own(self) -> frozenset[int]:
        own = (Status.AUTOMATIC, Status.HIDDEN)
        return frozenset(i for i, row in self.labels.nuclei.items() if row.status in own)


@pytest.fixture(scope="session")
def scenes() -> st.SearchStrategy[Scene]:
    return st.composite(Scene)()
