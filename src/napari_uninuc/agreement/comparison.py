"""The comparison of two readings: pairs, figures, and the list of disagreements."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_uninuc.agreement.disagreements import (
    Disagreement,
    TwoReadings,
    classes_of,
    squares_of,
)
from napari_uninuc.agreement.figures import (
    THRESHOLDS,
    Figure,
    Figures,
    Sums,
    fleiss,
    fleiss_sums,
)
from napari_uninuc.agreement.kinds import Kind
from napari_uninuc.agreement.reading import Reading
from napari_uninuc.core.extents import Box
from napari_uninuc.core.overlaps import match_blocks
from napari_uninuc.errors import LabelsError

__all__ = ["Comparison", "common_part", "compare", "fleiss_kappa"]

_BLOCK_PX = 2048

Ids = npt.NDArray[np.int64]
Labels = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Two readers of one picture.

    Attributes
    ----------
    a, b : what they say
    a_ids, b_ids, ious : (M,) of the matched nuclei, other class included, ids of A ascending
    disagreements : the most serious first: by disputed pixels, then from the top left
    figures : of the whole picture
    squares : the picture's squares that hold a nucleus, row by row: half-open px
    counts : (R, 6) int64 by square and `Kind`; a matched nucleus of another class counts as both
    sums : what the figures are made of, by square
    """

    a: Reading
    b: Reading
    a_ids: Ids
    b_ids: Ids
    ious: npt.NDArray[np.float64]
    disagreements: tuple[Disagreement, ...]
    figures: Figures
    squares: tuple[Box, ...]
    counts: npt.NDArray[np.int64]
    sums: Sums

    @property
    def total(self) -> dict[Kind, int]:
        """Counts of all squares together."""
        return dict(zip(Kind, self.counts.sum(axis=0).tolist(), strict=True))


def common_part(a: Reading, b: Reading) -> tuple[Reading, Reading]:
    """Bring two readings to the pixels that both are about.

    Readings of one slide may be of different parts of it.

    Raises
    ------
    LabelsError
        Different sizes, or parts of a slide that do not meet.
    """
    if a.slide is not None and a.slide == b.slide:
        first = np.maximum(a.origin_yx, b.origin_yx)
        last = np.minimum(np.add(a.origin_yx, a.shape), np.add(b.origin_yx, b.shape))
        if (first < last).all():
            return _cut_to(a, first, last), _cut_to(b, first, last)
    others = (a.slide and b.slide and a.slide != b.slide) or (
        a.digest and b.digest and a.digest != b.digest
    )
    if a.shape != b.shape or others:
        raise LabelsError(
            f"{b.name}: expected nuclei of the picture that {a.name} is of, {a.shape[0]} x "
            f"{a.shape[1]} px, got {b.shape[0]} x {b.shape[1]} px of another; compare "
            "readings of one picture"
        )
    return a, b


def compare(a: Reading, b: Reading) -> Comparison:
    """Compare two readings, block by block: memory grows with nuclei, not with pixels.

    Parameters
    ----------
    a, b : of one picture, or of parts of one slide that meet

    Raises
    ------
    LabelsError
        As `common_part`; or pixels with an id that the reading does not list.
    """
    a, b = common_part(a, b)
    overlaps = match_blocks(_blocks(a, b))
    known = TwoReadings(a, b, overlaps)
    found, sums = known.disagreements(), _sums(known)
    used = np.flatnonzero(sums.nuclei)
    kept = Sums(*(getattr(sums, name)[used] for name in Sums.__slots__))
    pairs = known.pairing.matched[np.argsort(overlaps.first_index[known.pairing.matched])]
    return Comparison(
        a,
        b,
        overlaps.first_ids[overlaps.first_index[pairs]],
        overlaps.second_ids[overlaps.second_index[pairs]],
        known.ious[pairs],
        tuple(each for _, each in found),
        kept.figures(),
        tuple(known.squares[k] for k in used),
        _counts(known, [(square, each.kind) for square, each in found])[used],
        kept,
    )


