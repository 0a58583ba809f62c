"""What a JSON file is, told quickly by its first names, and how far its outlines reach."""

import gzip
import math
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from napari_uninuc.errors import LabelsError
from napari_uninuc.io.geojson import HEADER
from napari_uninuc.io.json_stream import stream_json

__all__ = ["beginning_of_json", "kind_of_json", "unstated_extent"]

Kind = Literal["coco", "geojson"]
Extent = tuple[float, float, float, float]

_LOOKED_AT_BYTES = 2**18
_TOKEN = re.compile(r'"((?:[^"\\]|\\.)*)"|[][{}:]')
_FEATURE = re.compile(r'\s*\[\s*\{[^{}]*"type"\s*:\s*"Feature"')
_COLLECTION = re.compile(r'"type"\s*:\s*"(FeatureCollection|Feature)"')


def kind_of_json(path: Path) -> Kind | None:
    """Tell outlines from other JSON by the first 256 KiB of text.

    Parameters
    ----------
    path : plain or gzipped, of any size

    Returns
    -------
    kind : None where it is neither COCO annotations nor GeoJSON features, where that is not told
        by the names at its beginning, and where there is no such file
    """
    text = beginning_of_json(path)
    if _FEATURE.match(text):
        return "geojson"
    names = dict(_names(text))
    if {"features", "geometry"} & names.keys() and _COLLECTION.search(text):
        return "geojson"
    coco = {"images", "annotations", "categories"} & names.keys()
    if len(coco) > 1 or "file_name" in names.get("images", ()):
        return "coco"
    return None


def beginning_of_json(path: Path) -> str:
    """Read the first 256 KiB of text; "" where there is no such file, or no text."""
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            source: Any = gzip.GzipFile(fileobj=file) if packed else file
            return str(source.read(_LOOKED_AT_BYTES).decode("utf-8-sig", "replace"))
    except (OSError, EOFError, zlib.error):
        return ""


def _names(text: str) -> Iterator[tuple[str, set[str]]]:
    """Members of the outermost object so far, each with the names of the objects in its list."""
    depth, last, within = 0, "", set[str]()
    for token in _TOKEN.finditer(text):
        mark = token[0]
        if mark in "{[":
            depth += 1
        elif mark in "}]":
            depth -= 1
        elif mark != ":":
            last = token[1]
        elif depth == 1:
            within = set()
            yield last, within
        elif depth == 3:
            within.add(last)


def unstated_extent(path: Path, kind: Kind) -> Extent | None:
    """Find how far outlines reach in a file that does not say how large its picture is.

    Parameters
    ----------
    path, kind : as `kind_of_json`

    Returns
    -------
    extent : y0, x0, y1, x1, px of the file; None where the file does say

    Raises
    ------
    LabelsError
        Not readable as JSON, or without any outline.
    """
    low, high = np.full(2, math.inf), np.full(2, -math.inf)
    for name, value in stream_json(path, {"features", "annotations"}):
        if _states_size(kind, name, value):
            return None
        if name in ("features", "annotations", "", "geometry") and isinstance(value, dict):
            points = _points_xy(value)
            if len(points):
                low, high = (
                    np.minimum(low, points.min(axis=0)),
                    np.maximum(high, points.max(axis=0)),
                )
    if not (low <= high).all():
        raise LabelsError(f"{path}: expected outlines of nuclei, got none; export them again")
    return float(low[1]), float(low[0]), float(high[1]), float(high[0])


def _states_size(kind: Kind, name: str, value: Any) -> bool:
    if kind == "geojson":
        return name == HEADER and isinstance(value, dict) and "shape" in value
    listed = value if name == "images" and isinstance(value, list) else []
    return any(isinstance(each, dict) and "height" in each for each in listed)


def _points_xy(outline: dict[str, Any]) -> np.ndarray:
    """Corners of a feature, a geometry or an annotation, (N, 2); none for what has no area."""
    shape = outline.get("nucleusGeometry") or outline.get("geometry") or outline
    if isinstance(shape, dict) and shape.get("type") in ("Polygon", "MultiPolygon"):
        numbers = _flat(shape.get("coordinates"), [])
    elif isinstance(outline.get("segmentation"), list):
        numbers = _flat(outline["segmentation"], [])
    else:
        return np.empty((0, 2))
    return np.array(numbers[: len(numbers) // 2 * 2], dtype=np.float64).reshape(-1, 2)


def _flat(value: Any, found: list[float]) -> list[float]:
    """Numbers of nested lists, in order; a point's third number is left out."""
    if isinstance(value, list):
        numbers = [each for each in value if type(each) in (int, float)]
        found += numbers[:2] if len(numbers) == len(value) == 3 else numbers
        for each in value:
            if isinstance(each, list):
                _flat(each, found)
    return found
