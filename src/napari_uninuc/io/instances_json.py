"""Nuclei in the JSON of HoVer-Net, and of CellViT, which grew out of it.

Both trace nuclei with OpenCV, through the centres of their outermost pixels.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from napari_uninuc.io.json_stream import stream_json
from napari_uninuc.io.qupath_objects import class_of, mapping
from napari_uninuc.io.shapes import Shape
from napari_uninuc.io.stated import clean_name

__all__ = ["cellvit_feature_shapes", "cellvit_shapes", "hovernet_shapes"]


def hovernet_shapes(path: Path) -> Iterator[Shape]:
    """List the nuclei of ``{"mag": ..., "nuc": {"1": {"contour": ..., "type": ...}}}``.

    Earlier versions wrote what is in "nuc" alone. A type that is a number is the class "type 1".

    Raises
    ------
    LabelsError
        As `stream_json`.
    """
    for name, value in stream_json(path, (), {"nuc"}):
        if name == "nuc" and isinstance(value, tuple):
            yield _instance(value[1], value[0], {})
        elif name.isdigit():
            yield _instance(value, name, {})


def cellvit_shapes(path: Path) -> Iterator[Shape]:
    """List the cells of CellViT's ``cells.json``; ``type_map`` names their types, where it is.

    Raises
    ------
    LabelsError
        As `stream_json`.
    """
    names: Mapping[str, Any] = {}
    for member, value in stream_json(path, {"cells"}):
        if member == "type_map":
            names = mapping(value)
        elif member == "cells":
            yield _instance(value, None, names)


def _instance(value: Any, id_: str | None, names: Mapping[str, Any]) -> Shape:
    stored = mapping(value)
    contour, kind = stored.get("contour"), stored.get("type")
    named = names.get(str(kind))
    said = clean_name(named if named is not None else "" if kind is None else f"type {kind}")
    return Shape([[contour]] if contour else (), id_, said, stored.get("type_prob"))


def cellvit_feature_shapes(path: Path) -> Iterator[Shape]:
    """List the cells of CellViT's ``cells.geojson``: one MultiPolygon for each class.

    Raises
    ------
    LabelsError
        As `stream_json`.
    """
    for _, value in stream_json(path, {"features"}):
        feature = mapping(value)
        geometry, properties = mapping(feature.get("geometry")), mapping(feature.get("properties"))
        name, colour = class_of(properties.get("classification"))
        polygons = geometry.get("coordinates")
        if geometry.get("type") != "MultiPolygon" or not isinstance(polygons, list):
            yield Shape(left_out=str(geometry.get("type") or "object without shape")[:40])
            continue
        for rings in polygons:
            usable = isinstance(rings, list) and bool(rings)
            yield Shape([rings] if usable else (), None, name, colour=colour)
