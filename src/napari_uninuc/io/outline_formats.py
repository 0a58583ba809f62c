"""Files of outlines of other programs: one row for each, of what is not the same for all.

A new format is a function that lists its shapes and a row in `OUTLINE_FORMATS`. GeoJSON and COCO
have readers of their own, for they say more of each object.
"""

import re
import sqlite3
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.errors import LabelsError
from napari_uninuc.io.describing import described
from napari_uninuc.io.dicom_label_map import (
    extent_of_segments,
    is_dicom_segmentation,
    read_dicom_segments,
    segments_header,
)
from napari_uninuc.io.dicom_shapes import dicom_header, dicom_shapes, is_dicom_annotations
from napari_uninuc.io.imagej_rois import imagej_header, imagej_shapes, is_roi_set
from napari_uninuc.io.instances_json import cellvit_feature_shapes, cellvit_shapes, hovernet_shapes
from napari_uninuc.io.json_kind import beginning_of_json
from napari_uninuc.io.shapes import Header, Shape, Through, paint_shapes
from napari_uninuc.io.sources import DECODING_ERRORS, reason_of
from napari_uninuc.io.stored import StoredSegmentation
from napari_uninuc.io.tiatoolbox_store import is_tiatoolbox_store, tiatoolbox_shapes
from napari_uninuc.io.xml_outlines import asap_shapes, imagescope_shapes, root_of_xml

__all__ = ["OUTLINE_FORMATS", "OutlineFormat", "extent_of_outlines", "outline_format_of"]

Extent = tuple[float, float, float, float]
Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class OutlineFormat:
    """How outlines are listed in the files of one program, and where they run.

    Attributes
    ----------
    title : for people
    endings : of file names, lower case, with the dot
    knows : whether a file with such an ending is one
    shapes : lists its shapes
    through : where outlines run in what the program itself writes
    header : what the file says besides
    in_slide_px : points count from the first pixel of the slide, not of the picture
    pixels : reads a file whose nuclei are pixels on a slide; it has no shapes
    extent : how far those reach, y0, x0, y1, x1 px of the file
    """

    title: str
    endings: tuple[str, ...]
    knows: Callable[[Path], bool]
    shapes: Callable[[Path], Iterator[Shape]]
    through: Through
    header: Callable[[Path], Header] = lambda _: Header()
    in_slide_px: bool = True
    pixels: Callable[[Path, Size | None, Size | None], StoredSegmentation] | None = None
    extent: Callable[[Path], Extent] | None = None

    def read(
        self,
        path: Path,
        shape: tuple[int, int] | None = None,
        origin_yx_slide: tuple[int, int] | None = None,
        through: Through | None = None,
    ) -> StoredSegmentation:
        """Rasterise a file.

        Parameters
        ----------
        path : one that `knows`
        shape : (H, W) of the picture, px, where the file does not say
        origin_yx_slide : first pixel of the picture on the slide, px; None takes the file's
        through : where the outlines run, if not as the program itself writes them

        Raises
        ------
        LabelsError
            Damaged, no size known, or no outlines; and as `paint_shapes`.
        """
        with _Told(self.title, path):
            if self.pixels is not None:
                return self.pixels(path, shape, origin_yx_slide)
            return paint_shapes(
                path,
                self.shapes(path),
                shape,
                origin_yx_slide,
                through=through or self.through,
                header=self.header(path),
                in_slide_px=self.in_slide_px,
            )


class _Told:
    """Turn whatever damage raises into one line."""

    def __init__(self, title: str, path: Path) -> None:
        self._title, self._path = title, path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, problem: BaseException | None, _: Any) -> None:
        if isinstance(problem, LabelsError):
            text = str(problem)
            if not text.startswith(str(self._path)):
                raise LabelsError(f"{self._path}: {text}") from None
        elif problem is not None and (
            isinstance(problem, (*DECODING_ERRORS, zipfile.BadZipFile, sqlite3.Error))
            or type(problem).__module__ == "pydicom.errors"
        ):
            raise LabelsError(
                f"{self._path}: expected {self._title}, got a damaged file ({reason_of(problem)}); "
                "write it again"
            ) from None


_NUC = re.compile(r'"nuc"\s*:\s*\{|\{\s*"\d+"\s*:\s*\{\s*"(bbox|centroid|contour|type)')
_CELLS = re.compile(r'"cells"\s*:\s*\[\s*\{[^{}]*"contour"\s*:')
_PER_CLASS = re.compile(r'\s*\[\s*\{[^{}]*"geometry"\s*:\s*\{\s*"type"\s*:\s*"MultiPolygon"')


