"""GeoJSON as QuPath 0.4 and later read it: written and read nucleus by nucleus.

Positions are px of the slide at full resolution; pixel (y, x) covers [x, x + 1] x [y, y + 1].
An object's ``id`` must be a UUID there, so the number in the label image travels as metadata
and as a measurement. The member ``uninuc`` of the collection says what QuPath has no place
for; RFC 7946 (section 6.1) allows it.
"""

import gzip
import hashlib
import json
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal
from uuid import NAMESPACE_URL, UUID, uuid5

import numpy as np
import pandas as pd

from napari_uninuc.core.segmentation import CLASS_PROBABILITY, FOUND_COLUMNS, Segmentation
from napari_uninuc.core.tile import Tile
from napari_uninuc.io.colours import GREY, rgb_by_class
from napari_uninuc.io.outlines import NucleusOutline, trace_nuclei
from napari_uninuc.io.targets import replacing

__all__ = [
    "AREA",
    "AREA_UM2",
    "HEADER",
    "ID",
    "SCORE",
    "STATUS",
    "at_full_resolution",
    "collection_ends",
    "feature_collection",
    "features_of",
    "packed",
    "times",
    "write_geojson",
]

HEADER = "uninuc"
ID, SCORE, STATUS = "UniNuc: id", "UniNuc: score", "UniNuc: status"
PROBABILITY = "UniNuc: class probability"
AREA, AREA_UM2 = "UniNuc: area px^2", "UniNuc: area µm^2"

_COMPRESSION = 6
_MEMBER_COMPRESSION = 5  # of libdeflate: 6 takes half as long again and is no smaller here


def write_geojson(
    segmentation: Segmentation,
    path: Path,
    mpp: float | None = None,
    tile: Tile | None = None,
    origin_yx_slide: tuple[int, int] | None = None,
    objects: Literal["detection", "annotation"] = "detection",
) -> None:
    """Write every nucleus as a QuPath object along the corners of its pixels.

    Parameters
    ----------
    segmentation : rows without pixels are left out
    path : gzipped where it ends in ``.gz``; replaced whole or not at all
    mpp : micrometres per px, for areas
    tile : the picture. The same picture and id give the same UUID; without it, the same label
        image and id do
    origin_yx_slide : first pixel on the slide, px; None takes the tile's, else (0, 0). Where the
        tile was cut from a coarser level of a slide, what is written is px of full resolution
    objects : "detection" is light and cannot be edited in QuPath, "annotation" can be

    Raises
    ------
    OutputError
        The file cannot be written.

    Examples
    --------
    >>> import json
    >>> from pathlib import Path
    >>> from napari_uninuc import Segmentation
    >>> from napari_uninuc.io.geojson import write_geojson
    >>> from napari_uninuc.testing import make_tile
    >>> tissue = make_tile((64, 64), n_nuclei=3)
    >>> nuclei = Segmentation.from_labels(tissue.labels)

    >>> write_geojson(nuclei, Path("nuclei.geojson"), mpp=0.25, tile=tissue.tile)
    >>> features = json.loads(Path("nuclei.geojson").read_text(encoding="utf-8"))["features"]
    >>> len(features), features[0]["geometry"]["type"], features[0]["properties"]["objectType"]
    (3, 'Polygon', 'detection')
    """
    if origin_yx_slide is None:
        origin_yx_slide = (0, 0) if tile is None else tile.origin_yx_slide
    step = 1.0 if tile is None else tile.downsample
    header = _header(segmentation, mpp, origin_yx_slide, step)
    space = _space_of(segmentation, tile, origin_yx_slide)
    with feature_collection(path, header) as write:
        for feature in features_of(segmentation, space, mpp, origin_yx_slide, objects):
            write(at_full_resolution(feature, step))


@contextmanager
def feature_collection(
    path: Path, header: dict[str, Any]
) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Write features one by one, as many as there are, in bounded memory.

    Parameters
    ----------
    path : gzipped where it ends in ``.gz``; replaced whole or not at all
    header : the member `HEADER` of the collection

    Yields
    ------
    write : takes one feature

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    with replacing(path) as part, ExitStack() as stack:
        file: Any = stack.enter_context(part.open("wb"))
        if path.name.lower().endswith(".gz"):
            file = stack.enter_context(gzip.GzipFile("", "wb", _COMPRESSION, file, mtime=0))
        start, end = collection_ends(header)
        file.write(start)
        between = ""

        def write(feature: dict[str, Any]) -> None:
            nonlocal between
            file.write(f"{between}\n{json.dumps(feature)}".encode())
            between = ","

        yield write
        file.write(end)


def collection_ends(header: dict[str, Any]) -> tuple[bytes, bytes]:
    """What lies before the first line of a collection of features, and after the last one.

    Parameters
    ----------
    header : the member `HEADER` of the collection
    """
    start = f'{{"type": "FeatureCollection", "{HEADER}": {json.dumps(header)}, "features": ['
    return start.encode(), b"\n]}\n"


def packed(text: bytes) -> bytes:
    """Pack a part of a file as a gzip member of its own; the same text gives the same bytes.

    Members that follow each other are one file to every reader of gzip. libdeflate takes a fifth
    of zlib's time and a tenth less room.
    """
    import imagecodecs  # here, for few who write GeoJSON pack it so

    return bytes(imagecodecs.gzip_encode(text, level=_MEMBER_COMPRESSION))


