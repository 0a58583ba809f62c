"""DICOM Microscopy Bulk Simple Annotations: one group of polygons a class, written by highdicom.

Points are px of the slide's total pixel matrix, whose first pixel reaches from 0 to 1. A polygon
has one ring there: a hole is joined to it by a seam of no width, and a nucleus of several pieces
is several polygons of one id.
"""

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from napari_uninuc import __version__
from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.core.tile import Tile
from napari_uninuc.errors import OutputError
from napari_uninuc.io.colours import rgb_by_class
from napari_uninuc.io.dicom_slide import DicomSlide
from napari_uninuc.io.dicom_terms import (
    CATEGORY,
    HEADER_BLOCK,
    LONGEST,
    NUCLEUS,
    Code,
    FoundBy,
    header_text,
    how_found,
    stand_in,
)
from napari_uninuc.io.extras import require_library
from napari_uninuc.io.outlines import trace_points
from napari_uninuc.io.targets import replacing

__all__ = ["ID_CODE", "SCORE_CODE", "write_dicom_annotations"]

_EXACT_ID = 2**24  # measurements are 32-bit floats


_AREA = Code("42798000", "SCT", "Area")
ID_CODE = Code("id", "99UNINUC", "Number in the label image")
SCORE_CODE = Code("score", "99UNINUC", "Score of the detector")
_UM2, _PX, _ONE = (
    Code("um2", "UCUM", "square micrometer"),
    Code("{pixels}", "UCUM", "pixels"),
    Code("1", "UCUM", "no units"),
)


@dataclass(slots=True)
class _Group:
    """Annotations under way; points are 32-bit floats as long as those are exact."""

    polygons: list[npt.NDArray[Any]] = field(default_factory=list)
    exact: bool = True
    ids: "array[float]" = field(default_factory=lambda: array("d"))
    scores: "array[float]" = field(default_factory=lambda: array("d"))
    areas: "array[float]" = field(default_factory=lambda: array("d"))


def write_dicom_annotations(
    segmentation: Segmentation,
    path: Path,
    mpp: float | None = None,
    tile: Tile | None = None,
    origin_yx_slide: tuple[int, int] = (0, 0),
    *,
    slide: DicomSlide | None = None,
    codes: Mapping[str, Code] | None = None,
    found_by: FoundBy | None = None,
) -> None:
    """Write annotations of a DICOM slide; ids, scores and areas are measurements.

    Parameters
    ----------
    segmentation : rows without pixels are left out
    path : replaced whole or not at all
    mpp : micrometres per px of the labels, for areas; without it areas are px
    tile : the picture. Where it was cut from a coarser level, what is written is px of full
        resolution
    origin_yx_slide : first pixel on the slide, px of the labels
    slide : what is annotated. Without one, the file refers to identifiers made of the picture,
        and viewers show it on no slide
    codes : property type of each class; of others it is "Nucleus" (SNOMED CT)
    found_by : the model; without one, the algorithm is this program

    Raises
    ------
    OutputError
        An id above 16,777,216, no nuclei, the file cannot be written, or highdicom is not
        installed.
    """
    hd = require_library("highdicom", "dicom", "DICOM annotations", OutputError)
    step = 1.0 if tile is None else tile.downsample
    groups = _grouped(segmentation, path, origin_yx_slide, step, mpp)
    known = dict(codes or {})
    kind, algorithm = how_found(hd, segmentation, found_by)
    made = []
    for number, name in enumerate(list(groups), start=1):
        group = groups.pop(name)  # what highdicom has copied is let go of
        code = known.get(name, NUCLEUS)
        made.append(_annotation_group(hd, number, name, group, code, mpp, kind, algorithm))
    del group
    source = stand_in(segmentation, tile) if slide is None else slide.header
    document = hd.ann.MicroscopyBulkSimpleAnnotations(
        source_images=[source],
        annotation_coordinate_type=hd.ann.AnnotationCoordinateTypeValues.SCOORD,
        annotation_groups=made,
        series_instance_uid=hd.UID(),
        series_number=1000,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="napari-uninuc",
        manufacturer_model_name="napari-uninuc",
        software_versions=__version__,
        device_serial_number="0",
        content_label="NUCLEI",
    )
    block = document.private_block(*HEADER_BLOCK, create=True)
    block.add_new(0x01, "UT", header_text(segmentation, mpp, origin_yx_slide, step))
    with replacing(path) as part:
        document.save_as(part)


