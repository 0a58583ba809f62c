"""A change of the label map as a value that can be applied, inverted and kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Self

import numpy as np
import numpy.typing as npt

from napari_uninuc.core.extents import count_ids, join_boxes, slices, tight_box
from napari_uninuc.core.nuclei import Nucleus
from napari_uninuc.errors import LabelsError

__all__ = ["Edit", "fold_edits", "swap_edits"]

_ROW_BYTES = 360  # a Nucleus with its box and its place in a dict, measured on CPython 3.11


@dataclass(frozen=True, slots=True, eq=False)
class Edit:
    """Pixels and table rows before and after one change.

    Every nucleus that gains or loses a pixel has a row in both mappings, though the rows may
    be equal. Arrays and mappings are read-only; what is passed in must not be changed later.

    Attributes
    ----------
    verb : what was done, as shown beside "Undo"
    origin_yx : the crop's first pixel, px of the tile
    before, after : (h, w) int32 ids; h and w are 0 when only rows change
    rows_before, rows_after : id -> row, or None where there is no such nucleus; same ids

    Raises
    ------
    LabelsError
        Crops that are not (h, w) int32 of one shape, or mappings of different ids.
    """

    verb: str
    origin_yx: tuple[int, int]
    before: npt.NDArray[np.int32]
    after: npt.NDArray[np.int32]
    rows_before: Mapping[int, Nucleus | None]
    rows_after: Mapping[int, Nucleus | None]

    def __post_init__(self) -> None:
        if self.before.shape != self.after.shape or self.before.ndim != 2:
            raise LabelsError(
                f"an edit needs two (h, w) crops of one shape, got {self.before.shape} and "
                f"{self.after.shape}; cut both from one box"
            )
        if self.before.dtype != np.int32 or self.after.dtype != np.int32:
            raise LabelsError(
                f"an edit needs int32 crops, got {self.before.dtype} and {self.after.dtype}; "
                "convert them"
            )
        if self.rows_before.keys() != self.rows_after.keys():
            raise LabelsError(
                "an edit needs the same ids before and after, got "
                f"{sorted(self.rows_before)} and {sorted(self.rows_after)}; put None where "
                "a nucleus is missing"
            )
        for name in ("before", "after"):
            locked = getattr(self, name).view()
            locked.flags.writeable = False
            object.__setattr__(self, name, locked)
        for name in ("rows_before", "rows_after"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    @classmethod
    def of_rows(
        cls,
        verb: str,
        rows_before: Mapping[int, Nucleus | None],
        rows_after: Mapping[int, Nucleus | None],
    ) -> Self:
        """Make an edit that changes rows and no pixel."""
        nothing = np.zeros((0, 0), dtype=np.int32)
        return cls(verb, (0, 0), nothing, nothing, rows_before, rows_after)

    @classmethod
    def trimmed(
        cls,
        verb: str,
        origin_yx: tuple[int, int],
        before: npt.NDArray[np.int32],
        after: npt.NDArray[np.int32],
        rows_before: Mapping[int, Nucleus | None],
        rows_after: Mapping[int, Nucleus | None],
    ) -> Self | None:
        """Make the smallest edit that does the same: a tight crop, no row that nothing happens to.

        Arguments are those of the class. The crops are copied.

        Returns
        -------
        edit : None when nothing would change
        """
        changed = before != after
        touched = count_ids(before[changed]).keys() | count_ids(after[changed]).keys()
        ids = [i for i in rows_after if i in touched or rows_before[i] != rows_after[i]]
        if not ids and not touched:
            return None
        rows = {i: rows_before[i] for i in ids}, {i: rows_after[i] for i in ids}
        box = tight_box(changed)
        if box is None:
            return cls.of_rows(verb, *rows)
        crop = slices(box)
        origin = origin_yx[0] + box[0], origin_yx[1] + box[1]
        return cls(verb, origin, before[crop].copy(), after[crop].copy(), *rows)

    @property
    def box_yxyx(self) -> tuple[int, int, int, int]:
        """Half-open box of the crop, px of the tile; empty when only rows change."""
        y, x = self.origin_yx
        height, width = self.after.shape
        return y, x, y + height, x + width

    @property
    def ids(self) -> frozenset[int]:
        """Ids of every nucleus that the edit may touch."""
        return frozenset(self.rows_before)

    @property
    def nbytes(self) -> int:
        """Memory it holds: exact for pixels, estimated for rows."""
        rows = len(self.rows_before) + len(self.rows_after)
        return self.before.nbytes + self.after.nbytes + rows * _ROW_BYTES

    def inverse(self) -> Self:
        """Make the edit that takes this one back, under the same verb; pixels are shared."""
        return type(self)(
            self.verb, self.origin_yx, self.after, self.before, self.rows_after, self.rows_before
        )


def fold_edits(edits: Sequence[Edit], verb: str, pixels: npt.NDArray[np.int32]) -> Edit | None:
    """Make one edit of several that were applied one after the other.

    Parameters
    ----------
    edits : in the order in which they were applied
    verb : of the edit made
    pixels : (H, W) int32, the label map's as the last edit left them

    Returns
    -------
    edit : None when they cancel out. Its crop spans all theirs, so that edits far apart make
        a large one.
    """
    rows_before: dict[int, Nucleus | None] = {}
    rows_after: dict[int, Nucleus | None] = {}
    for edit in edits:
        rows_before = {**edit.rows_before, **rows_before}
        rows_after |= edit.rows_after
    boxes = [edit.box_yxyx for edit in edits if edit.after.size]
    y0, x0, y1, x1 = join_boxes(*boxes) if boxes else (0, 0, 0, 0)
    after = pixels[y0:y1, x0:x1]
    before = after.copy()
    for edit in reversed(edits):
        if edit.after.size:
            top, left, bottom, right = edit.box_yxyx
            before[top - y0 : bottom - y0, left - x0 : right - x0] = edit.before
    return Edit.trimmed(verb, (y0, x0), before, after, rows_before, rows_after)


def swap_edits(first: Edit, second: Edit) -> tuple[Edit, Edit] | None:
    """Make the two edits that do the same as these in the other order.

    Parameters
    ----------
    first, second : applied one after the other

    Returns
    -------
    second, first : to be applied in this order; None where the second depends on the first: they
        change the same pixel or the same row
    """
    if first.ids & second.ids:
        return None
    y0, x0, y1, x1 = first.box_yxyx
    top, left, bottom, right = second.box_yxyx
    common = max(y0, top), max(x0, left), min(y1, bottom), min(x1, right)
    if not (first.after.size and second.after.size) or (
        common[0] >= common[2] or common[1] >= common[3]
    ):
        return second, first
    in_first, in_second = _within(first, common), _within(second, common)
    by_first = first.before[in_first] != first.after[in_first]
    by_second = second.before[in_second] != second.after[in_second]
    if (by_first & by_second).any():
        return None
    sooner = second.before.copy(), second.after.copy()
    later = first.before.copy(), first.after.copy()
    for crop in sooner:
        crop[in_second][by_first] = first.before[in_first][by_first]
    for crop in later:
        crop[in_first][by_second] = second.after[in_second][by_second]
    return (
        replace(second, before=sooner[0], after=sooner[1]),
        replace(first, before=later[0], after=later[1]),
    )


def _within(edit: Edit, box: tuple[int, int, int, int]) -> tuple[slice, slice]:
    """Where a box of the tile lies in an edit's crop."""
    y, x = edit.origin_yx
    return slices((box[0] - y, box[1] - x, box[2] - y, box[3] - x))
