"""Nuclei in a tiatoolbox annotation store: SQLite, geometries as well-known binary.

Its nucleus segmentation traces with OpenCV, through the centres of the outermost pixels.
"""

import json
import sqlite3
import struct
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from napari_uninuc.errors import LabelsError
from napari_uninuc.io.qupath_objects import class_of, mapping
from napari_uninuc.io.shapes import Shape
from napari_uninuc.io.stated import clean_name

__all__ = ["is_tiatoolbox_store", "tiatoolbox_shapes"]

_START = b"SQLite format 3\x00"
_MAX_BYTES = 2**24  # of one value, packed and unpacked
_POLYGON, _MULTIPOLYGON = 3, 6
_NAMES = {1: "point", 2: "line", 4: "points", 5: "lines", 7: "collection"}


def is_tiatoolbox_store(path: Path) -> bool:
    """Tell by its first bytes and its tables whether a file is such a store."""
    try:
        with path.open("rb") as file:
            if file.read(len(_START)) != _START:
                return False
        with closing(_opened(path)) as database:
            return _holds_annotations(database)
    except (OSError, sqlite3.Error):
        return False


def tiatoolbox_shapes(path: Path) -> Iterator[Shape]:
    """List the annotations of a store; properties "type" and "prob" are class and score.

    Raises
    ------
    LabelsError
        No annotations in it. Damage raises sqlite3.Error or what `DECODING_ERRORS` names.
    """
    with closing(_opened(path)) as database:
        if not _holds_annotations(database):
            raise LabelsError("expected a tiatoolbox store, got no table of annotations")
        for geometry, properties in database.execute(
            "SELECT geometry, properties FROM annotations ORDER BY id"
        ):
            yield _shape(geometry, properties)


def _opened(path: Path) -> sqlite3.Connection:
    """Open for reading alone: no journal is rolled back, no function of the file is trusted."""
    database = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_BYTES)
    database.execute("PRAGMA trusted_schema = OFF")
    database.execute("PRAGMA mmap_size = 0")
    return database


def _holds_annotations(database: sqlite3.Connection) -> bool:
    """Whether there is a table of that name, and no view, which could compute without end."""
    found = database.execute(
        "SELECT type, rootpage FROM sqlite_master WHERE name = 'annotations' COLLATE NOCASE"
    ).fetchall()
    return len(found) == 1 and found[0][0] == "table" and bool(found[0][1])


def _shape(geometry: Any, properties: Any) -> Shape:
    if not isinstance(geometry, bytes):
        return Shape(left_out="point")  # of which a store keeps the position alone
    said = mapping(json.loads(properties)) if isinstance(properties, str) else {}
    polygons, left_out = _polygons(_unpacked(geometry))
    stated = next((said[key] for key in ("type", "class", "classification") if key in said), None)
    name, colour = class_of(stated) if isinstance(stated, dict) else (_name(stated), None)
    return Shape(polygons, None, name, said.get("prob"), colour=colour, left_out=left_out)


def _name(stated: Any) -> str:
    if isinstance(stated, int | float):
        return f"type {stated}"
    return clean_name(stated or "")


def _unpacked(data: bytes) -> bytes:
    if data[:1] in (b"\x00", b"\x01"):  # the order of bytes, with which plain geometries begin
        return data
    unpacker = zlib.decompressobj()
    plain = unpacker.decompress(data, _MAX_BYTES)
    if unpacker.unconsumed_tail:
        raise LabelsError(f"expected outlines of at most {_MAX_BYTES} bytes, got more")
    return plain


def _polygons(data: bytes) -> tuple[list[list[Any]], str]:
    """Read well-known binary: polygons, or what else it is."""
    kind, width, order, at = _head(data, 0)
    if kind == _POLYGON:
        rings, _ = _rings(data, at, width, order)
        return ([rings] if rings else []), ""
    if kind != _MULTIPOLYGON:
        return [], _NAMES.get(kind, "shape of another kind")
    (count,) = struct.unpack_from(f"{order}I", data, at)
    at += 4
    found = []
    for _ in range(count):
        kind, width, order, at = _head(data, at)
        if kind != _POLYGON:
            raise ValueError("a part that is no polygon")
        rings, at = _rings(data, at, width, order)
        found += [rings] if rings else []
    return found, ""


def _head(data: bytes, at: int) -> tuple[int, int, str, int]:
    """Read kind, numbers a point, order of bytes and where the content begins."""
    order = "<" if data[at : at + 1] == b"\x01" else ">"
    (code,) = struct.unpack_from(f"{order}I", data, at + 1)
    extended, kind = code & 0xE0000000, code & 0x0FFFFFFF
    width = 2 + bool(extended & 0x80000000) + bool(extended & 0x40000000)
    more, kind = divmod(kind, 1000)
    width += {0: 0, 1: 1, 2: 1, 3: 2}.get(more, 0)
    return kind, width, order, at + 5 + (4 if extended & 0x20000000 else 0)


def _rings(data: bytes, at: int, width: int, order: str) -> tuple[list[Any], int]:
    (count,) = struct.unpack_from(f"{order}I", data, at)
    at += 4
    rings = []
    for _ in range(count):
        (points,) = struct.unpack_from(f"{order}I", data, at)
        flat = np.frombuffer(data, f"{order}f8", points * width, at + 4)
        rings.append(flat.reshape(points, width)[:, :2])
        at += 4 + 8 * points * width
    return rings, at
