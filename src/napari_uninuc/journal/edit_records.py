"""Edits as bytes: rows before and after, and of the pixels only those that change."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from napari_uninuc.core.edits import Edit
from napari_uninuc.core.extents import holds, slices
from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.errors import SessionError
from napari_uninuc.io.columns import (
    MASK,
    ROW,
    mask_bits,
    mask_bytes_limit,
    masks_of,
    rows_of,
    table_of_masks,
    table_of_rows,
    to_bytes,
    to_table,
)
from napari_uninuc.io.sources import MAX_SIDE

__all__ = ["MAX_ROWS", "EditSizes", "read_edit", "write_edit"]

MAX_ROWS = 5_000_000

# Pixels in reading order: how many are skipped, how many follow, what they were, what they become.
_RUN = np.dtype([("skip", "<u4"), ("length", "<u4"), ("before", "<i4"), ("after", "<i4")])

_Side = Annotated[int, Field(ge=0, le=MAX_SIDE)]
_Count = Annotated[int, Field(ge=0, le=MAX_ROWS)]


@dataclass(frozen=True, slots=True)
class EditSizes:
    """What must be known to read the bytes of an edit.

    Attributes
    ----------
    crop_yxhw : first pixel, height and width of the crop, px of the tile
    rows : nuclei with a row
    runs : runs of changed pixels
    masks : candidates found with this edit
    mask_bytes : their pixels, bytes
    """

    crop_yxhw: tuple[_Side, _Side, _Side, _Side]
    rows: _Count
    runs: Annotated[int, Field(ge=0, le=MAX_SIDE**2)]
    masks: _Count
    mask_bytes: Annotated[int, Field(ge=0)]

    def nbytes(self, shape: tuple[int, int]) -> int:
        """Bytes that an edit of these sizes takes, checked against a tile of `shape` (H, W) px.

        Raises
        ------
        SessionError
            More than an edit of such a tile can need.
        """
        y, x, height, width = self.crop_yxhw
        if not holds((0, 0, *shape), (y, x, y + height, x + width)):
            raise SessionError(f"a change at {self.crop_yxhw} reaches past the picture of {shape}")
        if self.runs > height * width or self.masks > self.rows:
            raise SessionError("a change has more parts than pixels or nuclei")
        if self.mask_bytes > mask_bytes_limit(self.masks, shape):
            raise SessionError("masks are larger than the picture they were found in")
        return (
            2 * self.rows * ROW.itemsize
            + self.runs * _RUN.itemsize
            + self.masks * MASK.itemsize
            + self.mask_bytes
        )


def write_edit(edit: Edit, candidates: Mapping[int, InstanceMask]) -> tuple[EditSizes, bytes]:
    """Turn an edit into bytes. Costs time in proportion to its crop and its rows.

    Parameters
    ----------
    candidates : id -> the model's whole mask of nuclei that the edit brought; may be empty
    """
    runs = _runs(edit.before, edit.after)
    rows = [*edit.rows_before.items(), *edit.rows_after.items()]
    bits = mask_bits(candidates.values())
    y, x = edit.origin_yx
    height, width = edit.after.shape
    sizes = EditSizes(
        (int(y), int(x), height, width),  # numpy's numbers do not go into JSON
        len(edit.rows_before),
        len(runs),
        len(candidates),
        len(bits),
    )
    tables = table_of_rows(rows), runs, table_of_masks(candidates)
    return sizes, b"".join([*map(to_bytes, tables), bits])


def read_edit(
    verb: str, sizes: EditSizes, raw: bytes, pixels: npt.NDArray[np.int32]
) -> tuple[Edit, dict[int, InstanceMask]]:
    """Turn bytes into the edit they were made of, and its candidates.

    Parameters
    ----------
    verb : of the edit
    sizes, raw : from `write_edit`; `raw` is ``sizes.nbytes(pixels.shape)`` long
    pixels : (H, W) int32, the label map before the edit; gives the pixels that stay

    Raises
    ------
    SessionError
        Parts that contradict each other. The edit may still be one that the label map refuses.
    LabelsError
        Rows out of range, or other ids before than after.
    """
    ends = np.cumsum([0, 2 * sizes.rows * ROW.itemsize, sizes.runs * _RUN.itemsize]).tolist()
    rows = to_table(raw[: ends[1]], ROW)
    runs = to_table(raw[ends[1] : ends[2]], _RUN)
    last = ends[2] + sizes.masks * MASK.itemsize
    masks = masks_of(to_table(raw[ends[2] : last], MASK), raw[last:])
    y, x, height, width = sizes.crop_yxhw
    before = pixels[slices((y, x, y + height, x + width))].copy()
    after = before.copy()
    _paint(runs, before.reshape(-1), after.reshape(-1))
    rows_before, rows_after = rows_of(rows[: sizes.rows]), rows_of(rows[sizes.rows :])
    return Edit(verb, (y, x), before, after, rows_before, rows_after), masks


def _runs(before: npt.NDArray[np.int32], after: npt.NDArray[np.int32]) -> npt.NDArray[Any]:
    """Find the runs of changed pixels in two (h, w) crops read row by row; a table of `_RUN`."""
    places = np.flatnonzero(before != after)
    old, new = before.reshape(-1)[places], after.reshape(-1)[places]
    begins = np.ones(places.size, dtype=np.bool_)
    begins[1:] = (np.diff(places) != 1) | (old[1:] != old[:-1]) | (new[1:] != new[:-1])
    starts = np.flatnonzero(begins)
    runs = np.zeros(starts.size, dtype=_RUN)
    runs["length"] = np.diff(starts, append=places.size)
    firsts = places[starts]
    ends = firsts + runs["length"]
    runs["skip"] = firsts - np.concatenate(([0], ends[:-1])) if starts.size else 0
    runs["before"], runs["after"] = old[starts], new[starts]
    return runs


def _paint(
    runs: npt.NDArray[Any], before: npt.NDArray[np.int32], after: npt.NDArray[np.int32]
) -> None:
    """Write the changed pixels into two flat crops of the pixels that stay."""
    lengths = runs["length"].astype(np.int64)
    ends = np.cumsum(runs["skip"] + lengths)
    if ends.size and int(ends[-1]) > before.size:
        raise SessionError("changed pixels lie outside their crop")
    total = int(lengths.sum())
    first_of_run = np.repeat(ends - np.cumsum(lengths), lengths)
    places = np.arange(total) + first_of_run
    before[places] = np.repeat(runs["before"], lengths)
    after[places] = np.repeat(runs["after"], lengths)
