"""ImageJ ROI sets: every nucleus an outline along the corners of its pixels.

ImageJ counts as we do: a polygon from (0, 0) to (20, 20) holds 20 x 20 px. A nucleus of one piece
without holes is a polygon, any other a composite. What ImageJ has no place for travels in the
properties of each ROI and in the comment of the zip file.
"""

import json
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.errors import LabelsError, OutputError
from napari_uninuc.io.colours import GREY, hex_of, rgb_by_class
from napari_uninuc.io.extras import require_library
from napari_uninuc.io.outlines import NucleusOutline, Ring, trace_nuclei
from napari_uninuc.io.painting import MAX_NUCLEI
from napari_uninuc.io.shapes import Header, Shape
from napari_uninuc.io.sources import DECODING_ERRORS
from napari_uninuc.io.stated import clean_name, known_mpp
from napari_uninuc.io.targets import replacing

__all__ = ["imagej_header", "imagej_shapes", "is_roi_set", "write_imagej_rois"]

_MAX_ROI_BYTES = 2**24
_MAX_SET_BYTES = 2**32
_MOST_GROUPS = 255
_LONGEST_COMMENT = 2**16 - 1
_WHOLE = 2**15  # px; ImageJ keeps positions beyond in floats
_MOVE, _LINE, _CLOSE = 0.0, 1.0, 4.0  # of java.awt.geom.PathIterator
_LINES = frozenset(
    ("LINE", "FREELINE", "POLYLINE", "NOROI", "ANGLE", "POINT")
)  # ROI types that enclose nothing


