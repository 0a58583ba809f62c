"""Pixels of many nuclei as runs: some twenty numbers a nucleus say what hundreds of pixels do.

Whatever is asked of thousands of nuclei at once (their boxes, which of them share a pixel, their
outlines) is a few operations on these columns and no work in Python for each nucleus.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

__all__ = ["Runs", "runs_of_crops", "spans"]

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """The pixels of n nuclei, row by row and from left to right.

    Attributes
    ----------
    starts : (n + 1,) int64; those of nucleus k are ``starts[k]:starts[k + 1]``, at least one
    y : (m,) int64 px
    x0, x1 : (m,) int64 px; the run has the pixels ``x0 <= x < x1``, and there is a gap to the next
    """

    starts: Ints
    y: Ints
    x0: Ints
    x1: Ints

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to other processes as a quarter of the bytes: from each nucleus's first run on."""
        y, x = self.y[self.starts[:-1]], self.x0[self.starts[:-1]]
        steps = (
            self.y - np.repeat(y, self.counts),
            self.x0 - np.repeat(x, self.counts),
            self.x1 - self.x0,
        )
        least = max(int(np.abs(each).max(initial=0)) for each in steps)
        kind = np.int16 if least < 2**15 else np.int64
        return _arrived, (self.counts, y, x, *(each.astype(kind) for each in steps))

    @classmethod
    def none(cls) -> Self:
        """Begin with no nuclei."""
        return cls(np.zeros(1, np.int64), *(np.zeros(0, np.int64) for _ in range(3)))

    @classmethod
    def joined(cls, parts: Sequence["Runs"]) -> Self:
        """Put nuclei of several one after the other."""
        counts = np.concatenate([np.zeros(0, np.int64), *(each.counts for each in parts)])
        columns = ([getattr(each, name) for each in parts] for name in ("y", "x0", "x1"))
        empty = np.zeros(0, np.int64)
        return cls(_starts(counts), *(np.concatenate([empty, *column]) for column in columns))

    @property
    def counts(self) -> Ints:
        """(n,) runs of each nucleus."""
        return np.diff(self.starts)

    @property
    def owner(self) -> Ints:
        """(m,) whose run each is, 0 to n - 1."""
        return np.repeat(np.arange(len(self)), self.counts)

    @property
    def areas(self) -> Ints:
        """(n,) px of each nucleus."""
        ends = np.concatenate([[0], np.cumsum(self.x1 - self.x0)])
        return np.asarray(ends[self.starts[1:]] - ends[self.starts[:-1]])

    @property
    def boxes(self) -> Ints:
        """(n, 4) tight half-open boxes yxyx, px."""
        if not len(self):
            return np.zeros((0, 4), np.int64)
        first, last = self.starts[:-1], self.starts[1:] - 1
        left, right = np.minimum.reduceat(self.x0, first), np.maximum.reduceat(self.x1, first)
        return np.stack([self.y[first], left, self.y[last] + 1, right], axis=1)

    def take(self, chosen: npt.NDArray[Any]) -> "Runs":
        """Nuclei by their places, in that order; a (n,) bool mask is taken too."""
        if chosen.dtype == np.bool_:
            chosen = np.flatnonzero(chosen)
        counts = self.counts[chosen]
        at = spans(self.starts[:-1][chosen], counts)
        return Runs(_starts(counts), self.y[at], self.x0[at], self.x1[at])

    def moved(self, dy: Ints, dx: Ints) -> "Runs":
        """Move nucleus k by (dy[k], dx[k]) px."""
        down, right = np.repeat(dy, self.counts), np.repeat(dx, self.counts)
        return Runs(self.starts, self.y + down, self.x0 + right, self.x1 + right)

    def cut(self, box_yxyx: tuple[int, int, int, int]) -> tuple["Runs", npt.NDArray[np.bool_]]:
        """Cut to a box.

        Returns
        -------
        inside : nuclei of which something is left
        kept : (n,) bool, which these are
        """
        top, left, bottom, right = box_yxyx
        x0, x1 = np.maximum(self.x0, left), np.minimum(self.x1, right)
        inside = (self.y >= top) & (self.y < bottom) & (x0 < x1)
        if inside.all():
            return Runs(self.starts, self.y, x0, x1), np.ones(len(self), np.bool_)
        before = np.concatenate([[0], np.cumsum(inside)])
        counts = before[self.starts[1:]] - before[self.starts[:-1]]
        kept = counts > 0
        return Runs(_starts(counts[kept]), self.y[inside], x0[inside], x1[inside]), kept

    def pixels(self) -> tuple[Ints, Ints, Ints]:
        """Every pixel, row by row: (N,) whose it is, y and x."""
        lengths = self.x1 - self.x0
        owner, y = np.repeat(self.owner, lengths), np.repeat(self.y, lengths)
        return owner, y, spans(self.x0, lengths)

    def crops(self) -> list[npt.NDArray[np.bool_]]:
        """Tight crops, (h, w) bool each."""
        boxes = self.boxes
        heights, widths = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
        first = _starts(heights * widths)
        bits = np.zeros(int(first[-1]), np.bool_)
        owner = self.owner
        at = first[owner] + (self.y - boxes[owner, 0]) * widths[owner] - boxes[owner, 1]
        bits[spans(at + self.x0, self.x1 - self.x0)] = True
        sides = zip(first.tolist(), first[1:].tolist(), widths.tolist(), strict=False)
        return [bits[start:end].reshape(-1, width) for start, end, width in sides]

    def plain(self) -> npt.NDArray[np.bool_]:
        """Which nuclei are one piece with one run a row: (n,) bool; such have no holes."""
        if not len(self):
            return np.zeros(0, np.bool_)
        goes_on = np.ones(len(self.y), np.bool_)
        goes_on[1:] = (
            (self.y[1:] == self.y[:-1] + 1)
            & (self.x0[1:] < self.x1[:-1])
            & (self.x0[:-1] < self.x1[1:])
        )
        goes_on[self.starts[:-1]] = True
        return np.asarray(np.logical_and.reduceat(goes_on, self.starts[:-1]))

    def clashing(self) -> npt.NDArray[np.bool_]:
        """Which nuclei share a pixel with another: (n,) bool."""
        shared = np.zeros(len(self), np.bool_)
        if len(self) < 2:
            return shared
        low = int(self.x0.min())
        width = int(self.x1.max()) - low + 1
        row = self.y * width - low
        order = np.argsort(row + self.x0, kind="stable")
        first, end = (row + self.x0)[order], (row + self.x1)[order]
        met = np.zeros(len(order), np.bool_)
        met[1:] = first[1:] < np.maximum.accumulate(end)[:-1]  # by one that begins before it
        met[:-1] |= first[1:] < end[:-1]  # by one that begins after it
        shared[self.owner[order[met]]] = True
        return shared


