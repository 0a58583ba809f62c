"""The whole state of a session in one file, written beside and renamed."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field, TypeAdapter, ValidationError

from napari_uninuc.core.classes import ClassPalette, NucleusClass
from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.labels import LabelMap
from napari_uninuc.core.nuclei import Nucleus
from napari_uninuc.core.packing import pack_ids, unpack_ids
from napari_uninuc.errors import LabelsError, SessionError
from napari_uninuc.io.columns import (
    DERIVED,
    MASK,
    ROW,
    derived_of,
    mask_bits,
    mask_bytes_limit,
    masks_of,
    rows_of,
    table_of_derived,
    table_of_masks,
    table_of_rows,
    to_bytes,
    to_table,
)
from napari_uninuc.io.targets import replacing
from napari_uninuc.journal.edit_records import MAX_ROWS
from napari_uninuc.journal.framing import JournalReader, JournalWriter

__all__ = ["SessionState", "nuclei_in_snapshot", "read_snapshot", "write_snapshot"]

_LEVEL = 1
_Count = Annotated[int, Field(ge=0, le=MAX_ROWS)]
_Score = Annotated[float, Field(allow_inf_nan=False)]


@dataclass(frozen=True, slots=True, eq=False)
class SessionState:
    """What a session is at one moment; nothing in it changes afterwards.

    Attributes
    ----------
    pixels : (H, W) int32 ids of the tile
    rows : id -> row, HIDDEN ones included
    candidates : id -> the model's whole mask of automatic nuclei
    next_id : the id that a new nucleus gets
    classes : what a nucleus can be
    threshold, min_area_px : of the filter
    mpp : micrometres per px, None where unknown
    derived : classes derived from examples, see `AnnotationSession.derived`
    """

    pixels: npt.NDArray[np.int32]
    rows: Mapping[int, Nucleus]
    candidates: Mapping[int, InstanceMask]
    next_id: int
    classes: ClassPalette
    threshold: float
    min_area_px: int
    mpp: float | None
    derived: Mapping[int, tuple[int, float]] = field(default_factory=dict)

    def label_map(self) -> LabelMap:
        """Make the label map; LabelsError where pixels and rows contradict each other."""
        return LabelMap.from_labels(self.pixels, self.rows, next_id=self.next_id)


@dataclass(frozen=True, slots=True)
class _Head:
    shape: tuple[int, int]
    rows: _Count
    masks: _Count
    mask_bytes: Annotated[int, Field(ge=0)]
    nuclei: Annotated[int, Field(ge=0)]
    next_id: Annotated[int, Field(ge=1, le=2**31)]
    classes: tuple[tuple[str, str], ...]
    threshold: _Score
    min_area_px: int
    mpp: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None


_HEADS: TypeAdapter[_Head] = TypeAdapter(_Head)


def write_snapshot(state: SessionState, path: Path) -> None:
    """Write a state, whole or not at all, and wait until the disk has it.

    Raises
    ------
    OutputError, SessionError
        It cannot be written, or is larger than a record may be.
    """
    pixels, candidates = state.pixels, dict(state.candidates)
    height, width = pixels.shape
    bits = mask_bits(candidates.values())
    if len(bits) > mask_bytes_limit(len(candidates), pixels.shape):  # hundreds of runs
        candidates = {id_: mask for id_, mask in candidates.items() if id_ in state.rows}
        bits = mask_bits(candidates.values())
    classes = tuple((each.name, each.colour) for each in state.classes.classes)
    visible = sum(row.visible for row in state.rows.values())
    head = _Head(
        (height, width),
        len(state.rows),
        len(candidates),
        len(bits),
        visible,
        int(state.next_id),  # numpy's numbers do not go into JSON
        classes,
        float(state.threshold),
        int(state.min_area_px),
        None if state.mpp is None else float(state.mpp),
    )
    tables = to_bytes(table_of_rows(state.rows.items())) + to_bytes(table_of_masks(candidates))
    with replacing(path) as part:
        journal = JournalWriter(part)
        try:
            journal.append(_HEADS.dump_json(head))
            journal.append(pack_ids(pixels))
            journal.append(zlib.compress(tables + bits, _LEVEL))
            if state.derived:
                derived = to_bytes(table_of_derived(state.derived))
                journal.append(zlib.compress(derived, _LEVEL))
            journal.sync()
        finally:
            journal.close()


def read_snapshot(path: Path, shape: tuple[int, int]) -> SessionState:
    """Read the state of a session on a picture of `shape` (H, W) px.

    Raises
    ------
    SessionError
        Not there, damaged, or of a picture of another size.
    """
    records = _records(path, 3, and_more=1)
    head = _head(path, records[0])
    if head.shape != shape:
        raise SessionError(f"{path}: expected a snapshot of {shape} px, got {head.shape}")
    try:
        return _state(head, *records[1:])
    except (LabelsError, SessionError) as problem:
        raise SessionError(f"{path}: {problem}") from None


def nuclei_in_snapshot(path: Path) -> int:
    """Read how many nuclei were visible; SessionError as `read_snapshot`."""
    return _head(path, _records(path, 1)[0]).nuclei


def _records(path: Path, count: int, and_more: int = 0) -> list[bytes]:
    reader = JournalReader(path)
    records = list(islice(reader.records(), count + and_more))
    if len(records) < count:
        raise SessionError(f"{path}: the snapshot is damaged; an older one is needed")
    return records


def _head(path: Path, raw: bytes) -> _Head:
    try:
        return _HEADS.validate_json(raw)
    except ValidationError:
        raise SessionError(f"{path}: the snapshot says what cannot be") from None


def _state(
    head: _Head, packed_ids: bytes, packed_tables: bytes, packed_derived: bytes | None = None
) -> SessionState:
    if head.mask_bytes > mask_bytes_limit(head.masks, head.shape):
        raise SessionError("masks are larger than the picture they were found in")
    ends = head.rows * ROW.itemsize, head.rows * ROW.itemsize + head.masks * MASK.itemsize
    size = ends[1] + head.mask_bytes
    unpacker = zlib.decompressobj()
    try:
        raw = unpacker.decompress(packed_tables, size + 1)
    except zlib.error as problem:
        raise SessionError(f"its rows cannot be unpacked ({problem})") from None
    if len(raw) != size:
        raise SessionError(f"its rows take {len(raw)} bytes where it announces {size}")
    rows = rows_of(to_table(raw[: ends[0]], ROW))
    derived = {} if packed_derived is None else _derived(packed_derived, head)
    return SessionState(
        unpack_ids(packed_ids, head.shape),
        {id_: row for id_, row in rows.items() if row is not None},
        masks_of(to_table(raw[ends[0] : ends[1]], MASK), raw[ends[1] :]),
        head.next_id,
        ClassPalette(tuple(NucleusClass(*each) for each in head.classes)),
        head.threshold,
        head.min_area_px,
        head.mpp,
        derived,
    )


def _derived(packed: bytes, head: _Head) -> dict[int, tuple[int, float]]:
    limit = head.rows * DERIVED.itemsize
    try:
        raw = zlib.decompressobj().decompress(packed, limit + 1)
    except zlib.error as problem:
        raise SessionError(f"classes that were derived cannot be unpacked ({problem})") from None
    if len(raw) > limit or len(raw) % DERIVED.itemsize:
        raise SessionError("more classes were derived than there are nuclei")
    return derived_of(to_table(raw, DERIVED), len(head.classes))
