"""Nuclei of a file onto one label image, one after the other."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.nuclei import MAX_ID
from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.errors import LabelsError
from napari_uninuc.io.filling import Crop
from napari_uninuc.io.sources import MAX_SIDE
from napari_uninuc.io.stated import DEFAULT_CLASS, known_id

__all__ = ["MAX_NUCLEI", "Painted", "Painting", "palette_of"]

MAX_NUCLEI = 4_000_000
"""Most nuclei of one file."""

_MAX_COVER = 64
_SPARE_PX = 2**27
"""Boxes of all nuclei together may cover the picture `_MAX_COVER` times, and this besides."""

_BAND = 512  # rows

_HELD_BY_REGION = 2
"""Shapes wholly inside another from which that one is a region and no nucleus."""

_NONE_STATED, _UNUSABLE = 0, -1  # in the place of an id


@dataclass(frozen=True, slots=True, eq=False)
class Painted:
    """What came of the shapes of a file.

    Attributes
    ----------
    segmentation : one row for each nucleus that has a pixel
    renumbered : nuclei whose id in the file was no whole number in 1..`MAX_ID`, or was taken
    regions : shapes left out because they are, or may be, regions around nuclei
    """

    segmentation: Segmentation
    renumbered: int
    regions: int


class _Row(NamedTuple):
    id_: int
    score: float
    class_name: str
    status: str
    area_px: int
    sure: bool


class Painting:
    """A label image under way; a later nucleus takes pixels it shares with earlier ones.

    A shape that may be a region (``sure=False``) takes none from one that is surely a nucleus
    and none from one that lies wholly inside it. Two or more inside make it a region, in
    whatever order they come.

    Parameters
    ----------
    shape : (H, W) of the picture, px

    Attributes
    ----------
    shapes : how many were added so far, also outside the picture

    Raises
    ------
    LabelsError
        A side that is no whole number in 1..`MAX_SIDE`.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        if not all(type(side) is int and 1 <= side <= MAX_SIDE for side in shape):
            raise LabelsError(
                f"expected a picture of 1 to {MAX_SIDE} px a side, got {shape[0]} x {shape[1]}; "
                "state its true size"
            )
        self.shape = shape
        # Place of the row, from 1; negative where the shape may be a region.
        self._labels = np.zeros(shape, dtype=np.int32)
        self._rows: list[_Row] = []
        self._held: dict[int, int] = {}  # how many shapes lie wholly inside that one
        self._holder: dict[int, int] = {}  # the shape in which that one was painted
        self._colours: dict[str, str] = {}
        self._colours_of_rows: dict[str, str] = {}
        self._left_px = _MAX_COVER * shape[0] * shape[1] + _SPARE_PX
        self.shapes = 0

    def know_class(self, name: str, colour: str | None = None) -> None:
        """Put a class on the list, its name as of `clean_name`, with its first known colour."""
        if name and not self._colours.get(name):
            self._colours[name] = colour or ""

    def add(
        self,
        crops: list[Crop],
        stated_id: object = None,
        class_name: str = DEFAULT_CLASS,
        score: float = math.nan,
        status: str = "",
        *,
        colour: str | None = None,
        sure: bool = True,
    ) -> None:
        """Paint a nucleus of one or several pieces; one without pixels gets no row.

        Parameters
        ----------
        crops : (y, x) of the first pixel in the picture, and the mask there; inside the picture
        stated_id : as the file has it, None where it has none. It is kept where `known_id` takes
            it and no earlier nucleus has it
        class_name : as of `clean_name`, not empty
        score, status : NaN and "" are unknown
        colour : ``#rrggbb`` of the class, where it has none yet
        sure : False where the shape may be a region around nuclei

        Raises
        ------
        LabelsError
            More than `MAX_NUCLEI`, or shapes that lie on each other without measure.
        """
        self._count(crops)
        if not crops:
            return
        if not self._colours_of_rows.get(class_name):
            self._colours_of_rows[class_name] = colour or ""
        covered = [self._view(crop)[crop[1]] for crop in crops]
        beneath = covered[0] if len(covered) == 1 else np.concatenate(covered)
        id_ = _NONE_STATED if stated_id is None else known_id(stated_id) or _UNUSABLE
        self._rows.append(_Row(id_, score, class_name, status, len(beneath), sure))
        self._note_holder(beneath)
        place = len(self._rows) if sure else -len(self._rows)
        yields = not sure and bool(beneath.any())
        inside = self._rows_inside(beneath) if yields else []
        for crop in crops:
            view, where = self._view(crop), crop[1]
            free = where & (view <= 0) & ~np.isin(view, inside) if yields else where
            np.copyto(view, place, where=free)

    def finish(self, *, only_sure: bool = False) -> Painted:
        """Give every nucleus its id; the painting must not be used afterwards.

        Parameters
        ----------
        only_sure : leave out whatever may be a region, not only what holds nuclei

        Raises
        ------
        LabelsError
            There were nuclei but none has a pixel in the picture.
        """
        if self.shapes and not self._rows:
            raise LabelsError(
                f"expected nuclei in a picture of {self.shape[0]} x {self.shape[1]} px, got "
                f"{self.shapes} shapes and none of them in it; name the right picture"
            )
        regions = self._regions()
        kept = [
            place
            for place, row in enumerate(self._rows)
            if row.sure or not (only_sure or place + 1 in regions)
        ]
        ids, renumbered = _free_ids([self._rows[place].id_ for place in kept])
        self._rename(np.array(kept, dtype=np.int64) + 1, ids)
        for name in dict.fromkeys(self._rows[place].class_name for place in kept):
            self.know_class(name, self._colours_of_rows[name])
        rows = dict(zip(ids.tolist(), (self._rows[place] for place in kept), strict=True))
        return Painted(self._described(rows), renumbered, len(self._rows) - len(kept))

    def _count(self, crops: list[Crop]) -> None:
        self.shapes += 1
        self._left_px -= sum(mask.size for _, mask in crops)
        if self.shapes > MAX_NUCLEI or self._left_px < 0:
            raise LabelsError(
                f"expected at most {MAX_NUCLEI} nuclei that cover the picture at most "
                f"{_MAX_COVER} times, got more; remove shapes that are not nuclei"
            )

    def _view(self, crop: Crop) -> npt.NDArray[np.int32]:
        (y, x), mask = crop
        return self._labels[y : y + mask.shape[0], x : x + mask.shape[1]]

    def _note_holder(self, beneath: npt.NDArray[np.int32]) -> None:
        """Note where the newest shape, which covers `beneath`, lies wholly inside another."""
        around = -int(beneath[0])
        if around <= 0 or self._rows[around - 1].area_px == len(beneath):
            return
        if (beneath == -around).all():
            self._held[around] = self._held.get(around, 0) + 1
            self._holder[len(self._rows)] = around

    def _rows_inside(self, beneath: npt.NDArray[np.int32]) -> list[int]:
        """Find what lies wholly inside the newest shape, as marked in the picture."""
        marks, counts = np.unique(beneath, return_counts=True)
        inside = [
            mark
            for mark, count in zip(marks.tolist(), counts.tolist(), strict=True)
            if mark and count == self._rows[abs(mark) - 1].area_px < len(beneath)
        ]
        place = len(self._rows)
        self._held[place] = self._held.get(place, 0) + len(inside)
        return inside

    def _regions(self) -> set[int]:
        """Find the shapes that hold several others, or a region."""
        found: set[int] = set()
        waiting = [place for place, count in self._held.items() if count >= _HELD_BY_REGION]
        while waiting:
            place = waiting.pop()
            if place not in found:
                found.add(place)
                waiting += [self._holder[place]] if place in self._holder else []
        return found

    def _rename(self, places: npt.NDArray[np.int64], ids: npt.NDArray[np.int64]) -> None:
        """Turn places of rows into ids; those not listed become background."""
        by_mark = np.zeros(2 * len(self._rows) + 1, dtype=np.int32)
        by_mark[places] = by_mark[-places] = ids  # a negative mark counts from the end
        for start in range(0, self.shape[0], _BAND):  # all at once would take three times as much
            band = self._labels[start : start + _BAND]
            band[...] = by_mark[band]

    def _described(self, row_by_id: dict[int, _Row]) -> Segmentation:
        bare = Segmentation.from_labels(self._labels)
        rows = [row_by_id[id_] for id_ in bare.table["id"].tolist()]
        table = bare.table.copy()
        table["score"] = np.array([row.score for row in rows], dtype=np.float64)
        table["class"] = pd.Series([row.class_name for row in rows], dtype=str)
        if any(row.status for row in rows):
            table["status"] = pd.Series([row.status for row in rows], dtype=str)
        return Segmentation(bare.labels, table, {}, palette_of(self._colours))