def _arrived(counts: Ints, y: Ints, x: Ints, dy: Any, dx: Any, lengths: Any) -> Runs:
    """Make them of what `Runs.__reduce__` gave."""
    x0 = np.repeat(x, counts) + dx
    return Runs(_starts(counts), np.repeat(y, counts) + dy, x0, x0 + lengths)


def runs_of_crops(bits: npt.NDArray[np.uint8], first: Ints, boxes: Ints) -> Runs:
    """Find the runs of crops that lie one after the other.

    Parameters
    ----------
    bits : (N,) uint8 of 0 and 1
    first : (n,) where each crop begins in them, ascending; between two may lie anything
    boxes : (n, 4) yxyx of the crops, px; they need not be tight

    Returns
    -------
    runs : px, as of the boxes. A crop without pixels has none, which no other function takes:
        leave it out with ``runs.take(runs.counts > 0)``
    """
    heights, widths = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    heights = np.where(widths > 0, heights, 0)
    line = _starts(heights)  # of the first row of each crop among all rows
    owner = np.repeat(np.arange(len(boxes)), heights)
    row = np.arange(len(owner)) - line[owner]
    begin = first[owner] + row * widths[owner]
    end = begin + widths[owner] - 1
    opens, closes = bits.copy(), bits.copy()
    opens[1:] &= bits[:-1] ^ 1
    closes[:-1] &= bits[1:] ^ 1
    opens[begin], closes[end] = bits[begin], bits[end]
    at, last = np.flatnonzero(opens), np.flatnonzero(closes)
    which = np.searchsorted(begin, at, side="right") - 1
    own = owner[which]
    y, x = boxes[own, 0] + row[which], boxes[own, 1] + at - begin[which]
    return Runs(_starts(np.bincount(own, minlength=len(boxes))), y, x, x + last - at + 1)


def spans(first: Ints, lengths: Ints) -> Ints:
    """Count from each of `first` on, so far: ``concatenate([arange(f, f + n), ...])``."""
    starts = _starts(lengths)
    return np.repeat(first - starts[:-1], lengths) + np.arange(starts[-1])


def _starts(counts: Ints) -> Ints:
    starts = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=starts[1:])
    return starts
