"""The objects of QuPath as its GeoJSON has had them since version 0.2."""

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from napari_uninuc.io.colours import hex_of
from napari_uninuc.io.filling import MAX_COORDINATE
from napari_uninuc.io.stated import clean_name

__all__ = [
    "ANNOTATION",
    "NO_NUCLEI",
    "NUCLEI",
    "children_of",
    "class_of",
    "kind_of",
    "mapping",
    "measurements_of",
    "name_of_shapeless",
    "plane_of",
    "polygons_of",
]

_KINDS = {
    "detection": "detection",
    "cell": "cell",
    "tile": "tile",
    "tmacore": "TMA core",
    "root": "root object",
}
"""By what QuPath has written; whatever else there is, it takes for an annotation."""

ANNOTATION = "annotation"
NUCLEI = ("detection", "cell")
"""Kinds that are nuclei wherever they stand."""

NO_NUCLEI = ("tile", "TMA core", "root object")
"""Kinds that never are."""

_FEWEST_POINTS = 3
_ELLIPSE_STEP_PX = 0.5
_MOST_ELLIPSE_POINTS = 4096


def mapping(value: Any) -> Mapping[str, Any]:
    """Take an object of JSON as it is, anything else as an empty one."""
    return value if isinstance(value, dict) else {}


def kind_of(feature: Mapping[str, Any], properties: Mapping[str, Any]) -> str:
    """Find what QuPath takes an object for, in whatever place its versions wrote it."""
    stated = [properties.get(key) for key in ("objectType", "object_type", "type")]
    known = [str(value) for value in (*stated, feature.get("id")) if value is not None]
    # QuPath 0.2 put the name of a class in the place of the id: PathDetectionObject.
    name = known[0].replace("_", "").lower() if known else ""
    return _KINDS.get(name.removeprefix("path").removesuffix("object"), ANNOTATION)


def children_of(feature: Mapping[str, Any], properties: Mapping[str, Any]) -> list[Any]:
    """Find the objects that lie beneath one, where QuPath wrote a hierarchy."""
    for owner, name in itertools.product((properties, feature), ("childObjects", "children")):
        if isinstance(owner.get(name), list):
            found: list[Any] = owner[name]
            return found
    return []


def polygons_of(geometry: Any) -> Iterator[list[Any]]:
    """Find the rings of every part that encloses an area, as far as the number of points says."""
    waiting = [geometry]
    while waiting:
        shape = mapping(waiting.pop())
        kind, inner = shape.get("type"), shape.get("coordinates")
        if kind == "GeometryCollection":
            parts = shape.get("geometries")
            waiting += reversed(parts) if isinstance(parts, list) else []
        if kind not in ("Polygon", "MultiPolygon") or not isinstance(inner, list):
            continue
        for polygon in [inner] if kind == "Polygon" else inner:
            rings = polygon if isinstance(polygon, list) else []
            if rings and _is_ring(rings[0]):
                yield (
                    _ellipse(rings[0])
                    if shape.get("isEllipse") is True
                    else [ring for ring in rings if _is_ring(ring)]
                )


def _is_ring(ring: Any) -> bool:
    return isinstance(ring, list) and len(ring) >= _FEWEST_POINTS


def _ellipse(ring: list[Any]) -> list[Any]:
    """Draw the ellipse in the box of a ring: QuPath keeps of an ellipse no more than its box."""
    try:
        points = np.asarray(ring, dtype=np.float64)[:, :2]
    except (TypeError, ValueError, IndexError, OverflowError):
        return [ring]  # what is wrong with it is said where it is filled
    if points.shape[1] < 2 or not (np.abs(points) <= MAX_COORDINATE).all():
        return [ring]
    low, high = points.min(axis=0), points.max(axis=0)
    around_px = math.pi * float((high - low).max())
    count = min(16 + int(around_px / _ELLIPSE_STEP_PX), _MOST_ELLIPSE_POINTS)
    angle = np.linspace(0, 2 * math.pi, count, endpoint=False)
    turned = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return [((low + high) / 2 + (high - low) / 2 * turned).tolist()]


def name_of_shapeless(geometry: Any) -> str:
    """Say what a geometry without area is."""
    kind = mapping(geometry).get("type")
    if not isinstance(kind, str):
        return "object without shape"
    return f"{kind[:40]} without area" if kind.endswith("Polygon") else kind[:40]


def plane_of(geometry: Any) -> tuple[str, str]:
    """Read on which plane of a stack a shape lies: z and t, "0" where it is not said."""
    stated = mapping(mapping(geometry).get("plane"))
    return str(stated.get("z", 0)), str(stated.get("t", 0))


def class_of(value: Any) -> tuple[str, str | None]:
    """Read a classification in any form QuPath has written: name, and colour where told."""
    if isinstance(value, str):
        return clean_name(value), None
    stored = mapping(value)
    names = stored.get("names")
    name = ": ".join(map(str, names)) if isinstance(names, list) else stored.get("name")
    return clean_name(name or ""), hex_of(stored.get("color", stored.get("colorRGB")))


def measurements_of(properties: Mapping[str, Any]) -> Mapping[str, Any]:
    """Read measurements as the mapping of today or the list of earlier versions."""
    value = properties.get("measurements")
    if isinstance(value, list):
        pairs = [mapping(each) for each in value]
        return {str(each.get("name")): each.get("value") for each in pairs}
    return mapping(value)
