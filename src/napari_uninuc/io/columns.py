"""Rows of nuclei and their masks as plain bytes, column by column, so that they pack well."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.nuclei import Nucleus, Status
from napari_uninuc.errors import SessionError
from napari_uninuc.io.sources import MAX_SIDE

__all__ = [
    "DERIVED",
    "MASK",
    "ROW",
    "crops_of",
    "derived_of",
    "mask_bits",
    "mask_bytes_limit",
    "masks_of",
    "rows_of",
    "table_of_derived",
    "table_of_masks",
    "table_of_rows",
    "to_bytes",
    "to_table",
]

ROW = np.dtype(
    [
        ("id", "<i4"),
        ("class", "<i8"),
        ("score", "<f8"),
        ("iou", "<f8"),
        ("status", "u1"),  # place in _STATUSES + 1; 0 where there is no such nucleus
        ("boxed", "u1"),  # 1 with a box, plus 2 where a person said the class, plus 4 x (stain + 1)
        ("box_yxyx", "<f8", (4,)),
    ]
)
MASK = np.dtype(
    [
        ("id", "<i4"),
        ("y", "<i4"),
        ("x", "<i4"),
        ("height", "<u4"),
        ("width", "<u4"),
        ("class", "<i8"),
        ("score", "<f8"),
        ("iou", "<f8"),
    ]
)

DERIVED = np.dtype([("id", "<i4"), ("class", "<u2"), ("probability", "<u2")])
_SURE = 10_000  # parts of a probability that are kept

_STATUSES = (Status.AUTOMATIC, Status.EDITED, Status.REVIEWED, Status.HIDDEN)
_CODES = {status: code for code, status in enumerate(_STATUSES, start=1)}
_NO_BOX = (0.0, 0.0, 0.0, 0.0)


def to_bytes(table: npt.NDArray[Any]) -> bytes:
    """Write a table, (N,) of a structured dtype, byte column by byte column: like lies by like."""
    size = table.dtype.itemsize
    return np.ascontiguousarray(table).view(np.uint8).reshape(-1, size).T.tobytes()


def to_table(raw: bytes, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Read what `to_bytes` wrote: (N,) of ``dtype``; `raw` must be a whole number of rows."""
    columns = np.frombuffer(raw, np.uint8).reshape(dtype.itemsize, -1)
    return np.ascontiguousarray(columns.T).view(dtype).reshape(-1)


def table_of_rows(rows: Iterable[tuple[int, Nucleus | None]]) -> npt.NDArray[Any]:
    """Put N (id, row) pairs into a table, (N,) of `ROW`; a row that is None is noted as such."""
    return np.array([_cells(id_, row) for id_, row in rows], dtype=ROW)


def _cells(id_: int, row: Nucleus | None) -> tuple[Any, ...]:
    if row is None:
        return id_, 0, 0.0, 0.0, 0, 0, _NO_BOX
    box = row.detected_box_yxyx
    code = _CODES[row.status]
    stain = 0 if row.stain_said is None else row.stain_said + 1
    flags = (box is not None) + 2 * row.class_said + 4 * stain
    return id_, row.class_id, row.score, row.predicted_iou, code, flags, box or _NO_BOX


def rows_of(table: npt.NDArray[Any]) -> dict[int, Nucleus | None]:
    """Read a table, (N,) of `ROW`.

    Raises
    ------
    SessionError
        An id twice, or a status that there is not.
    LabelsError
        An id or class out of range.
    """
    if table.size and int(table["status"].max()) > len(_STATUSES):
        raise SessionError(f"a row has the unknown status {table['status'].max()}")
    rows = {cells[0]: _row(cells) for cells in table.tolist()}
    if len(rows) != len(table):
        raise SessionError("a nucleus has two rows")
    return rows


