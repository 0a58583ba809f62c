"""Which nuclei of two label images overlap, and by how many pixels (sparse)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_uninuc.errors import LabelsError

__all__ = ["Overlaps", "match", "match_blocks"]

Ints = npt.NDArray[np.int64]
Labels = npt.NDArray[np.integer[Any]]

_BAND_PX = 2**20
"""Pixels looked at in one go."""
_FOLDED_AT = 2**21
"""Counted pairs of many blocks are added up whenever there are so many: 50 MB."""


@dataclass(frozen=True, slots=True, eq=False)
class Overlaps:
    """The overlaps of two label images of one shape: truth and prediction, or two readers'.

    Attributes
    ----------
    first_ids, second_ids : (N,), (M,) int64, ascending, as in the label images
    first_areas, second_areas : (N,), (M,) int64 px
    first_index, second_index : (K,) int64
        Rows of the K pairs that share at least one pixel, by first then by second.
    intersections : (K,) int64 px, at least 1
    """

    first_ids: Ints
    second_ids: Ints
    first_areas: Ints
    second_areas: Ints
    first_index: Ints
    second_index: Ints
    intersections: Ints

    @property
    def unions(self) -> Ints:
        """(K,) int64 px."""
        both: Ints = self.first_areas[self.first_index] + self.second_areas[self.second_index]
        return both - self.intersections

    @property
    def ious(self) -> npt.NDArray[np.float64]:
        """(K,) float64 in (0, 1]."""
        ratios: npt.NDArray[np.float64] = self.intersections / self.unions
        return ratios

    def one_to_one(self) -> npt.NDArray[np.intp]:
        """Pairs with IoU of at least 0.5, best first, none sharing a nucleus: their rows.

        Pairs above 0.5 exclude each other by themselves. Pairs of exactly 0.5 can share a nucleus
        only as a star (two halves of one), so taking the first of each is a maximum matching.
        """
        ious = self.ious
        good = np.flatnonzero(ious >= 0.5)
        good = good[np.argsort(-ious[good], kind="stable")]
        _, earliest = np.unique(self.first_index[good], return_index=True)
        good = good[np.sort(earliest)]
        _, earliest = np.unique(self.second_index[good], return_index=True)
        return good[np.sort(earliest)]


def match(first: Labels, second: Labels) -> Overlaps:
    """Count the pixels every pair of nuclei shares.

    Parameters
    ----------
    first, second : (H, W) non-negative integers, 0 background
        Ids may be any; the pixels of one id need not touch.

    Raises
    ------
    LabelsError
        Not two-dimensional integers, a negative id, or two shapes.
    """
    for labels in (first, second):
        _require_labels(labels)
    if first.shape != second.shape:
        raise LabelsError(
            f"labels must be {first.shape} (H, W) like those they are compared with, got "
            f"{second.shape}; compare images of one size"
        )
    return match_blocks(_bands(first, second))


def match_blocks(blocks: Iterable[tuple[Labels, Labels]]) -> Overlaps:
    """Count as `match` does, from blocks that share the images out without overlap.

    Parameters
    ----------
    blocks : (h, w) of the first and of the second image at the same place, as for `match`

    Notes
    -----
    Memory is that of one block and of the overlapping pairs, whatever the size of the images.
    """
    waiting: list[Ints] = []
    size = 0
    for first, second in blocks:
        waiting.append(_counted(first, second))
        size += len(waiting[-1])
        if size > _FOLDED_AT:
            waiting = [_folded(np.concatenate(waiting))]
            size = len(waiting[0])
    rows = _folded(np.concatenate(waiting)) if waiting else np.zeros((0, 3), np.int64)
    first_ids, first_areas = _areas(rows[:, 0], rows[:, 2])
    second_ids, second_areas = _areas(rows[:, 1], rows[:, 2])
    shared = rows[(rows[:, 0] > 0) & (rows[:, 1] > 0)]
    return Overlaps(
        first_ids,
        second_ids,
        first_areas,
        second_areas,
        np.searchsorted(first_ids, shared[:, 0]),
        np.searchsorted(second_ids, shared[:, 1]),
        shared[:, 2],
    )


def _bands(first: Labels, second: Labels) -> Iterator[tuple[Labels, Labels]]:
    step = max(1, _BAND_PX // max(first.shape[1], 1))
    for start in range(0, first.shape[0], step):
        yield first[start : start + step], second[start : start + step]


def _counted(first: Labels, second: Labels) -> Ints:
    """Count the pairs of ids of one block: rows of first, second and px; no background pair."""
    one, other = first.ravel(), second.ravel()
    begins = np.ones(one.size, np.bool_)  # a nucleus is a few runs of pixels, which sort quickly
    begins[1:] = (one[1:] != one[:-1]) | (other[1:] != other[:-1])
    starts = np.flatnonzero(begins)
    lengths = np.diff(starts, append=one.size)
    rows = np.stack([one[starts].astype(np.int64), other[starts].astype(np.int64), lengths], axis=1)
    return _folded(rows[(rows[:, 0] != 0) | (rows[:, 1] != 0)])


def _folded(rows: Ints) -> Ints:
    """Add up the rows of the same two ids; sorted by first, then by second."""
    rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
    begins = np.ones(len(rows), np.bool_)
    begins[1:] = (rows[1:, :2] != rows[:-1, :2]).any(axis=1)
    starts = np.flatnonzero(begins)
    folded = rows[starts]
    if len(starts):
        folded[:, 2] = np.add.reduceat(rows[:, 2], starts)
    return folded


def _areas(ids: Ints, counts: Ints) -> tuple[Ints, Ints]:
    """Add up pixels by id; background is left out."""
    found, places = np.unique(ids, return_inverse=True)
    areas = np.bincount(places, counts, len(found)).astype(np.int64)
    kept = found > 0
    return found[kept], areas[kept]


def _require_labels(labels: Labels) -> None:
    if labels.ndim != 2 or labels.dtype.kind not in "ui":
        raise LabelsError(
            f"labels must be (H, W) integers, got {labels.shape} {labels.dtype}; pass one channel "
            "of instance ids"
        )
    if labels.size and int(labels.min()) < 0:
        raise LabelsError(f"labels must not be negative, got {labels.min()}; use 0 for background")
