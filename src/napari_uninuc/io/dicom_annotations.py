"""DICOM Microscopy Bulk Simple Annotations: one group of polygons a class, written by highdicom.

Points are px of the slide's total pixel matrix, whose first pixel reaches from 0 to 1. A polygon
has one ring there: a hole is joined to it by a seam of no width, and a nucleus of several pieces
is several polygons of one id.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
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
from napari_uninuc.io.dicom_groups import AnnotationGroup, require_short, save_annotations
from napari_uninuc.io.dicom_slide import DicomSlide, require_on_slide
from napari_uninuc.io.dicom_terms import (
    CATEGORY,
    HEADER_BLOCK,
    NUCLEUS,
    UNICODE,
    Code,
    FoundBy,
    header_text,
    how_found,
    made_of,
    short_name,
    stand_in,
)
from napari_uninuc.io.extras import require_library
from napari_uninuc.io.outlines import trace_points
from napari_uninuc.io.targets import replacing

__all__ = [
    "ID_CODE",
    "SCORE_CODE",
    "Annotated",
    "Placed",
    "write_dicom_annotations",
    "write_placed",
]

_EXACT_ID = 2**24  # measurements are 32-bit floats

_ANY_RING = np.array([[0, 0], [1, 0], [0, 1]], np.float32)
"""What highdicom makes a group with; the true points take its place."""

_AREA = Code("42798000", "SCT", "Area")
ID_CODE = Code("id", "99UNINUC", "Number in the label image")
SCORE_CODE = Code("score", "99UNINUC", "Score of the detector")
_UM2, _PX, _ONE = (
    Code("um2", "UCUM", "square micrometer"),
    Code("{pixels}", "UCUM", "pixels"),
    Code("1", "UCUM", "no units"),
)


Placed = tuple[Segmentation, tuple[int, int]]
"""Some nuclei, and where the first pixel of their labels lies, px of the labels."""


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
        An id above 16,777,216, no nuclei, some that are not on the slide, the file cannot be
        written, or highdicom is not installed.
    """
    require_library("highdicom", "dicom", "DICOM annotations", OutputError)
    step = 1.0 if tile is None else tile.downsample
    if slide is not None:
        require_on_slide(path, slide, segmentation.table, origin_yx_slide, step)
    source = stand_in(made_of(segmentation, tile)) if slide is None else slide.header
    write_placed(
        [(segmentation, origin_yx_slide)],
        path,
        Annotated(segmentation, mpp, step, origin_yx_slide, source, dict(codes or {}), found_by),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Annotated:
    """What a file of annotations says besides.

    Attributes
    ----------
    picture : its size, its classes, and the table of all nuclei; pixels are not looked at
    mpp : micrometres per px of the labels; None where unknown
    step : px of full resolution for each of the labels
    origin_yx : first pixel of the picture on the slide, px of the labels
    source : header of what is annotated
    codes : property type of each class that is not just "Nucleus"
    found_by : the model; None where nobody said
    """

    picture: Segmentation
    mpp: float | None
    step: float
    origin_yx: tuple[int, int]
    source: Any
    codes: Mapping[str, Code]
    found_by: FoundBy | None


def write_placed(parts: Iterable[Placed], path: Path, said: Annotated) -> None:
    """Write annotations of nuclei that come part by part, so that no picture need be held whole.

    Parameters
    ----------
    parts : each nucleus in the table of one of them; labels may hold others besides
    path : replaced whole or not at all

    Raises
    ------
    OutputError
        As `write_dicom_annotations`, or more than DICOM has lengths for.
    """
    hd = require_library("highdicom", "dicom", "DICOM annotations", OutputError)
    with replacing(path) as part, ExitStack() as stack:
        groups: dict[str, AnnotationGroup] = {}

        def group_of(name: str) -> AnnotationGroup:
            if name not in groups:
                groups[name] = AnnotationGroup(part.parent, stack, said.step)
            return groups[name]

        for segmentation, origin_yx in parts:
            _gather(segmentation, origin_yx, path, said.mpp, group_of)
        if not groups:
            raise OutputError(
                f"{path}: DICOM annotations need at least one nucleus, got none; write another "
                "format"
            )
        require_short(path, list(groups.values()))
        order = [*rgb_by_class(said.picture), *groups]
        listed = {name: groups[name] for name in sorted(groups, key=order.index)}
        save_annotations(_document(hd, listed, said), part)


def _document(hd: Any, groups: Mapping[str, AnnotationGroup], said: Annotated) -> Any:
    kind, algorithm = how_found(hd, said.picture, said.found_by)
    made = []
    for number, (name, group) in enumerate(groups.items(), start=1):
        code = said.codes.get(name, NUCLEUS)
        made.append(_group(hd, number, name, group, code, said.mpp, kind, algorithm))
    document = hd.ann.MicroscopyBulkSimpleAnnotations(
        source_images=[said.source],
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
    document.SpecificCharacterSet = UNICODE
    block = document.private_block(*HEADER_BLOCK, create=True)
    header = header_text(said.picture, said.mpp, said.origin_yx, said.step, list(groups))
    block.add_new(0x01, "UT", header)
    return document


def _gather(
    segmentation: Segmentation,
    origin_yx: tuple[int, int],
    path: Path,
    mpp: float | None,
    group_of: Callable[[str], AnnotationGroup],
) -> None:
    """Put the outlines of some nuclei into the groups of their classes."""
    table = segmentation.table
    codes, names = pd.factorize(table["class"].astype(str))
    ids, scores, row = table["id"].to_numpy(), table["score"].to_numpy(np.float64), 0
    scale = 1.0 if mpp is None else mpp * mpp
    for outline in trace_points(segmentation, origin_yx):
        while ids[row] != outline.id:  # they come in the order of the table
            row += 1
        if outline.id > _EXACT_ID:
            raise OutputError(
                f"{path}: DICOM annotations hold ids up to {_EXACT_ID}, got {outline.id}; relabel "
                "the nuclei"
            )
        group = group_of(str(names[codes[row]]))
        for rings in outline.polygons_xy:
            ring = rings[0] if len(rings) == 1 else _one_ring(rings)
            group.add(ring, outline.id, float(scores[row]), outline.area_px * scale)


def _one_ring(rings: list[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    """Join holes to the outer ring; the seams run along rows and columns, so that they are exact.

    Returns
    -------
    ring : open; filled by the even-odd rule it gives the polygon
    """
    x0, y0 = rings[0][0].tolist()
    joined = [*rings[0].tolist(), [x0, y0]]
    for ring in rings[1:]:
        hole = ring.tolist()
        corner = [hole[0][0], y0]
        joined += [corner, *hole, hole[0], corner, [x0, y0]]
    while joined[-1] == joined[0]:  # also where a seam ends at the first point
        joined.pop()
    return np.array(joined)


def _group(
    hd: Any,
    number: int,
    name: str,
    group: AnnotationGroup,
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
    made = hd.ann.AnnotationGroup(
        number=number,
        uid=hd.UID(),
        label=short_name(name),
        annotated_property_category=hd.sr.CodedConcept(*CATEGORY),
        annotated_property_type=hd.sr.CodedConcept(*code),
        graphic_type=hd.ann.GraphicTypeValues.POLYGON,
        graphic_data=[_ANY_RING],
        algorithm_type=kind,
        algorithm_identification=algorithm,
    )
    group.put_into(made)
    made.MeasurementsSequence = [
        hd.ann.Measurements(hd.sr.CodedConcept(*what), values, hd.sr.CodedConcept(*unit))
        for what, values, unit in measured
    ]
    return made