def _row(cells: tuple[Any, ...]) -> Nucleus | None:
    id_, class_id, score, iou, code, flags, box = cells
    if not code:
        return None
    box_yxyx = tuple(float(side) for side in box) if flags & 1 else None
    status, said = _STATUSES[code - 1], bool(flags & 2)
    stain = flags // 4 - 1 if flags >= 4 else None
    return Nucleus(id_, class_id, score, iou, status, box_yxyx, said, stain)  # type: ignore[arg-type]


def table_of_derived(derived: Mapping[int, tuple[int, float]]) -> npt.NDArray[Any]:
    """Put N classes that were derived into a table, (N,) of `DERIVED`; four digits are kept."""
    cells = [(id_, class_id, round(sure * _SURE)) for id_, (class_id, sure) in derived.items()]
    return np.array(cells, dtype=DERIVED)


def derived_of(table: npt.NDArray[Any], n_classes: int) -> dict[int, tuple[int, float]]:
    """Read a table, (N,) of `DERIVED`.

    Raises
    ------
    SessionError
        An id twice, a class or a probability that there is not.
    """
    found = {id_: (class_id, sure / _SURE) for id_, class_id, sure in table.tolist()}
    if len(found) != len(table) or any(
        class_id >= n_classes or sure > 1 for class_id, sure in found.values()
    ):
        raise SessionError("classes that were derived are out of range")
    return found


def table_of_masks(masks: Mapping[int, InstanceMask]) -> npt.NDArray[Any]:
    """Put everything about N masks but their pixels into a table, (N,) of `MASK`."""
    cells = [
        (id_, *mask.origin_yx, *mask.mask.shape, mask.class_id, mask.score, mask.predicted_iou)
        for id_, mask in masks.items()
    ]
    return np.array(cells, dtype=MASK)


def mask_bits(masks: Iterable[InstanceMask]) -> bytes:
    """Write the pixels of masks, eight a byte, each mask from a new byte on."""
    return b"".join(np.packbits(mask.mask).tobytes() for mask in masks)


def mask_bytes_limit(count: int, shape: Sequence[int]) -> int:
    """Bytes of `mask_bits` that so many masks of a picture of (H, W) px may take."""
    return count + 8 * shape[0] * shape[1]


def masks_of(table: npt.NDArray[Any], bits: bytes) -> dict[int, InstanceMask]:
    """Read a table, (N,) of `MASK`, and what `mask_bits` wrote.

    Raises
    ------
    SessionError
        More, fewer or larger masks than there are bits.
    """
    sizes, ends = _room_of(table, len(bits))
    raw = np.frombuffer(bits, np.uint8)
    masks = {}
    for cells, size, end in zip(table.tolist(), sizes.tolist(), ends.tolist(), strict=True):
        id_, y, x, height, width, class_id, score, iou = cells
        packed = raw[end - (size + 7) // 8 : end]
        mask = np.unpackbits(packed, count=size).astype(np.bool_).reshape(height, width)
        masks[id_] = InstanceMask((y, x), mask, score, class_id, iou)
    return masks


def crops_of(
    table: npt.NDArray[Any], bits: npt.NDArray[np.uint8]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Read the pixels of all masks of a table, (N,) of `MASK`, in one go.

    Returns
    -------
    pixels : (n,) uint8 of 0 and 1, mask after mask, row after row
    first : (N,) where each mask begins in them

    Raises
    ------
    SessionError
        As `masks_of`.
    """
    _, ends = _room_of(table, len(bits))
    return np.unpackbits(bits), 8 * np.concatenate([[0], ends])[:-1]


def _room_of(
    table: npt.NDArray[Any], available: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Px of each mask, and the byte where it ends; SessionError unless there are so many bytes."""
    if table.size and max(int(table["height"].max()), int(table["width"].max())) > 2 * MAX_SIDE:
        raise SessionError(f"a mask is more than {2 * MAX_SIDE} px a side")
    sizes = table["height"].astype(np.int64) * table["width"]
    ends = np.cumsum((sizes + 7) // 8)
    if (int(ends[-1]) if ends.size else 0) != available:
        raise SessionError("masks and their pixels do not fit together")
    return sizes, ends
