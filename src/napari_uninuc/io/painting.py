"""Nuclei of a file onto one label image, one after the other."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.nuclei import MAX_ID, Status
from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.errors import LabelsError
from napari_uninuc.io.sources import MAX_SIDE

__all__ = [
    "DEFAULT_CLASS",
    "MAX_NUCLEI",
    "Painting",
    "checked_id",
    "checked_score",
    "checked_status",
    "clean_name",
    "known_mpp",
    "palette_of",
]

MAX_NUCLEI = 4_000_000
"""Most nuclei of one file."""

_MAX_COVER = 64
_SPARE_PX = 2**27
"""Boxes of all nuclei together may cover the picture `_MAX_COVER` times, and this besides."""

_LONGEST_NAME = 200
_BAND = 512  # rows

DEFAULT_CLASS = "nucleus"


class Painting:
    """A label image under way; a later nucleus takes pixels it shares with earlier ones.

    Parameters
    ----------
    shape : (H, W) of the picture, px

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
        self._labels = np.zeros(shape, dtype=np.int32)
        self._rows: list[tuple[int, float, str, str]] = []
        self._colours: dict[str, str] = {}
        self._left_px = _MAX_COVER * shape[0] * shape[1] + _SPARE_PX
        self._shapes = 0

    def know_class(self, name: str, colour: str | None = None) -> None:
        """Put a class on the list, its name as of `clean_name`, with its first known colour."""
        if name and (name not in self._colours or not self._colours[name]):
            self._colours[name] = colour or ""

    def add(
        self,
        crops: list[tuple[tuple[int, int], npt.NDArray[np.bool_]]],
        id_: int = 0,
        class_name: str = DEFAULT_CLASS,
        score: float = math.nan,
        status: str = "",
    ) -> None:
        """Paint a nucleus of one or several pieces; one without pixels gets no row.

        Parameters
        ----------
        crops : (y, x) of the first pixel in the picture, and the mask there; inside the picture
        id_ : 0 where the file names none, or one that is taken: it gets a free one
        class_name : as of `clean_name`, not empty
        score, status : NaN and "" are unknown

        Raises
        ------
        LabelsError
            More than `MAX_NUCLEI`, or shapes that lie on each other without measure.
        """
        self._shapes += 1
        self._left_px -= sum(mask.size for _, mask in crops)
        if self._shapes > MAX_NUCLEI or self._left_px < 0:
            raise LabelsError(
                f"expected at most {MAX_NUCLEI} nuclei that cover the picture at most "
                f"{_MAX_COVER} times, got more; remove shapes that are not nuclei"
            )
        if not crops:
            return
        self.know_class(class_name)
        self._rows.append((id_, score, class_name, status))
        for (y, x), mask in crops:
            view = self._labels[y : y + mask.shape[0], x : x + mask.shape[1]]
            np.copyto(view, len(self._rows), where=mask)

    def finish(self) -> Segmentation:
        """Give every nucleus its id; the painting must not be used afterwards.

        Raises
        ------
        LabelsError
            There were nuclei but none has a pixel in the picture, or no id is free.
        """
        if self._shapes and not self._rows:
            raise LabelsError(
                f"expected nuclei in a picture of {self.shape[0]} x {self.shape[1]} px, got "
                f"{self._shapes} shapes and none of them in it; name the right picture"
            )
        ids = _free_ids([row[0] for row in self._rows])
        by_place = np.concatenate([[0], ids]).astype(np.int32)
        for start in range(0, self.shape[0], _BAND):  # all at once would take three times as much
            band = self._labels[start : start + _BAND]
            band[...] = by_place[band]
        bare = Segmentation.from_labels(self._labels)
        places = np.argsort(ids)[np.searchsorted(np.sort(ids), bare.table["id"].to_numpy())]
        rows = [self._rows[place] for place in places.tolist()]
        table = bare.table.copy()
        table["score"] = np.array([row[1] for row in rows], dtype=np.float64)
        table["class"] = pd.Series([row[2] for row in rows], dtype=str)
        if any(row[3] for row in rows):
            table["status"] = pd.Series([row[3] for row in rows], dtype=str)
        return Segmentation(bare.labels, table, {}, palette_of(self._colours))


def palette_of(colours: dict[str, str]) -> ClassPalette | None:
    """Make a palette of names and ``#rrggbb``, "" for the next colour; None where there is none."""
    if not colours:
        return None
    default = ClassPalette.of_names(list(colours))
    chosen = [type(each)(each.name, colours[each.name] or each.colour) for each in default.classes]
    return ClassPalette(tuple(chosen))


def _free_ids(wanted: list[int]) -> npt.NDArray[np.int64]:
    """Keep ids the first time they come; 0 and those taken get the next ones above all."""
    ids = np.array(wanted, dtype=np.int64)
    first = np.zeros(len(ids), dtype=np.bool_)
    first[np.unique(ids, return_index=True)[1]] = True
    homeless = np.flatnonzero(~first | (ids == 0))
    highest = int(ids.max(initial=0))
    if highest + len(homeless) > MAX_ID:
        raise LabelsError(
            f"expected ids that leave room below {MAX_ID}, got {highest}; relabel the nuclei"
        )
    ids[homeless] = highest + 1 + np.arange(len(homeless))
    return ids


def clean_name(value: Any) -> str:
    """Read a class name: text that can be written again, at most `_LONGEST_NAME` characters."""
    return str(value)[:_LONGEST_NAME].encode("utf-8", "replace").decode("utf-8").strip()


def checked_id(value: Any) -> int:
    """Read an id, a whole number as number or text.

    Raises
    ------
    LabelsError
        Not a whole number in 1..`MAX_ID`.
    """
    try:
        number = int(value)
        if number == float(value) and 1 <= number <= MAX_ID and not isinstance(value, bool):
            return number
    except (TypeError, ValueError, OverflowError):
        pass
    raise LabelsError(f"ids must be whole numbers in 1..{MAX_ID}, got {str(value)[:40]!r}; relabel")


def checked_score(value: Any) -> float:
    """Read a score; None and "NaN" are unknown.

    Raises
    ------
    LabelsError
        Not a number in 0..1.
    """
    try:
        number = math.nan if value is None else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.inf
    if math.isnan(number) or 0 <= number <= 1:
        return number
    raise LabelsError(f"scores must be numbers in 0..1, got {str(value)[:40]!r}; correct them")


def known_mpp(value: Any) -> float | None:
    """Read micrometres per px; None where it is no number that a microscope could have."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 1e-3 <= value <= 1e3 else None


def checked_status(value: Any) -> str:
    """Read a status; what is none of ours is unknown, which is ""."""
    known = {str(status) for status in Status if status is not Status.HIDDEN}
    return str(value) if str(value) in known else ""
