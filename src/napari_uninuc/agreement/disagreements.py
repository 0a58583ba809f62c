"""Every place where two readers do not say the same, and the square of the picture it is in."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_uninuc.agreement.kinds import Kind, Pairing, pair_up
from napari_uninuc.agreement.reading import Reading
from napari_uninuc.core.extents import Box, join_boxes
from napari_uninuc.core.overlaps import Overlaps
from napari_uninuc.errors import LabelsError

__all__ = ["Disagreement", "TwoReadings", "classes_of", "squares_of"]

_MOST_SQUARES, _SMALLEST_SQUARE_PX = 16, 128
"""Along the longer side of a picture; a square of 128 px holds some ten nuclei at 40x."""

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One place where two readers do not say the same.

    Attributes
    ----------
    kind : never `Kind.MATCHED`
    a_ids, b_ids : nuclei of either reader that it is about; a nucleus is in one disagreement only
    a_class, b_class : of the first of each; empty where there is none
    iou : of the nucleus that both have; NaN without
    disputed_px : pixels that either answers differently: of a nucleus of one reader alone all, of
        two classes those that both have, of a split one all but the best common part
    box_yxyx : around all of it, half-open px
    """

    kind: Kind
    a_ids: tuple[int, ...]
    b_ids: tuple[int, ...]
    a_class: str
    b_class: str
    iou: float
    disputed_px: int
    box_yxyx: Box


class TwoReadings:
    """What is known of the nuclei of two readings, by row of their overlaps.

    Parameters
    ----------
    a, b : of one picture
    overlaps : of all their pixels

    Attributes
    ----------
    ious : of the K pairs of the overlaps
    pairing : see `pair_up`
    classes : (N,) and (M,) names; empty where a reader names none
    square_a, square_b : (N,), (M,) number of the square a nucleus counts in
    squares : all of the picture, row by row, half-open px

    Raises
    ------
    LabelsError
        An id of the pixels that its reading does not list.
    """

    def __init__(self, a: Reading, b: Reading, overlaps: Overlaps) -> None:
        self.a, self.b, self.overlaps, self.ious = a, b, overlaps, overlaps.ious
        self.pairing: Pairing = pair_up(overlaps)
        first, second = overlaps.first_ids, overlaps.second_ids
        self.boxes = (
            a.boxes_yxyx[_rows_in(a, first)].reshape(-1, 4),
            b.boxes_yxyx[_rows_in(b, second)].reshape(-1, 4),
        )
        self.classes = classes_of(a, first), classes_of(b, second)
        self.square_a, self.squares = squares_of(a, first)
        self.square_b, _ = squares_of(b, second)
        # Both nuclei of a pair count where A's lies.
        for pairs in (overlaps.one_to_one(), self.pairing.matched):
            self.square_b[overlaps.second_index[pairs]] = self.square_a[overlaps.first_index[pairs]]

    @property
    def name_classes(self) -> bool:
        """Whether both readers name classes."""
        return self.a.classes is not None and self.b.classes is not None

    def disagreements(self) -> list[tuple[int, Disagreement]]:
        """Every disagreement after the number of its square, the most serious first."""
        return sorted(self._found(), key=_seriousness)

    def _differs(self) -> npt.NDArray[np.intp]:
        """Matched pairs of two classes, where both readers name classes."""
        pairs = self.pairing.matched
        if not self.name_classes:
            return pairs[:0]
        one = self.classes[0][self.overlaps.first_index[pairs]]
        other = self.classes[1][self.overlaps.second_index[pairs]]
        differing: npt.NDArray[np.intp] = pairs[one != other]
        return differing

    def _found(self) -> Iterator[tuple[int, Disagreement]]:
        """Every disagreement with the square that it lies in."""
        overlaps, none = self.overlaps, np.zeros(0, np.intp)
        one = np.zeros(1, np.intp)
        for row in self.pairing.only_first:
            yield self._one(Kind.ONLY_A, one + row, none, int(overlaps.first_areas[row]))
        for row in self.pairing.only_second:
            yield self._one(Kind.ONLY_B, none, one + row, int(overlaps.second_areas[row]))
        for pair in self._differs():
            first, second = overlaps.first_index[pair], overlaps.second_index[pair]
            shared, iou = int(overlaps.intersections[pair]), float(self.ious[pair])
            yield self._one(Kind.CLASS_DIFFERS, one + first, one + second, shared, iou)
        for whole, parts in self.pairing.splits:
            yield self._divided(Kind.SPLIT, one + whole, parts)
        for parts, whole in self.pairing.merges:
            yield self._divided(Kind.MERGED, parts, one + whole)

    def _divided(
        self, kind: Kind, first: npt.NDArray[np.intp], second: npt.NDArray[np.intp]
    ) -> tuple[int, Disagreement]:
        overlaps = self.overlaps
        shared = [
            overlaps.intersections[self._pair(int(one), int(other))]
            for one in first
            for other in second
        ]
        areas = overlaps.first_areas[first].sum() + overlaps.second_areas[second].sum()
        return self._one(kind, first, second, int(areas - sum(shared) - max(shared)))

    def _pair(self, first: int, second: int) -> int:
        """Row of a pair that overlaps: pairs are sorted by first, then by second."""
        start, end = np.searchsorted(self.overlaps.first_index, [first, first + 1])
        return int(start + np.searchsorted(self.overlaps.second_index[start:end], second))

    def _one(
        self,
        kind: Kind,
        first: npt.NDArray[np.intp],
        second: npt.NDArray[np.intp],
        disputed_px: int,
        iou: float = float("nan"),
    ) -> tuple[int, Disagreement]:
        boxes = [*self.boxes[0][first].tolist(), *self.boxes[1][second].tolist()]
        square = self.square_a[first[0]] if len(first) else self.square_b[second[0]]
        return int(square), Disagreement(
            kind,
            tuple(self.overlaps.first_ids[first].tolist()),
            tuple(self.overlaps.second_ids[second].tolist()),
            str(self.classes[0][first[0]]) if len(first) else "",
            str(self.classes[1][second[0]]) if len(second) else "",
            iou,
            disputed_px,
            join_boxes(*boxes),
        )


