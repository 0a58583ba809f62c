"""Label images out of GeoJSON, ours and others'."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from napari_uninuc.errors import LabelsError
from napari_uninuc.io.colours import hex_of
from napari_uninuc.io.filling import MAX_COORDINATE, Crop, OversizedError
from napari_uninuc.io.geojson import HEADER, ID, SCORE, STATUS
from napari_uninuc.io.json_stream import stream_json
from napari_uninuc.io.painting import Painted, Painting
from napari_uninuc.io.qupath_objects import (
    ANNOTATION,
    NO_NUCLEI,
    NUCLEI,
    children_of,
    class_of,
    kind_of,
    mapping,
    measurements_of,
    name_of_shapeless,
    plane_of,
    polygons_of,
)
from napari_uninuc.io.shapes import Through, fill_rings
from napari_uninuc.io.stated import (
    DEFAULT_CLASS,
    checked_score,
    checked_status,
    clean_name,
    counted,
    known_mpp,
)
from napari_uninuc.io.stored import StoredSegmentation

__all__ = ["read_geojson"]


def read_geojson(
    path: Path,
    shape: tuple[int, int] | None = None,
    origin_yx_slide: tuple[int, int] | None = None,
    through: Through = "corners",
) -> StoredSegmentation:
    """Rasterise the polygons of a file: a pixel is a nucleus's where its centre is inside.

    QuPath's kinds of objects are minded: detections and cells are nuclei. Annotations are where
    the file has neither and they hold no other shapes; one that carries an id of ours is in any
    file. Tiles, TMA cores and what encloses no area never are.

    Parameters
    ----------
    path : a FeatureCollection, a list of features or one feature; plain or gzipped
    shape : (H, W) of the picture, px; must not differ from what the file says, which only ours
        do
    origin_yx_slide : where the picture's first pixel lies in the file's coordinates, px; None
        takes what the file says, else (0, 0)
    through : where the outlines run

    Returns
    -------
    stored : ids are those we wrote, new ones for other shapes, in the order of the file.
        Shapes outside the picture are left out; the nucleus of a QuPath cell is taken. Its
        notice counts objects that were left out

    Raises
    ------
    LabelsError
        Not such a file, no size known, no shape with an area, bad coordinates or scores, or too
        much of anything (`json_stream`, `filling` and `painting` name limits).
    """
    reader = _Reader(path, shape, origin_yx_slide, through)
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
        through: Through,
    ) -> None:
        self._path, self._through = path, through
        self._shape, self._origin_yx = shape, origin_yx
        self._mpp: float | None = None
        self._painting: Painting | None = None
        self._classes: list[tuple[str, str | None]] = []
        self._finds_nuclei = False  # detections or cells
        self._regions = 0  # not even painted
        self._left_out: Counter[str] = Counter()
        self._planes: dict[bool, Any] = {}

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
            elif name in ("id", "geometry", "properties", "nucleusGeometry"):
                alone[name] = value
        if kind == "Feature":
            self._add({"type": kind, **alone})
        elif self._painting is None and kind != "FeatureCollection":
            self._refuse(f"expected GeoJSON features, got {str(kind)[:40]!r}; export them again")
        painting = self._ready()
        if (self._left_out or self._regions) and not painting.shapes:
            self._refuse(
                "expected detections, cells or annotations as large as nuclei, got "
                f"{self._all_left_out() or 'larger ones'}; export the nuclei"
            )
        painted = painting.finish(only_sure=self._finds_nuclei)
        origin_yx = self._origin_yx or (0, 0)
        return StoredSegmentation(painted.segmentation, self._mpp, origin_yx, self._notice(painted))

    def _all_left_out(self) -> str:
        return ", ".join(f"{what} ({n})" for what, n in self._left_out.items())

    def _notice(self, painted: Painted) -> str:
        said = []
        if regions := painted.regions + self._regions:
            held = counted(regions, ANNOTATION)
            said.append(
                f"left out {held} beside detections or cells; export annotations alone to read "
                "each as a nucleus"
                if self._finds_nuclei
                else f"left out {held} that other annotations lie in"
            )
        if self._left_out:
            said.append(f"left out what is no nucleus: {self._all_left_out()}")
        if painted.renumbered:
            said.append(
                f"new ids for {counted(painted.renumbered, 'object')} whose id was taken or is none"
            )
        return "; ".join(said)

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
        for each in map(mapping, classes if isinstance(classes, list) else []):
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
        """Add an object and all that QuPath wrote beneath it."""
        waiting = [feature]
        while waiting:
            each = waiting.pop()
            if not isinstance(each, dict) or each.get("type") != "Feature":
                self._refuse("expected GeoJSON features, got something else in the list; remove it")
            properties = mapping(each.get("properties"))
            self._add_one(each, properties)
            waiting += reversed(children_of(each, properties))

    def _add_one(self, feature: Mapping[str, Any], properties: Mapping[str, Any]) -> None:
        painting = self._ready()
        measured, metadata = measurements_of(properties), mapping(properties.get("metadata"))
        id_ = metadata.get(ID, measured.get(ID))
        kind = kind_of(feature, properties)
        sure = kind in NUCLEI or id_ is not None
        polygons = self._shape_of(feature, kind, sure)
        if not polygons:
            return
        self._finds_nuclei |= kind in NUCLEI
        crops = self._crops(polygons, painting.shape, sure)
        if crops is None:
            self._regions += 1
            return
        name, colour = class_of(properties.get("classification"))
        painting.add(
            crops,
            id_,
            name or DEFAULT_CLASS,
            checked_score(measured.get(SCORE)),
            checked_status(metadata.get(STATUS)),
            colour=colour if name else None,
            sure=sure,
        )

    def _shape_of(self, feature: Mapping[str, Any], kind: str, sure: bool) -> list[Any]:
        """Find the polygons of an object; where it has none of use, count it and return none."""
        geometry, polygons = None, []
        for geometry in (feature.get("nucleusGeometry"), feature.get("geometry")):
            polygons = [] if geometry is None else list(polygons_of(geometry))
            if polygons:
                break
        if kind in NO_NUCLEI:
            self._left_out[kind] += 1
        elif not polygons:
            self._left_out[name_of_shapeless(geometry)] += 1
        else:
            plane = plane_of(geometry)
            if plane == self._planes.setdefault(sure, plane):
                return polygons
            self._left_out["object on another plane"] += 1
        return []

    def _crops(self, polygons: list[Any], shape: tuple[int, int], sure: bool) -> list[Crop] | None:
        """Fill polygons; None for what can be a region only."""
        if self._finds_nuclei and not sure:
            return None
        try:
            origin = self._origin_yx or (0, 0)
            filled = [fill_rings(each, shape, origin, self._through) for each in polygons]
        except OversizedError:
            if sure:
                raise
            return None
        return [crop for crop in filled if crop is not None]

    def _refuse(self, text: str) -> NoReturn:
        raise LabelsError(f"{self._path}: {text}")


def _two_ints(value: Any) -> tuple[int, int] | None:
    if not isinstance(value, list) or len(value) != 2:
        return None
    if not all(type(each) is int and abs(each) <= MAX_COORDINATE for each in value):
        return None
    return value[0], value[1]