def features_of(
    segmentation: Segmentation,
    space: UUID,
    mpp: float | None = None,
    origin_yx_slide: tuple[int, int] = (0, 0),
    objects: Literal["detection", "annotation"] = "detection",
) -> Iterator[dict[str, Any]]:
    """Make a QuPath object of every nucleus that has pixels, in the order of the table.

    Parameters
    ----------
    space : of the picture or slide; with an id it gives the object's UUID
    mpp, origin_yx_slide, objects : as for `write_geojson`
    """
    yield from _Features(segmentation, space, mpp, origin_yx_slide, objects).features()


def at_full_resolution(feature: dict[str, Any], downsample: float) -> dict[str, Any]:
    """Move a feature from px of a level of a slide to px of full resolution, in place.

    Parameters
    ----------
    feature : as `features_of` makes it
    downsample : px of full resolution per px of the level; 1 changes nothing

    Returns
    -------
    feature : the same object; shares no list with another
    """
    if downsample != 1:
        geometry, properties = feature["geometry"], feature["properties"]
        geometry["coordinates"] = times(geometry["coordinates"], downsample)
        properties["measurements"][AREA] = round(properties["measurements"][AREA] * downsample**2)
    return feature


def times(values: Any, step: float) -> Any:
    """Multiply nested lists of px; whole numbers stay whole where `step` is."""
    if isinstance(values, list | tuple):
        return [times(value, step) for value in values]
    return int(values * step) if step.is_integer() else round(values * step, 2)


def _space_of(segmentation: Segmentation, tile: Tile | None, origin_yx: tuple[int, int]) -> UUID:
    pixels = segmentation.labels.reshape(-1)  # in the order of rows, whatever lies in memory
    picture = hashlib.sha256(pixels.data).hexdigest() if tile is None else tile.digest
    y, x = origin_yx
    return uuid5(NAMESPACE_URL, f"uninuc:{picture}:{y}:{x}")


def _header(
    segmentation: Segmentation, mpp: float | None, origin_yx: tuple[int, int], step: float
) -> dict[str, Any]:
    colours = rgb_by_class(segmentation)
    ends = np.add(origin_yx, segmentation.labels.shape)
    first = [math.floor(value * step) for value in origin_yx]
    return {
        "version": 1,
        "shape": [math.ceil(e * step) - f for e, f in zip(ends.tolist(), first, strict=True)],
        "origin_yx_slide": first,
        "mpp": None if mpp is None else mpp / step,
        "classes": [{"name": name, "color": list(rgb)} for name, rgb in colours.items()],
    }


class _Features:
    """Makes the features of one file."""

    def __init__(
        self,
        segmentation: Segmentation,
        space: UUID,
        mpp: float | None,
        origin_yx: tuple[int, int],
        objects: str,
    ) -> None:
        self._segmentation, self._mpp, self._objects = segmentation, mpp, objects
        self._space, self._origin_yx = space, origin_yx
        self._colours = rgb_by_class(segmentation)

    def features(self) -> Iterator[dict[str, Any]]:
        table = self._segmentation.table
        statuses = table["status"] if "status" in table.columns else [""] * len(table)
        likely = table.get(CLASS_PROBABILITY, [math.nan] * len(table))
        columns = zip(table["class"], table["score"], likely, statuses, strict=True)
        rows = dict(zip(table["id"].tolist(), columns, strict=True))
        found = _found_boxes(table, self._origin_yx)
        for outline in trace_nuclei(self._segmentation, self._origin_yx):
            name, score, sure, status = rows[outline.id]
            said = {SCORE: float(score), PROBABILITY: float(sure)}
            made = self._feature(outline, str(name), said, str(status))
            made["properties"]["measurements"] |= found.get(outline.id, {})
            yield made

    def _feature(
        self, outline: NucleusOutline, name: str, said: dict[str, float], status: str
    ) -> dict[str, Any]:
        polygons = outline.polygons_xy
        single = len(polygons) == 1
        return {
            "type": "Feature",
            "id": str(uuid5(self._space, str(outline.id))),
            "geometry": {
                "type": "Polygon" if single else "MultiPolygon",
                "coordinates": polygons[0] if single else polygons,
            },
            "properties": {
                "objectType": self._objects,
                "classification": {"name": name, "color": self._colours.get(name, GREY)},
                "measurements": self._measurements(outline, said),
                "metadata": {ID: str(outline.id)} | ({STATUS: status} if status else {}),
            },
        }

    def _measurements(self, outline: NucleusOutline, said: dict[str, float]) -> dict[str, float]:
        known = {ID: outline.id, AREA: outline.area_px}
        scaled = {} if self._mpp is None else {AREA_UM2: outline.area_px * self._mpp * self._mpp}
        return known | scaled | {n: value for n, value in said.items() if math.isfinite(value)}


def _found_boxes(table: pd.DataFrame, origin_yx: tuple[int, int]) -> dict[int, dict[str, float]]:
    """The detector's boxes as measurements, px of full resolution, by id."""
    if FOUND_COLUMNS[0] not in table.columns:
        return {}
    known = table[["id", *FOUND_COLUMNS]].dropna()
    boxes = known[list(FOUND_COLUMNS)].to_numpy() + np.tile(origin_yx, 2)
    return {
        int(id_): dict(zip(FOUND_COLUMNS, box, strict=True))
        for id_, box in zip(known["id"], boxes.tolist(), strict=True)
    }