def write_imagej_rois(
    segmentation: Segmentation,
    path: Path,
    mpp: float | None = None,
    origin_yx_slide: tuple[int, int] = (0, 0),
) -> None:
    """Write a ROI set that ImageJ's ROI Manager opens; names are ids, groups are classes.

    Parameters
    ----------
    segmentation : rows without pixels are left out. The first class is group 1, and so on; a
        class beyond `_MOST_GROUPS` has group 0
    path : a zip file, replaced whole or not at all
    mpp : micrometres per px, kept in the comment of the zip file, as are the size of the picture
        and the classes
    origin_yx_slide : first pixel on the slide, px, kept there too; positions of ROIs count from
        the picture's first pixel

    Raises
    ------
    OutputError
        The file cannot be written, or roifile is not installed.

    Examples
    --------
    >>> from pathlib import Path
    >>> import roifile
    >>> from napari_uninuc import Segmentation
    >>> from napari_uninuc.io.imagej_rois import write_imagej_rois
    >>> from napari_uninuc.testing import make_tile
    >>> nuclei = Segmentation.from_labels(make_tile((64, 64), n_nuclei=3).labels)

    >>> write_imagej_rois(nuclei, Path("nuclei.rois.zip"), mpp=0.25)
    >>> [roi.name for roi in roifile.roiread("nuclei.rois.zip")]
    ['1', '2', '3']
    """
    library = require_library("roifile", "imagej", "ImageJ ROI sets", OutputError)
    colours = rgb_by_class(segmentation)
    groups = {name: k for k, name in enumerate(colours, start=1) if k <= _MOST_GROUPS}
    table = segmentation.table
    columns = table["class"], table["score"], table.get("status", [""] * len(table))
    rows = zip(table["id"].tolist(), *map(list, columns), strict=True)
    with replacing(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as file:
        for outline in trace_nuclei(segmentation):
            # Outlines come in the order of the table.
            _, name, score, status = next(row for row in rows if row[0] == outline.id)
            name, said = str(name), {"class": str(name)}
            if math.isfinite(score):
                said["score"] = f"{score:.6g}"
            if status:
                said["status"] = str(status)
            roi = _roi(library, outline)
            roi.name, roi.group = str(outline.id), groups.get(name, 0)
            roi.props = "".join(f"{key}: {_one_line(text)}\n" for key, text in said.items())
            roi.stroke_color = bytes((255, *colours.get(name, GREY)))
            file.writestr(f"{outline.id}.roi", roi.tobytes())
        file.comment = _comment(segmentation, mpp, origin_yx_slide)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _comment(segmentation: Segmentation, mpp: float | None, origin: tuple[int, int]) -> bytes:
    classes = [{"name": n, "color": list(rgb)} for n, rgb in rgb_by_class(segmentation).items()]
    head: dict[str, Any] = {
        "shape": list(segmentation.labels.shape),
        "mpp": mpp,
        "origin_yx_slide": [int(value) for value in origin],
    }
    text = json.dumps({"uninuc": head | {"classes": classes}}).encode()
    return text if len(text) <= _LONGEST_COMMENT else json.dumps({"uninuc": head}).encode()


def _roi(library: Any, outline: NucleusOutline) -> Any:
    """Make a polygon, or a composite of all rings where there is more than one."""
    rings = [ring[:-1] for polygon in outline.polygons_xy for ring in polygon]
    points = np.concatenate([np.array(ring, dtype=np.int64) for ring in rings])
    (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    kind = library.ROI_TYPE
    roi = library.ImagejRoi(
        roitype=kind.POLYGON if len(rings) == 1 else kind.RECT,
        top=top,
        left=left,
        bottom=bottom,
        right=right,
    )
    if len(rings) > 1:
        roi.multi_coordinates = _path(rings)
        roi.shape_roi_size = len(roi.multi_coordinates)
        return roi
    roi.n_coordinates = len(points)
    roi.integer_coordinates = (points - (left, top)).astype(np.int32)
    if max(right, bottom) >= _WHOLE:
        roi.options |= library.ROI_OPTIONS.SUB_PIXEL_RESOLUTION
        roi.subpixel_coordinates = points.astype(np.float32)
    return roi


def _path(rings: list[Ring]) -> Any:
    """Write rings as ImageJ keeps a composite: an operation, then its point."""
    steps: list[float] = []
    for ring in rings:
        for k, (x, y) in enumerate(ring):
            steps += [_LINE if k else _MOVE, x, y]
        steps.append(_CLOSE)
    return np.array(steps, dtype=np.float32)


def is_roi_set(path: Path) -> bool:
    """Tell by its first bytes, or by what is listed in it, whether a file holds ImageJ ROIs."""
    try:
        with path.open("rb") as file:
            start = file.read(4)
        if start == b"Iout":
            return True
        if start[:2] != b"PK":
            return False
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if not names:  # ours, of a picture without nuclei
                return _header(archive.comment).shape is not None
            return any(name.lower().endswith(".roi") for name in names)
    except (zipfile.BadZipFile, *DECODING_ERRORS):
        return False


def imagej_header(path: Path) -> Header:
    """Read what we wrote of the picture; nothing in the files of others."""
    if not zipfile.is_zipfile(path):
        return Header()
    with zipfile.ZipFile(path) as archive:
        return _header(archive.comment)


def imagej_shapes(path: Path) -> Iterator[Shape]:
    """List the ROIs of a ``.zip`` or a ``.roi``, one after the other.

    A name that is a number is the id; the class is our property "class", else the group. Lines
    and points are left out.

    Raises
    ------
    LabelsError
        Too many, too large, or roifile is not installed. Damage raises what `DECODING_ERRORS`
        names, or an error of zipfile.
    """
    library = require_library("roifile", "imagej", "ImageJ ROI sets", LabelsError)
    for count, data in enumerate(_members(path)):
        if count >= MAX_NUCLEI:
            raise LabelsError(f"expected at most {MAX_NUCLEI} ROIs, got more; split the set")
        yield _shape(library, library.ImagejRoi.frombytes(data))


def _header(comment: bytes) -> Header:
    try:
        said = json.loads(comment)["uninuc"]
        (h, w), (y, x) = said["shape"], said["origin_yx_slide"]
        classes = [
            (clean_name(each["name"]), hex_of(each["color"])) for each in said.get("classes", ())
        ]
        if not all(type(each) is int for each in (h, w, y, x)):
            return Header()
        return Header((h, w), known_mpp(said.get("mpp")), (y, x), classes)
    except (ValueError, TypeError, LookupError, RecursionError, AttributeError):
        return Header()


def _members(path: Path) -> Iterator[bytes]:
    """Read each ROI's bytes, none larger than a ROI can be."""
    if not zipfile.is_zipfile(path):
        if path.stat().st_size > _MAX_ROI_BYTES:
            raise LabelsError(f"expected a ROI of at most {_MAX_ROI_BYTES} bytes, got more")
        yield path.read_bytes()
        return
    left = _MAX_SET_BYTES
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if not member.filename.lower().endswith(".roi"):
                continue
            with archive.open(member) as file:
                data = file.read(_MAX_ROI_BYTES + 1)
            left -= len(data)
            if len(data) > _MAX_ROI_BYTES or left < 0:
                raise LabelsError(
                    f"expected ROIs of at most {_MAX_ROI_BYTES} bytes and {_MAX_SET_BYTES} in all, "
                    "got more; split the set"
                )
            yield data


def _shape(library: Any, roi: Any) -> Shape:
    kind, said = roi.roitype.name, dict(_properties(str(roi.props)))
    if kind in _LINES or roi.subtype.name in ("TEXT", "ARROW", "IMAGE"):
        return Shape(left_out=kind.lower())
    group = f"group {roi.group}" if roi.group else ""
    return Shape(
        _polygons(library, roi),
        roi.name if str(roi.name).isascii() and str(roi.name).isdigit() else None,
        clean_name(said.get("class", "")) or group,
        said.get("score"),
        said.get("status"),
        hex_of(list(roi.stroke_color[1:])) if any(roi.stroke_color) else None,
    )


def _properties(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        key, found, value = line.partition(":")
        if found:
            yield key.strip(), value.strip()


def _polygons(library: Any, roi: Any) -> list[list[Any]]:
    """Find the rings of a ROI; all of a composite fill each other's holes by turns."""
    if roi.multi_coordinates is not None:
        found = library.ImagejRoi.path2coords(roi.multi_coordinates)
        rings = [np.asarray(each, np.float64) for each in found]
    elif roi.roitype == library.ROI_TYPE.OVAL:
        rings = [_oval(*_box(roi))]
    elif roi.roitype == library.ROI_TYPE.RECT:
        x, y, width, height = _box(roi)
        corners = ((0, 0), (1, 0), (1, 1), (0, 1))
        rings = [np.array([(x + width * a, y + height * b) for a, b in corners])]
    else:
        rings = [np.asarray(roi.coordinates(), np.float64)]
    rings = [ring for ring in rings if len(ring) > 2]
    return [rings] if rings else []


def _box(roi: Any) -> tuple[float, float, float, float]:
    if roi.subpixelrect:
        return float(roi.xd), float(roi.yd), float(roi.widthd), float(roi.heightd)
    return roi.left, roi.top, roi.right - roi.left, roi.bottom - roi.top


def _oval(x: float, y: float, width: float, height: float) -> Any:
    turn = np.linspace(0, 2 * np.pi, 128, endpoint=False)
    return np.stack([x + width * (1 + np.cos(turn)) / 2, y + height * (1 + np.sin(turn)) / 2], 1)
