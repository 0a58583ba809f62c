"""The queue of nuclei to look at, the most doubtful first."""

import math
from bisect import bisect_left, insort
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

from napari_uninuc.core.labels import LabelMap
from napari_uninuc.core.nuclei import Status
from napari_uninuc.core.uncertainty import ReviewWeights, SizeScale, Uncertainty, uncertainty
from napari_uninuc.errors import LabelsError

__all__ = ["Progress", "ReviewQueue"]

_STALE = 0.1
"""What is a usual size is asked again once this share of the nuclei has changed."""

_AT_ONCE = 20
"""Fewer that a person has changed do not count for that: the order is not to shift under the one
who corrects nucleus by nucleus."""

_NOT_BY_HAND = (Status.AUTOMATIC, Status.HIDDEN)

Key = tuple[float, int]


class Progress(NamedTuple):
    """How far a review is: nuclei reviewed, and visible nuclei in all."""

    reviewed: int
    total: int

    def __str__(self) -> str:
        """As in ``312 / 480 reviewed``."""
        return f"{self.reviewed} / {self.total} reviewed"


class ReviewQueue:
    """Visible nuclei that nobody has reviewed, by uncertainty, ids ascending among equals.

    Making it costs O(n log n); a changed nucleus costs O(log n) and a move of pointers. Both are
    paid when the order is next asked for, so that an automatic run is not held up field by field.
    Correcting a nucleus moves it, so a place in the order is nothing to go on from: `ReviewWalk`
    remembers nuclei. It does not listen to the label map: tell it with `update` what has changed.

    Parameters
    ----------
    labels : read, never changed
    weights : of the terms of uncertainty
    urgency : ids that come before all others and how urgent each is, above 2; what two readers
        disagree about, for example
    """

    def __init__(
        self,
        labels: LabelMap,
        weights: ReviewWeights | None = None,
        urgency: Mapping[int, float] | None = None,
    ) -> None:
        self._labels = labels
        self._urgency = {} if urgency is None else urgency
        self._weights = ReviewWeights() if weights is None else weights
        self._class_doubt: Mapping[int, float] = {}
        self._doubt_is_new = False
        self._terms: dict[int, Uncertainty] = {}
        self._places: dict[int, Key] = {}
        self._waiting: list[Key] = []
        self._reviewed: set[int] = set()
        self._changed: set[int] = set()
        self._sizes, self._changes = SizeScale.of(()), 0
        self.update(labels.nuclei)

    @property
    def weights(self) -> ReviewWeights:
        """What the order is made with."""
        return self._weights

    @property
    def progress(self) -> Progress:
        """How far the review is."""
        return Progress(len(self._reviewed), len(self._labels))

    def __len__(self) -> int:
        """Nuclei that wait."""
        return len(self._labels) - len(self._reviewed)

    def order(self) -> list[int]:
        """Ids that wait, the most doubtful first; a copy."""
        self._settle()
        return [id_ for _, id_ in self._waiting]

    def uncertainty_of(self, id_: int) -> Uncertainty:
        """Why a visible nucleus, reviewed or not, is where it is.

        Raises
        ------
        LabelsError
            There is no such nucleus, or it is hidden.
        """
        self._settle()
        if id_ not in self._terms:
            raise LabelsError(f"nucleus {id_} is not in the review; pick one that is visible")
        return self._terms[id_]

    def waits(self, id_: int) -> bool:
        """Whether a nucleus is visible and nobody has reviewed it."""
        return self.is_visible(id_) and id_ not in self._reviewed

    def is_visible(self, id_: int) -> bool:
        """Whether there is such a nucleus to be looked at, reviewed or not."""
        row = self._labels.nuclei.get(id_)
        return row is not None and row.visible

    def first(self, besides: Collection[int] = ()) -> int | None:
        """The most doubtful nucleus that waits, apart from some; None where none is left."""
        self._settle()
        return next((id_ for _, id_ in self._waiting if id_ not in besides), None)

    def last(self, besides: Collection[int] = ()) -> int | None:
        """The least doubtful nucleus that waits, apart from some; None where none is left."""
        self._settle()
        return next((id_ for _, id_ in reversed(self._waiting) if id_ not in besides), None)

    def update(self, ids: Iterable[int]) -> None:
        """Take note that these nuclei came, went or changed; `progress` follows at once."""
        rows = self._labels.nuclei
        for id_ in ids:
            row = rows.get(id_)
            if row is not None and row.status is Status.REVIEWED:
                self._reviewed.add(id_)
            else:
                self._reviewed.discard(id_)
            self._changed.add(id_)

    def take_class_doubt(self, doubt: Mapping[int, float]) -> None:
        """Take how doubtful classes are, by id, in [0, 1]; those not named are in no doubt.

        What waits is sorted anew when the order is next asked for.
        """
        self._class_doubt = doubt
        self._doubt_is_new = True

    def _settle(self) -> None:
        """Put every nucleus that has changed where it belongs."""
        resort, self._doubt_is_new = self._doubt_is_new, False
        if not self._changed and not resort:
            return
        changed, self._changed = sorted(self._changed), set()
        self._changes += len(changed) if len(changed) > _AT_ONCE else self._automatic(changed)
        for id_ in changed:
            row = self._labels.nuclei.get(id_)
            if row is not None and row.visible:
                terms = uncertainty(self._labels, id_, self._sizes)
                self._terms[id_] = replace(terms, class_doubt=self._class_doubt_of(id_))
            else:
                self._terms.pop(id_, None)
        if self._changes > _STALE * len(self._terms) or math.isinf(self._sizes.spread):
            self._rescale()
        elif not resort:
            for id_ in changed:
                self._move(id_)
        if resort:
            self._take_doubt()

    def _class_doubt_of(self, id_: int) -> float:
        said = self._labels.nuclei[id_].class_said
        return 0.0 if said else self._class_doubt.get(id_, 0.0)

    def _take_doubt(self) -> None:
        """Look at what is in doubt of every class, and sort."""
        for id_, terms in self._terms.items():
            doubt = self._class_doubt_of(id_)
            if doubt != terms.class_doubt:
                self._terms[id_] = terms = replace(terms, class_doubt=doubt)
            self._places[id_] = self._key(id_, terms)
        self._sort()

    def _automatic(self, ids: Iterable[int]) -> int:
        """Count those that the model or the filter has changed."""
        rows = (self._labels.nuclei.get(id_) for id_ in ids)
        return sum(row is not None and row.status in _NOT_BY_HAND for row in rows)

    def _move(self, id_: int) -> None:
        old, terms = self._places.get(id_), self._terms.get(id_)
        if old is not None:
            index = bisect_left(self._waiting, old)
            if index < len(self._waiting) and self._waiting[index] == old:
                del self._waiting[index]
        if terms is not None:
            self._places[id_] = self._key(id_, terms)
            if id_ not in self._reviewed:
                insort(self._waiting, self._places[id_])

    def _rescale(self) -> None:
        """Ask anew what size is usual, and sort."""
        areas = {id_: self._labels.area(id_) for id_ in self._terms}
        self._sizes, self._changes = SizeScale.of(areas.values()), 0
        for id_, terms in self._terms.items():
            size = self._sizes.strangeness(areas[id_])
            if size != terms.size:
                self._terms[id_] = terms = replace(terms, size=size)
            self._places[id_] = self._key(id_, terms)
        self._sort()

    def _sort(self) -> None:
        self._waiting = sorted(self._places[i] for i in self._terms if i not in self._reviewed)

    def _key(self, id_: int, terms: Uncertainty) -> Key:
        return -self._urgency.get(id_, terms.total(self._weights)), id_
