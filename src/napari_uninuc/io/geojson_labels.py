"""Label images out of GeoJSON, ours and others'."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from napari_uninuc.errors import LabelsError
from napari_uninuc.io.colours import hex_of
from napari_uninuc.io.filling import MAX_COORDINATE, Crop, fill_polygon
from napari_uninuc.io.geojson import HEADER, ID, SCORE, STATUS
from napari_uninuc.io.json_stream import stream_json
from napari_uninuc.io.painting import (
    DEFAULT_CLASS,
    Painting,
    checked_id,
    checked_score,
    checked_status,
    clean_name,
    known_mpp,
)
from napari_uninuc.io.stored import StoredSegmentation

__all__ = ["read_geojson"]


def read_geojson(
    path: Path,
    shape: tuple[int, int] | None = None,
    origin_yx_slide: tuple[int, int] | None = None,
) -> StoredSegmentation:
    """Rasterise the polygons of a file: a pixel is a nucleus's where its centre is inside.

    Parameters
    ----------
    path : a FeatureCollection, a list of features or one feature; plain or gzipped
    shape : (H, W) of the picture, px; must not differ from what the file says, which only ours
        do
    origin_yx_slide : where the picture's first pixel lies in the file's coordinates, px; None
        takes what the file says, else (0, 0)

    Returns
    -------
    stored : ids are those we wrote, new ones for other shapes, in the order of the file.
        Shapes outside the picture are left out; the nucleus of a QuPath cell is taken

    Raises
    ------
    LabelsError
        Not such a file, no size known, shapes that are not polygons, bad coordinates, ids or
        scores, or too much of anything (`json_stream`, `filling` and `painting` name limits).
    """
    reader = _Reader(path, shape, origin_yx_slide)
    try:
        return reader.read()
    except LabelsError as problem:
        if str(problem).startswith(str(path)):
            raise
        raise LabelsError(f"{path}: {problem}") from None


class _Reader:
    """Reads one file."""

    def __init__(
        self,
        path: Path,
        shape: tuple[int, int] | None,
        origin_yx: tuple[int, int] | None,
    ) -> None:
        self._path = path
        self._shape, self._origin_yx = shape, origin_yx
        self._mpp: float | None = None
        self._painting: Painting | None = None
        self._classes: list[tuple[str, str | None]] = []

    def read(self) -> StoredSegmentation:
        alone: dict[str, Any] = {}
        kind: Any = None
        for name, value in stream_json(self._path, {"features"}):
            if name in ("features", ""):
                self._add(value)
            elif name == HEADER and isinstance(value, dict):
                self._take_header(value)
            elif name == "type":
                kind = value
            elif name in ("geometry", "properties", "nucleusGeometry"):
                alone[name] = value
        if kind == "Feature":
            self._add({"type": kind, **alone})
        elif self._painting is None and kind != "FeatureCollection":
            self._refuse(f"expected GeoJSON features, got {str(kind)[:40]!r}; export them again")
        finished = self._ready().finish()
        return StoredSegmentation(finished, self._mpp, self._origin_yx or (0, 0))

    def _take_header(self, header: Mapping[str, Any]) -> None:
        stated = _two_ints(header.get("shape"))
        if self._shape is not None and stated is not None and stated != tuple(self._shape):
            self._refuse(
                f"expected nuclei of a picture of {self._shape[0]} x {self._shape[1]} px, got "
                f"those of one of {stated[0]} x {stated[1]}; name the right picture"
            )
        self._shape = self._shape or stated
        self._origin_yx = self._origin_yx or _two_ints(header.get("origin_yx_slide"))
        self._mpp = known_mpp(header.get("mpp"))
        classes = header.get("classes")
        for each in map(_mapping, classes if isinstance(classes, list) else []):
            self._classes.append((clean_name(each.get("name") or ""), hex_of(each.get("color"))))

    def _ready(self) -> Painting:
        if self._painting is None:
            if self._shape is None:
                self._refuse(
                    "the file does not say how large the picture is; name the picture (--like "
                    "IMAGE) or its shape"
                )
            self._painting = Painting(self._shape)
            for name, colour in self._classes:
                self._painting.know_class(name, colour)
        return self._painting

    def _add(self, feature: Any) -> None:
        painting = self._ready()
        if not isinstance(feature, dict) or feature.get("type") != "Feature":
            self._refuse("expected GeoJSON features, got something else in the list; remove it")
        properties = _mapping(feature.get("properties"))
        name, colour = _class_of(properties.get("classification"))
        if name:
            painting.know_class(name, colour)
        measured, metadata = _measurements(properties), _mapping(properties.get("metadata"))
        id_ = metadata.get(ID, measured.get(ID))
        painting.add(
            self._crops(feature.get("nucleusGeometry") or feature.get("geometry")),
            0 if id_ is None else checked_id(id_),
            name or DEFAULT_CLASS,
            checked_score(measured.get(SCORE)),
            checked_status(metadata.get(STATUS)),
        )

    def _crops(self, geometry: Any) -> list[Crop]:
        found = _mapping(geometry)
        kind, coordinates = found.get("type"), found.get("coordinates")
        if kind not in ("Polygon", "MultiPolygon") or not isinstance(coordinates, list):
            self._refuse(
                f"expected Polygon or MultiPolygon shapes, got {str(kind)[:40]!r}; remove it, or "
                "make it one in QuPath"
            )
        y, x = self._origin_yx or (0, 0)
        polygons = [coordinates] if kind == "Polygon" else coordinates
        assert self._painting is not None
        filled = [fill_polygon(each, self._painting.shape, (y, x)) for each in polygons]
        return [crop for crop in filled if crop is not None]

    def _refuse(self, text: str) -> NoReturn:
        raise LabelsError(f"{self._path}: {text}")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _two_ints(value: Any) -> tuple[int, int] | None:
    if not isinstance(value, list) or len(value) != 2:
        return None
    if not all(type(each) is int and abs(each) <= MAX_COORDINATE for each in value):
        return None
    return value[0], value[1]


def _class_of(value: Any) -> tuple[str, str | None]:
    """Read a classification in any form QuPath has written: name, and colour where told."""
    if isinstance(value, str):
        return clean_name(value), None
    stored = _mapping(value)
    names = stored.get("names")
    name = ": ".join(map(str, names)) if isinstance(names, list) else stored.get("name")
    return clean_name(name or ""), hex_of(stored.get("color", stored.get("colorRGB")))


def _measurements(properties: Mapping[str, Any]) -> Mapping[str, Any]:
    """Read measurements as the mapping of today or the list of earlier versions."""
    value = properties.get("measurements")
    if isinstance(value, list):
        pairs = [_mapping(each) for each in value]
        return {str(each.get("name")): each.get("value") for each in pairs}
    return _mapping(value)
