"""DICOM Microscopy Bulk Simple Annotations: one group of polygons a class, written by highdicom.

Points are px of the slide's total pixel matrix, whose first pixel reaches from 0 to 1. A polygon
has one ring there: a hole is joined to it by a seam of no width, and a nucleus of several pieces
is several polygons of one id.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

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
from napari_uninuc.io.outlines import Ring, trace_nuclei
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
    polygons: list[npt.NDArray[np.float64]] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    areas: list[float] = field(default_factory=list)


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
    made = [
        _annotation_group(hd, number, name, each, known.get(name, NUCLEUS), mpp, kind, algorithm)
        for number, (name, each) in enumerate(groups.items(), start=1)
    ]
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
    rows = dict(
        zip(table["id"].tolist(), zip(table["class"], table["score"], strict=True), strict=True)
    )
    groups: dict[str, _Group] = {name: _Group() for name in rgb_by_class(segmentation)}
    scale = 1.0 if mpp is None else mpp * mpp
    for outline in trace_nuclei(segmentation, origin_yx):
        name, score = rows[outline.id]
        if outline.id > _EXACT_ID:
            raise OutputError(
                f"{path}: DICOM annotations hold ids up to {_EXACT_ID}, got {outline.id}; relabel "
                "the nuclei"
            )
        group = groups.setdefault(str(name), _Group())
        for rings in outline.polygons_xy:
            group.polygons.append(np.array(_one_ring(rings), dtype=np.float64) * step)
            group.ids.append(outline.id)
            group.scores.append(float(score))
            group.areas.append(outline.area_px * scale)
    found = {name: group for name, group in groups.items() if group.ids}
    if not found:
        raise OutputError(
            f"{path}: DICOM annotations need at least one nucleus, got none; write another format"
        )
    return found


def _one_ring(rings: list[Ring]) -> Ring:
    """Join holes to the outer ring; the seams run along rows and columns, so that they are exact.

    Returns
    -------
    ring : open; filled by the even-odd rule it gives the polygon
    """
    if len(rings) == 1:
        return rings[0][:-1]
    x0, y0 = rings[0][0]
    joined = list(rings[0])
    for hole in rings[1:]:
        corner = [hole[0][0], y0]
        joined += [corner, *hole, corner, [x0, y0]]
    while joined[-1] == joined[0]:  # also where a seam ends at the first point
        joined.pop()
    return joined


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
        (ID_CODE, np.array(group.ids, dtype=np.float64), _ONE),
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
        graphic_data=_narrowed(group.polygons),
        algorithm_type=kind,
        algorithm_identification=algorithm,
        measurements=[
            hd.ann.Measurements(hd.sr.CodedConcept(*what), values, hd.sr.CodedConcept(*unit))
            for what, values, unit in measured
        ],
    )


def _narrowed(polygons: list[npt.NDArray[np.float64]]) -> list[npt.NDArray[Any]]:
    """Make points 32-bit floats where those tell every one from the next."""
    narrow = [points.astype(np.float32) for points in polygons]
    exact = all(bool((a == b).all()) for a, b in zip(narrow, polygons, strict=True))
    return narrow if exact else list(polygons)
