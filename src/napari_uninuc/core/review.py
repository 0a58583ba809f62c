"""The queue of nuclei to look at, the most doubtful first."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from napari_uninuc.core.labels import LabelMap
from napari_uninuc.core.nuclei import Status
from napari_uninuc.core.uncertainty import ReviewWeights, SizeScale, Uncertainty, uncertainty
from napari_uninuc.errors import LabelsError

__all__ = ["Progress", "ReviewQueue"]

_STALE = 0.1
"""What is a usual size is asked again once this share of the nuclei has changed."""

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
    Places outlive their nuclei: `next` from one that was just reviewed or deleted goes on from
    where it stood. It does not listen to the label map: tell it with `update` what has changed.

    Parameters
    ----------
    labels : read, never changed
    weights : of the terms of uncertainty
    """

    def __init__(self, labels: LabelMap, weights: ReviewWeights | None = None) -> None:
        self._labels = labels
        self._weights = ReviewWeights() if weights is None else weights
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

    def next(self, current: int | None = None) -> int | None:
        """The nucleus after the current one, round to the first after the last.

        Parameters
        ----------
        current : may have left the queue; None, or one never in it, starts at the first

        Returns
        -------
        id_ : None when nothing waits
        """
        place = self._place(current)
        index = 0 if place is None else bisect_right(self._waiting, place)
        return self._waiting[index % len(self._waiting)][1] if self._waiting else None

    def previous(self, current: int | None = None) -> int | None:
        """The nucleus before the current one, round to the last before the first; see `next`."""
        place = self._place(current)
        index = 0 if place is None else bisect_left(self._waiting, place)
        return self._waiting[index - 1][1] if self._waiting else None

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

    def _place(self, id_: int | None) -> Key | None:
        self._settle()
        return None if id_ is None else self._places.get(id_)

    def _settle(self) -> None:
        """Put every nucleus that has changed where it belongs."""
        if not self._changed:
            return
        changed, self._changed = sorted(self._changed), set()
        self._changes += len(changed)
        for id_ in changed:
            row = self._labels.nuclei.get(id_)
            if row is not None and row.visible:
                self._terms[id_] = uncertainty(self._labels, id_, self._sizes)
            else:
                self._terms.pop(id_, None)
        if self._changes > _STALE * len(self._terms):
            self._rescale()
        else:
            for id_ in changed:
                self._move(id_)

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
        self._waiting = sorted(self._places[i] for i in self._terms if i not in self._reviewed)

    def _key(self, id_: int, terms: Uncertainty) -> Key:
        return -terms.total(self._weights), id_