def _grouped(
    segmentation: Segmentation,
    path: Path,
    origin_yx: tuple[int, int],
    step: float,
    mpp: float | None,
) -> dict[str, _Group]:
    """Sort outlines by class, in the order of the palette; classes without nuclei have none."""
    table = segmentation.table
    codes, names = pd.factorize(table["class"].astype(str))
    ids, scores, row = table["id"].to_numpy(), table["score"].to_numpy(np.float64), 0
    groups: dict[str, _Group] = {name: _Group() for name in rgb_by_class(segmentation)}
    scale = 1.0 if mpp is None else mpp * mpp
    for outline in trace_points(segmentation, origin_yx):
        while ids[row] != outline.id:  # they come in the order of the table
            row += 1
        name, score = str(names[codes[row]]), float(scores[row])
        if outline.id > _EXACT_ID:
            raise OutputError(
                f"{path}: DICOM annotations hold ids up to {_EXACT_ID}, got {outline.id}; relabel "
                "the nuclei"
            )
        group = groups.setdefault(name, _Group())
        for rings in outline.polygons_xy:
            group.polygons.append(_scaled(_one_ring(rings), step, group))
            group.ids.append(outline.id)
            group.scores.append(score)
            group.areas.append(outline.area_px * scale)
    found = {name: group for name, group in groups.items() if group.ids}
    if not found:
        raise OutputError(
            f"{path}: DICOM annotations need at least one nucleus, got none; write another format"
        )
    return found


def _one_ring(rings: list[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    """Join holes to the outer ring; the seams run along rows and columns, so that they are exact.

    Returns
    -------
    ring : open; filled by the even-odd rule it gives the polygon
    """
    if len(rings) == 1:
        return rings[0]
    x0, y0 = rings[0][0].tolist()
    joined = [*rings[0].tolist(), [x0, y0]]
    for ring in rings[1:]:
        hole = ring.tolist()
        corner = [hole[0][0], y0]
        joined += [corner, *hole, hole[0], corner, [x0, y0]]
    while joined[-1] == joined[0]:  # also where a seam ends at the first point
        joined.pop()
    return np.array(joined)


def _scaled(ring: npt.NDArray[np.int64], step: float, group: _Group) -> npt.NDArray[Any]:
    """Make points px of full resolution: 32-bit floats where those tell every one from the next."""
    wide = ring * step
    narrow = wide.astype(np.float32)
    group.exact = group.exact and bool((narrow == wide).all())
    return narrow if group.exact else wide


def _annotation_group(
    hd: Any,
    number: int,
    name: str,
    group: _Group,
    code: Code,
    mpp: float | None,
    kind: str,
    algorithm: Any,
) -> Any:
    scores = np.array(group.scores)
    measured = [
        (ID_CODE, np.array(group.ids), _ONE),
        (_AREA, np.array(group.areas), _PX if mpp is None else _UM2),
        *([(SCORE_CODE, scores, _ONE)] if np.isfinite(scores).any() else []),
    ]
    return hd.ann.AnnotationGroup(
        number=number,
        uid=hd.UID(),
        label=name[:LONGEST],
        annotated_property_category=hd.sr.CodedConcept(*CATEGORY),
        annotated_property_type=hd.sr.CodedConcept(*code),
        graphic_type=hd.ann.GraphicTypeValues.POLYGON,
        graphic_data=_points(group),
        algorithm_type=kind,
        algorithm_identification=algorithm,
        measurements=[
            hd.ann.Measurements(hd.sr.CodedConcept(*what), values, hd.sr.CodedConcept(*unit))
            for what, values, unit in measured
        ],
    )


def _points(group: _Group) -> list[npt.NDArray[Any]]:
    if group.exact:
        return group.polygons
    return [ring.astype(np.float64) for ring in group.polygons]  # those before were exact