_NOT_PER_CLASS = ("measurements", "detection", "Detection", "nucleusGeometry", "UniNuc: id")


def _is_hovernet(path: Path) -> bool:
    return _NUC.search(beginning_of_json(path)) is not None


def _is_cellvit(path: Path) -> bool:
    return _CELLS.search(beginning_of_json(path)) is not None


def _is_per_class(path: Path) -> bool:
    """Whether a list begins with a MultiPolygon that is no object with measurements of its own."""
    text = beginning_of_json(path)
    return bool(_PER_CLASS.match(text)) and not any(word in text for word in _NOT_PER_CLASS)


def _segments(path: Path, shape: Size | None, origin: Size | None) -> StoredSegmentation:
    stored = read_dicom_segments(path, shape, origin)
    nuclei = described(path, Segmentation.from_labels(stored.pixels), stored)
    return StoredSegmentation(nuclei, stored.mpp, stored.origin_yx_slide, stored.notice)


_JSON = (".json", ".json.gz")

OUTLINE_FORMATS: tuple[OutlineFormat, ...] = (
    OutlineFormat(
        "ImageJ ROIs",
        (".zip", ".roi"),
        is_roi_set,
        imagej_shapes,
        "corners",
        imagej_header,
        in_slide_px=False,
    ),
    OutlineFormat(
        "DICOM annotations",
        (".dcm",),
        is_dicom_annotations,
        dicom_shapes,
        "corners",
        dicom_header,
    ),
    OutlineFormat(
        "a DICOM segmentation",
        (".dcm",),
        is_dicom_segmentation,
        lambda _: iter(()),
        "corners",
        segments_header,
        pixels=_segments,
        extent=extent_of_segments,
    ),
    OutlineFormat("HoVer-Net JSON", _JSON, _is_hovernet, hovernet_shapes, "centres"),
    OutlineFormat("CellViT JSON", _JSON, _is_cellvit, cellvit_shapes, "centres"),
    OutlineFormat(
        "CellViT GeoJSON",
        (".geojson", ".geojson.gz", *_JSON),
        _is_per_class,
        cellvit_feature_shapes,
        "centres",
    ),
    OutlineFormat(
        "tiatoolbox store",
        (".db", ".sqlite", ".sqlite3"),
        is_tiatoolbox_store,
        tiatoolbox_shapes,
        "centres",
    ),
    OutlineFormat(
        "ASAP XML",
        (".xml",),
        lambda path: root_of_xml(path) == "ASAP_Annotations",
        asap_shapes,
        "corners",
    ),
    OutlineFormat(
        "ImageScope XML",
        (".xml",),
        lambda path: root_of_xml(path) == "Annotations",
        imagescope_shapes,
        "corners",
    ),
)
"""Asked in turn; the first that knows a file reads it."""


def outline_format_of(path: Path) -> OutlineFormat | None:
    """Choose the format of a file by its ending and its beginning; None where none knows it."""
    name = path.name.lower()
    for each in OUTLINE_FORMATS:
        if name.endswith(each.endings) and path.is_file() and each.knows(path):
            return each
    return None


def extent_of_outlines(form: OutlineFormat, path: Path) -> Extent | None:
    """Find how far outlines reach in a file that does not say how large its picture is.

    Returns
    -------
    extent : y0, x0, y1, x1, px of the file; None where the file does say

    Raises
    ------
    LabelsError
        Damaged, or without any outline.
    """
    with _Told(form.title, path):
        if form.header(path).shape is not None:
            return None
        if form.extent is not None:
            return form.extent(path)
        low, high = np.full(2, np.inf), np.full(2, -np.inf)
        for shape in form.shapes(path):
            for rings in shape.polygons_xy:
                points = np.asarray(rings[0], dtype=np.float64)
                if points.ndim == 2 and points.shape[1] >= 2 and len(points):
                    low = np.minimum(low, points[:, :2].min(axis=0))
                    high = np.maximum(high, points[:, :2].max(axis=0))
        if not (low <= high).all():
            raise LabelsError("expected outlines of nuclei, got none; export them again")
    beyond = 1 if form.through == "centres" else 0
    return float(low[1]), float(low[0]), float(high[1]) + beyond, float(high[0]) + beyond