def _seriousness(found: tuple[int, Disagreement]) -> tuple[int, Box]:
    return -found[1].disputed_px, found[1].box_yxyx


def _rows_in(reading: Reading, ids: Ids) -> npt.NDArray[np.intp]:
    """Rows of ids in what a reading lists."""
    rows = np.searchsorted(reading.ids, ids)
    known = rows < len(reading.ids)
    if not known.all() or (reading.ids[rows] != ids).any():
        raise LabelsError(
            f"{reading.name}: expected a row for every nucleus, got pixels of one without; write "
            "its labels and table again"
        )
    return rows


def classes_of(reading: Reading, ids: Ids) -> npt.NDArray[np.str_]:
    """Look up the classes of ids; empty names where the reading has none."""
    if reading.classes is None:
        return np.full(len(ids), "", np.str_)
    classes: npt.NDArray[np.str_] = reading.classes[_rows_in(reading, ids)]
    return classes


def squares_of(reading: Reading, ids: Ids) -> tuple[npt.NDArray[np.intp], list[Box]]:
    """Share the picture out into squares.

    Returns
    -------
    square : (N,) in which the middle of each nucleus' box lies
    boxes_yxyx : of all squares, row by row, half-open px
    """
    height, width = reading.shape
    steps = -(-max(height, width) // _MOST_SQUARES) / _SMALLEST_SQUARE_PX
    side = max(1, int(np.ceil(steps))) * _SMALLEST_SQUARE_PX
    rows, columns = -(-height // side), -(-width // side)
    boxes = [
        (y * side, x * side, min((y + 1) * side, height), min((x + 1) * side, width))
        for y in range(rows)
        for x in range(columns)
    ]
    found = reading.boxes_yxyx[_rows_in(reading, ids)].reshape(-1, 4)
    middles = (found[:, :2] + found[:, 2:]) // 2 // side
    return middles[:, 0] * columns + middles[:, 1], boxes