def palette_of(colours: dict[str, str]) -> ClassPalette | None:
    """Make a palette of names and ``#rrggbb``, "" for the next colour; None where there is none."""
    if not colours:
        return None
    default = ClassPalette.of_names(list(colours))
    chosen = [type(each)(each.name, colours[each.name] or each.colour) for each in default.classes]
    return ClassPalette(tuple(chosen))


def _free_ids(stated: list[int]) -> tuple[npt.NDArray[np.int64], int]:
    """Keep ids the first time they come; the others get the next ones above all, or gaps.

    Returns
    -------
    ids : all different
    renumbered : stated ones that were not kept
    """
    ids = np.array(stated, dtype=np.int64)
    first = np.zeros(len(ids), dtype=np.bool_)
    first[np.unique(ids, return_index=True)[1]] = True
    lost = (ids != _NONE_STATED) & (~first | (ids == _UNUSABLE))
    homeless = np.flatnonzero(lost | (ids == _NONE_STATED))
    following = int(ids.max(initial=0)) + 1 + np.arange(len(homeless))
    if following.size and following[-1] > MAX_ID:
        kept = np.delete(ids, homeless)
        following = np.setdiff1d(np.arange(1, len(ids) + 1), kept)[: len(homeless)]
    ids[homeless] = following
    return ids, int(lost.sum())
