"""Nuclei out of DICOM Microscopy Bulk Simple Annotations, ours and others'."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_uninuc.errors import LabelsError
from napari_uninuc.io.dicom_annotations import ID_CODE, SCORE_CODE
from napari_uninuc.io.dicom_opening import class_of_dicom, coded_meaning, opened_dicom
from napari_uninuc.io.dicom_terms import header_of, said_of
from napari_uninuc.io.shapes import Header, Shape
from napari_uninuc.io.stated import clean_name

__all__ = ["dicom_header", "dicom_shapes", "is_dicom_annotations"]

_ANNOTATIONS = "1.2.840.10008.5.1.4.1.1.91.1"
_ELLIPSE_POINTS = 128


def is_dicom_annotations(path: Path) -> bool:
    """Tell by its class, without reading further, whether a DICOM file holds annotations."""
    return class_of_dicom(path) == _ANNOTATIONS


def dicom_header(path: Path) -> Header:
    """Read what we wrote of the picture; nothing in the files of others."""
    return header_of(said_of(opened_dicom(path, "DICOM annotations")))


def dicom_shapes(path: Path) -> Iterator[Shape]:
    """List the annotations of every group; polygons of one id are one nucleus.

    The class of a group is its label, else the meaning of its property type. Points and lines are
    left out.

    Raises
    ------
    LabelsError
        Damaged, packed, in three dimensions, or pydicom is not installed.
    """
    document = opened_dicom(path, "DICOM annotations")
    if document.get("AnnotationCoordinateType", "2D") != "2D":
        raise LabelsError("expected positions in px of the slide, got mm; save them in 2D")
    said = said_of(document)
    step = said.get("downsample", 1.0)
    if not isinstance(step, int | float) or not 1 <= step < 2**16:
        step = 1.0
    groups = document.get("AnnotationGroupSequence", [])
    names = said.get("groups")  # in full; labels have 64 characters
    if not isinstance(names, list) or len(names) != len(groups):
        names = [""] * len(groups)
    for group, name in zip(groups, names, strict=True):
        yield from _group_shapes(group, clean_name(name) or _name_of(group), float(step))


def _name_of(group: Any) -> str:
    return clean_name(group.get("AnnotationGroupLabel", "")) or coded_meaning(
        group.get("AnnotationPropertyTypeCodeSequence")
    )


def _group_shapes(group: Any, name: str, step: float) -> Iterator[Shape]:
    kind = str(group.get("GraphicType", ""))
    count = int(group.get("NumberOfAnnotations", 0))
    if kind not in ("POLYGON", "RECTANGLE", "ELLIPSE"):
        for _ in range(min(count, 2**22)):
            yield Shape(left_out=kind.lower()[:40] or "annotation without kind")
        return
    points, bounds = _points(group, kind)
    if len(bounds) != count + 1:
        raise ValueError(f"{len(bounds) - 1} annotations where {count} are announced")
    ids = _measured(group, ID_CODE.scheme, ID_CODE.value, count)
    scores = _measured(group, SCORE_CODE.scheme, SCORE_CODE.value, count)
    start = 0
    while start < count:
        end = start + 1
        while end < count and ids[end] == ids[start]:
            end += 1
        rings = (points[a:b] for a, b in pairwise(bounds[start : end + 1].tolist()))
        pieces = [[_drawn(ring.astype(np.float64), kind) / step] for ring in rings if len(ring) > 2]
        id_ = None if np.isnan(ids[start]) else float(ids[start])
        score = float(scores[start])
        yield Shape(pieces, id_, name, None if np.isnan(score) else score)
        start = end


def _points(group: Any, kind: str) -> tuple[npt.NDArray[np.floating[Any]], npt.NDArray[np.int64]]:
    """Read the points of a group, and where those of each annotation begin, and the last ends.

    Returns
    -------
    points, bounds : (n, 2) x, y px as stored, a view on the document; (count + 1,)
    """
    double = group.get("DoublePointCoordinatesData")
    raw, dtype = (double, "<f8") if double else (group.get("PointCoordinatesData"), "<f4")
    points = np.frombuffer(raw or b"", dtype).reshape(-1, 2)
    if kind != "POLYGON":
        points = points.reshape(-1, 4, 2).reshape(-1, 2)  # ValueError where not four a shape
        return points, np.arange(0, len(points) + 1, 4)
    index = np.frombuffer(group.get("LongPrimitivePointIndexList") or b"", "<u4").astype(np.int64)
    starts = (index - 1) // 2
    if len(starts) and (starts[0] != 0 or (np.diff(starts) < 0).any() or starts[-1] > len(points)):
        raise ValueError("points that are listed in no order")
    return points, np.append(starts, len(points))


def _drawn(ring: npt.NDArray[np.float64], kind: str) -> npt.NDArray[np.float64]:
    """Draw an ellipse, of which the ends of its axes are given; others are as they are."""
    if kind != "ELLIPSE":
        return ring
    turn = np.linspace(0, 2 * np.pi, _ELLIPSE_POINTS, endpoint=False)[:, None]
    long, short = (ring[1] - ring[0]) / 2, (ring[3] - ring[2]) / 2
    drawn: npt.NDArray[np.float64] = (
        (ring[0] + ring[1]) / 2 + np.cos(turn) * long + np.sin(turn) * short
    )
    return drawn


def _measured(group: Any, scheme: str, value: str, count: int) -> npt.NDArray[np.float64]:
    """Read a measurement of ours, (count,); NaN where there is none."""
    found = np.full(count, np.nan)
    for each in group.get("MeasurementsSequence", []):
        (concept,) = each.ConceptNameCodeSequence
        if (concept.get("CodingSchemeDesignator"), concept.get("CodeValue")) != (scheme, value):
            continue
        (stored,) = each.MeasurementValuesSequence
        values = np.frombuffer(stored.FloatingPointValues, "<f4").astype(np.float64)
        listed = stored.get("AnnotationIndexList")
        places = np.arange(count) if listed is None else np.frombuffer(listed, "<i4") - 1
        if len(places) != len(values) or (places < 0).any() or (places >= count).any():
            raise ValueError("measurements of other annotations than there are")
        found[places] = values
    return found