def fleiss_kappa(comparisons: Sequence[Comparison]) -> Figure:
    """Compute the kappa of the classes that several readers give the nuclei all of them have.

    Parameters
    ----------
    comparisons : of the first reader with each of the others, of one part of the picture. A
        nucleus counts where it is matched with one of every other reader; all of them name classes
    """
    first = comparisons[0].a
    if first.classes is None or any(each.b.classes is None for each in comparisons):
        return Figure(float("nan"), float("nan"), float("nan"))
    shared = comparisons[0].a_ids
    for each in comparisons[1:]:
        shared = np.intersect1d(shared, each.a_ids)
    named = [classes_of(first, shared)]
    for each in comparisons:
        named.append(classes_of(each.b, each.b_ids[np.searchsorted(each.a_ids, shared)]))
    names, codes = np.unique(np.stack(named), return_inverse=True)
    ratings = (codes.reshape(len(named), -1, 1) == np.arange(len(names))).sum(axis=0)
    squares, boxes = squares_of(first, shared)
    return fleiss(fleiss_sums(ratings.astype(np.int64), squares, len(boxes)))


def _cut_to(reading: Reading, first: npt.NDArray[np.int64], last: npt.NDArray[np.int64]) -> Reading:
    (y0, x0), (y1, x1) = (np.subtract(each, reading.origin_yx).tolist() for each in (first, last))
    return reading if (y0, x0, y1, x1) == (0, 0, *reading.shape) else reading.cut((y0, x0, y1, x1))


def _blocks(a: Reading, b: Reading) -> Iterator[tuple[Labels, Labels]]:
    """Read both where either has a nucleus; the rest of a slide is glass."""
    height, width = a.shape
    boxes = np.concatenate([a.boxes_yxyx, b.boxes_yxyx]).reshape(-1, 4)
    first, last = boxes[:, :2] // _BLOCK_PX, (boxes[:, 2:] - 1) // _BLOCK_PX
    corners = [np.stack([y[:, 0], x[:, 1]], axis=1) for y in (first, last) for x in (first, last)]
    # A nucleus of more than two blocks' length is none; its middle blocks are read all the same.
    long = np.flatnonzero((last - first > 1).any(axis=1))
    wanted = set(map(tuple, np.unique(np.concatenate(corners), axis=0).tolist()))
    for row in long.tolist():
        (y0, x0), (y1, x1) = first[row].tolist(), last[row].tolist()
        wanted |= {(y, x) for y in range(y0, y1 + 1) for x in range(x0, x1 + 1)}
    for y, x in sorted(wanted):
        y0, x0 = y * _BLOCK_PX, x * _BLOCK_PX
        box = y0, x0, min(y0 + _BLOCK_PX, height), min(x0 + _BLOCK_PX, width)
        yield a.pixels(box), b.pixels(box)


def _sums(known: TwoReadings) -> Sums:
    overlaps, count, ious = known.overlaps, len(known.squares), known.ious
    nuclei = np.bincount(known.square_a, minlength=count) + np.bincount(
        known.square_b, minlength=count
    )
    standard, matched = overlaps.one_to_one(), known.pairing.matched
    squares = known.square_a[overlaps.first_index[standard]]
    pairs = [np.bincount(squares[ious[standard] >= t - 1e-9], minlength=count) for t in THRESHOLDS]
    place = known.square_a[overlaps.first_index[matched]]
    return Sums(
        nuclei.astype(np.float64),
        np.stack(pairs, axis=1).astype(np.float64),
        np.bincount(place, minlength=count).astype(np.float64),
        np.bincount(place, ious[matched], count).astype(np.float64),
        _class_tables(known, place),
    )


def _class_tables(known: TwoReadings, place: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    """Count matched nuclei by square and by both classes, (R, C, C)."""
    matched, count = known.pairing.matched, len(known.squares)
    if not known.name_classes:
        return np.zeros((count, 1, 1))
    one = known.classes[0][known.overlaps.first_index[matched]]
    other = known.classes[1][known.overlaps.second_index[matched]]
    names, codes = np.unique(np.concatenate([one, other]), return_inverse=True)
    tables = np.zeros((count, len(names), len(names)))
    np.add.at(tables, (place, codes[: len(one)], codes[len(one) :]), 1)
    return tables


def _counts(known: TwoReadings, found: Sequence[tuple[int, Kind]]) -> npt.NDArray[np.int64]:
    """Count findings by square and kind, (R, 6)."""
    kinds, counts = list(Kind), np.zeros((len(known.squares), len(Kind)), np.int64)
    for square, kind in found:
        counts[square, kinds.index(kind)] += 1
    place = known.square_a[known.overlaps.first_index[known.pairing.matched]]
    counts[:, kinds.index(Kind.MATCHED)] = np.bincount(place, minlength=len(known.squares))
    return counts
