"""Edits kept small: runs of equal ids, then zlib."""

import zlib
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from napari_uninuc.core.edits import Edit

__all__ = ["PackedEdit"]

_LEVEL = 1  # level 6 takes three times as long for a third less; rows outweigh both


@dataclass(frozen=True, slots=True, eq=False)
class PackedEdit:
    """An edit whose crops are packed; `edit` gives back the same edit.

    Attributes
    ----------
    rows : the edit without its pixels
    origin_yx, shape : of the crops, px of the tile
    before, after : packed crops
    """

    rows: Edit
    origin_yx: tuple[int, int]
    shape: tuple[int, int]
    before: bytes
    after: bytes

    @classmethod
    def of(cls, edit: Edit) -> Self:
        """Pack an edit. Costs about 4 ns a pixel of its crop."""
        height, width = edit.after.shape
        rows = Edit.of_rows(edit.verb, edit.rows_before, edit.rows_after)
        before, after = _pack(edit.before), _pack(edit.after)
        return cls(rows, edit.origin_yx, (height, width), before, after)

    @property
    def nbytes(self) -> int:
        """Memory it holds: exact for pixels, estimated for rows."""
        return self.rows.nbytes + len(self.before) + len(self.after)

    def edit(self) -> Edit:
        """Unpack the edit."""
        return replace(
            self.rows,
            origin_yx=self.origin_yx,
            before=_unpack(self.before, self.shape),
            after=_unpack(self.after, self.shape),
        )


def _pack(crop: npt.NDArray[np.int32]) -> bytes:
    """Write ids, then lengths, of the runs of a (h, w) crop read row by row."""
    flat = crop.ravel()
    begins = np.ones(flat.size, dtype=np.bool_)
    np.not_equal(flat[1:], flat[:-1], out=begins[1:])
    starts = np.flatnonzero(begins)
    lengths = np.diff(starts, append=flat.size).astype(np.uint32)
    return zlib.compress(flat[starts].tobytes() + lengths.tobytes(), _LEVEL)


def _unpack(packed: bytes, shape: tuple[int, int]) -> npt.NDArray[np.int32]:
    runs = zlib.decompress(packed)
    half = len(runs) // 2
    values, lengths = np.frombuffer(runs[:half], np.int32), np.frombuffer(runs[half:], np.uint32)
    return np.repeat(values, lengths).reshape(shape)
