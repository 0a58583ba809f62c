"""Outlines in the XML of ASAP and of Aperio ImageScope, read in bounded memory.

Both count as we do: the first pixel reaches from 0 to 1. A document type, which could make
entities grow, is refused: neither program writes one.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.parsers import expat

import numpy as np

from napari_uninuc.errors import LabelsError
from napari_uninuc.io.filling import MAX_CROSSINGS
from napari_uninuc.io.shapes import Shape
from napari_uninuc.io.sources import reason_of, require_file
from napari_uninuc.io.stated import clean_name

__all__ = ["asap_shapes", "imagescope_shapes", "root_of_xml"]

_CHUNK = 2**20
_NO_AREA_ASAP = ("Dot", "PointSet", "Measurement")
_HEX = re.compile("#[0-9a-fA-F]{6}")
_RECTANGLE, _ELLIPSE = "1", "2"  # types of ImageScope's regions
_ELLIPSE_POINTS = 128
_FEWEST_POINTS = 3

Event = tuple[str, dict[str, str] | None]
"""The name of an element, and its attributes where it begins; None where it ends."""


def xml_events(path: Path) -> Iterator[Event]:
    """Read where elements begin and end, chunk by chunk; text between them is dropped.

    Raises
    ------
    LabelsError
        Missing, not XML, or with a document type.
    """
    require_file(path, LabelsError, "label file")
    found: list[Event] = []
    parser = expat.ParserCreate()
    parser.StartElementHandler = lambda name, attributes: found.append((name, attributes))
    parser.EndElementHandler = lambda name: found.append((name, None))
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        with path.open("rb") as file:
            while True:
                chunk = file.read(_CHUNK)
                parser.Parse(chunk, not chunk)
                yield from found
                found.clear()
                if not chunk:
                    return
    except (expat.ExpatError, ValueError, LookupError) as problem:
        text = str(problem) if isinstance(problem, LabelsError) else f"got {reason_of(problem)}"
        raise LabelsError(f"{path}: expected readable XML, {text}; export it again") from None
    except OSError as problem:
        raise LabelsError(f"{path}: cannot be read ({problem.strerror}); check it") from None


def _refuse_doctype(*_: Any) -> None:
    raise LabelsError("got a document type, which annotations have not")


def root_of_xml(path: Path) -> str:
    """Tell the name of the outermost element; "" where there is none."""
    try:
        return next((name for name, _ in xml_events(path)), "")
    except LabelsError:
        return ""


def asap_shapes(path: Path) -> Iterator[Shape]:
    """List the annotations of ASAP: polygons, splines (as polygons of their points), rectangles.

    The class is the group that an annotation is part of. Dots and measurements are left out.

    Raises
    ------
    LabelsError
        Not XML, or points that are no numbers.
    """
    said: Mapping[str, str] = {}
    points: list[tuple[float, list[float]]] = []
    for name, attributes in xml_events(path):
        if name == "Annotation" and attributes is not None:
            said, points = attributes, []
        elif name == "Coordinate" and attributes is not None:
            _require_room(points)
            order = _number(attributes.get("Order", str(len(points))))
            points.append((order, [_number(attributes.get(axis)) for axis in "XY"]))
        elif name == "Annotation":
            yield _asap_shape(said, [xy for _, xy in sorted(points, key=lambda each: each[0])])


def _asap_shape(said: Mapping[str, str], points: list[list[float]]) -> Shape:
    kind = said.get("Type", "Polygon")
    if kind in _NO_AREA_ASAP:
        return Shape(left_out=kind.lower())
    group, colour = clean_name(said.get("PartOfGroup", "")), said.get("Color", "")
    return Shape(
        [[points]] if len(points) >= _FEWEST_POINTS else (),
        class_name="" if group == "None" else group,
        colour=colour.lower() if _HEX.fullmatch(colour) else None,
    )


def imagescope_shapes(path: Path) -> Iterator[Shape]:
    """List the regions of ImageScope's annotation layers, in the order of the file.

    The class is the name of the layer, or of its first attribute. Negative regions, and those of
    fewer than three points, are left out.

    Raises
    ------
    LabelsError
        Not XML, or points that are no numbers.
    """
    layer: dict[str, str] = {}
    region: Mapping[str, str] = {}
    points: list[list[float]] = []
    for name, attributes in xml_events(path):
        if attributes is None:
            if name == "Region":
                yield _imagescope_shape(layer, region, points)
        elif name == "Annotation":
            layer = attributes
        elif name == "Attribute":
            layer.setdefault("Attribute", attributes.get("Name", ""))
        elif name == "Region":
            region, points = attributes, []
        elif name == "Vertex":
            _require_room(points)
            points.append([_number(attributes.get(axis)) for axis in "XY"])


def _imagescope_shape(
    layer: Mapping[str, str], region: Mapping[str, str], points: list[list[float]]
) -> Shape:
    if region.get("NegativeROA", "0") == "1":
        return Shape(left_out="negative region")
    kind = region.get("Type", "0")
    if points and kind == _ELLIPSE:
        points = _in_box(points, _ELLIPSE_POINTS)
    elif len(points) == 2 and kind == _RECTANGLE:
        points = _in_box(points, 4)
    return Shape(
        [[points]] if len(points) >= _FEWEST_POINTS else (),
        class_name=clean_name(layer.get("Name", "") or layer.get("Attribute", "")),
        colour=_colour_of(layer.get("LineColor", "")),
    )


def _in_box(points: list[list[float]], count: int) -> list[list[float]]:
    """Draw in the box of some points its ellipse, or with four points its rectangle."""
    low, high = np.min(points, axis=0), np.max(points, axis=0)
    turn = np.linspace(0, 2 * np.pi, count, endpoint=False) + (np.pi / 4 if count == 4 else 0)
    reach = np.sqrt(2) if count == 4 else 1
    around = np.stack([np.cos(turn), np.sin(turn)], axis=1) * reach
    ring: list[list[float]] = ((low + high) / 2 + (high - low) / 2 * around).tolist()
    return ring


def _colour_of(number: str) -> str | None:
    """Read a colour as ImageScope has it: one number, red in its lowest byte."""
    if not re.fullmatch(r"\d{1,8}", number):
        return None
    value = int(number)
    return f"#{value & 255:02x}{value >> 8 & 255:02x}{value >> 16 & 255:02x}"


def _require_room(points: list[Any]) -> None:
    if len(points) >= MAX_CROSSINGS:
        raise LabelsError(f"outlines may have at most {MAX_CROSSINGS} points, got more")


def _number(text: str | None) -> float:
    try:
        return float((text or "").replace(",", "."))  # some computers write decimals so
    except ValueError:
        raise LabelsError(
            f"expected positions as numbers, got {str(text)[:40]!r}; export it again"
        ) from None
