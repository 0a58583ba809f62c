"""DICOM label map segmentations: pixels of a class are a segment, written by highdicom.

A label map has one number a pixel and at most 65,535 numbers, and viewers list what each means, so
that a number a nucleus would be far too many. Nuclei of one class therefore share a segment,
except that two that touch never do: where they would, the class has a second segment, and so on,
hardly ever more than five. Each connected piece of a segment is a nucleus, then, to every program
that looks for pieces, and nothing is lost. Which piece has which id stands in a private element
(`PIECES`), and so do scores and states.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_uninuc import __version__
from napari_uninuc.core.nuclei import Status
from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.core.tile import Tile
from napari_uninuc.errors import OutputError
from napari_uninuc.io.colours import GREY, rgb_by_class
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
from napari_uninuc.io.targets import replacing

__all__ = ["EIGHT", "NAMES_ELEMENT", "PIECES", "PIECES_ELEMENT", "STATES", "write_dicom_segments"]

PIECES_ELEMENT = 0x02
"""Of the private block; an array of `PIECES`."""

NAMES_ELEMENT = 0x03
"""Of the private block; class of each segment from 1 on, as JSON."""

PIECES = np.dtype([("y", "<i4"), ("x", "<i4"), ("id", "<i4"), ("score", "<f4"), ("state", "<i4")])
"""A pixel of each 8-connected piece, px of the picture, and the nucleus it belongs to; the state
is a place in `STATES`."""

STATES = ("", Status.AUTOMATIC.value, Status.EDITED.value, Status.REVIEWED.value)

EIGHT = np.ones((3, 3), dtype=bool)
"""Pixels that meet in a corner are connected."""

_TILE = 512  # px; the grid begins at the slide's first pixel
_BAND = 512  # rows
_MOST = 65_535  # segments
_USUAL_MM = 0.004
_RLE = "1.2.840.10008.1.2.5"
_UPRIGHT = (0.0, 1.0, 0.0, 1.0, 0.0, 0.0)  # how rows and columns lie on a slide that is not DICOM


def write_dicom_segments(
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
    """Write a label map on the total pixel matrix of a slide; only tiles with nuclei are stored.

    Parameters
    ----------
    segmentation : rows without pixels are left out
    path : replaced whole or not at all
    mpp : micrometres per px of the labels; not needed with a slide that says it
    tile : the picture. Where it was cut from a coarser level, the matrix is that level
    origin_yx_slide : first pixel on the slide, px of the labels
    slide, codes, found_by : as `write_dicom_annotations`

    Raises
    ------
    OutputError
        No nuclei, some that are not on the slide, no pixel size, a slide that does not say where
        it lies, more segments than there are numbers, the file cannot be written, or highdicom is
        not installed.
    """
    hd = require_library("highdicom", "dicom", "DICOM segmentations", OutputError)
    step = 1.0 if tile is None else tile.downsample
    ids, numbers, names = _numbered(segmentation)
    if not len(ids):
        raise OutputError(
            f"{path}: DICOM segmentations need at least one nucleus, got none; write another format"
        )
    if len(names) > _MOST:
        raise OutputError(
            f"{path}: DICOM segmentations hold up to {_MOST} segments, got {len(names)}; write "
            ".ann.dcm"
        )
    if slide is not None:
        require_on_slide(path, slide, segmentation.table, origin_yx_slide, step)
    h, w = segmentation.labels.shape
    ends = origin_yx_slide[0] + h, origin_yx_slide[1] + w
    source = _source(path, segmentation, tile, slide, mpp, ends)
    spacing, corner, turn, matrix = _geometry(path, source, 1.0 if slide is None else step)
    measures = hd.PixelMeasuresSequence(spacing, _thickness(source))
    listed = list(_frames(segmentation.labels, ids, numbers, origin_yx_slide))
    kind, algorithm = how_found(hd, segmentation, found_by)
    document = hd.seg.Segmentation(
        source_images=[source],
        pixel_array=np.stack([frame for _, frame in listed]),
        segmentation_type="LABELMAP",
        segment_descriptions=_descriptions(hd, segmentation, names, codes, kind, algorithm),
        series_instance_uid=hd.UID(),
        series_number=1001,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="napari-uninuc",
        manufacturer_model_name="napari-uninuc",
        software_versions=__version__,
        device_serial_number="0",
        content_label="NUCLEI",
        transfer_syntax_uid=_RLE,
        pixel_measures=measures,
        plane_positions=[
            hd.utils.compute_plane_position_tiled_full(
                row + 1, column + 1, *corner, _TILE, _TILE, turn, spacing
            )
            for (row, column), _ in listed
        ],
        omit_empty_frames=False,  # there are none
    )
    # highdicom lets the matrix end with the last tile that is stored.
    document.TotalPixelMatrixRows = max(matrix[0], ends[0])
    document.TotalPixelMatrixColumns = max(matrix[1], ends[1])
    # It takes the slide's where they are equal, and cannot read those without a thickness.
    document.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence = measures
    document.SpecificCharacterSet = UNICODE
    block = document.private_block(*HEADER_BLOCK, create=True)
    block.add_new(0x01, "UT", header_text(segmentation, mpp, origin_yx_slide, step))
    block.add_new(PIECES_ELEMENT, "OB", _pieces(segmentation).tobytes())
    block.add_new(NAMES_ELEMENT, "UT", json.dumps([name for name, _ in names]))
    with replacing(path) as part:
        document.save_as(part)


def _numbered(
    segmentation: Segmentation,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint16], list[tuple[str, int]]]:
    """Share nuclei out among segments so that no two of one segment touch.

    Returns
    -------
    ids, numbers : (n,) ascending ids that have pixels, and the segment of each, from 1
    names : class of each segment, and how many of that class come before it
    """
    table = segmentation.table
    present = table[(table["y1"] > table["y0"]) & (table["x1"] > table["x0"])].sort_values("id")
    ids = present["id"].to_numpy(np.int64)
    classes = present["class"].astype(str).tolist()
    class_of = dict(zip(ids.tolist(), classes, strict=True))
    touching: dict[int, list[int]] = defaultdict(list)
    for one, other in _touching_pairs(segmentation.labels).tolist():
        if class_of.get(one) == class_of.get(other):
            touching[one].append(other)
            touching[other].append(one)
    place: dict[int, int] = {}
    for id_ in sorted(touching):
        taken = {place.get(other) for other in touching[id_]}
        place[id_] = next(k for k in range(len(taken) + 1) if k not in taken)
    known = {name: k for k, name in enumerate(rgb_by_class(segmentation))}
    wanted = [(name, place.get(id_, 0)) for id_, name in class_of.items()]
    names = sorted(set(wanted), key=lambda each: (known.get(each[0], len(known)), each))
    number_of = {each: k for k, each in enumerate(names, start=1)}
    # Too many are refused before they are used.
    numbers = np.array([number_of[each] for each in wanted], dtype=np.int64).astype(np.uint16)
    return ids, numbers, names


def _touching_pairs(labels: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """List pairs of ids that meet along a side or in a corner, (n, 2), each once or twice."""
    found = [np.zeros((0, 2), np.int64)]
    for top in range(0, labels.shape[0], _BAND):
        band = labels[top : top + _BAND + 1].astype(np.int64)
        for one, other in (
            (band[:, :-1], band[:, 1:]),
            (band[:-1], band[1:]),
            (band[:-1, :-1], band[1:, 1:]),
            (band[:-1, 1:], band[1:, :-1]),
        ):
            meet = (one != other) & (one > 0) & (other > 0)
            keys = np.unique(one[meet] << 32 | other[meet])
            found.append(np.column_stack([keys >> 32, keys & 0xFFFFFFFF]))
    return np.unique(np.sort(np.concatenate(found), axis=1), axis=0)


def _source(
    path: Path,
    segmentation: Segmentation,
    tile: Tile | None,
    slide: DicomSlide | None,
    mpp: float | None,
    ends: tuple[int, int],
) -> Any:
    """The header of the slide, or of one that is made up, as large as what is known of it."""
    if slide is not None:
        return slide.header
    if mpp is None:
        raise OutputError(
            f"{path}: DICOM segmentations need micrometres per px, got none; say them (--mpp), or "
            "name the slide (--slide)"
        )
    from pydicom.dataset import Dataset

    source = stand_in(made_of(segmentation, tile))
    source.TotalPixelMatrixRows, source.TotalPixelMatrixColumns = ends
    source.NumberOfFrames = 1
    source.ImageOrientationSlide = list(_UPRIGHT)
    corner, measures, groups = Dataset(), Dataset(), Dataset()
    corner.XOffsetInSlideCoordinateSystem = corner.YOffsetInSlideCoordinateSystem = 0
    source.TotalPixelMatrixOriginSequence = [corner]
    measures.PixelSpacing = [_decimal(mpp / 1000)] * 2
    groups.PixelMeasuresSequence = [measures]
    source.SharedFunctionalGroupsSequence = [groups]
    return source


def _decimal(value: float) -> str:
    """Write a number in the 16 characters that DICOM has for it."""
    return f"{value:.10g}"


_Pair = tuple[float, float]


def _geometry(
    path: Path, source: Any, step: float
) -> tuple[_Pair, _Pair, tuple[float, ...], tuple[int, int]]:
    """Read where a slide lies.

    Returns
    -------
    spacing, corner, turn : mm from row to row and column to column of the labels; x, y mm of the
        first pixel; which way rows and columns run
    matrix : (H, W) of the whole slide, px of the labels
    """
    turn: tuple[float, ...] = ()
    needed: tuple[Any, ...]
    try:
        measures = source.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
        y_mm, x_mm = (float(each) * step for each in measures.PixelSpacing)
        first = source.TotalPixelMatrixOriginSequence[0]
        corner = (
            float(first.XOffsetInSlideCoordinateSystem),
            float(first.YOffsetInSlideCoordinateSystem),
        )
        turn = tuple(float(each) for each in source.ImageOrientationSlide)
        sides = int(source.TotalPixelMatrixRows), int(source.TotalPixelMatrixColumns)
        needed = source.NumberOfFrames, source.Rows, source.Columns, source.FrameOfReferenceUID
    except (AttributeError, IndexError, TypeError, ValueError):
        needed = ()
    if not all(needed) or len(needed) < 4 or len(turn) != 6:
        raise OutputError(
            f"{path}: expected a DICOM slide that says where it lies and its pixel size, got one "
            "that does not; write .ann.dcm, which needs neither"
        )
    return (y_mm, x_mm), corner, turn, (round(sides[0] / step), round(sides[1] / step))


def _thickness(source: Any) -> float:
    """Read how thick the slide says its section is, mm; what sections usually are, where not."""
    measures = source.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    return float(measures.get("SliceThickness") or _USUAL_MM)


def _frames(
    labels: npt.NDArray[np.int32],
    ids: npt.NDArray[np.int64],
    numbers: npt.NDArray[np.uint16],
    origin_yx: tuple[int, int],
) -> Iterator[tuple[tuple[int, int], npt.NDArray[np.uint8 | np.uint16]]]:
    """Cut a label image into tiles of the slide's grid; ones without nuclei are left out.

    Yields
    ------
    place, frame : row and column of the tile; (`_TILE`, `_TILE`) numbers of segments
    """
    kind = np.dtype(np.uint8 if numbers.max() < 256 else np.uint16)
    (oy, ox), (h, w) = origin_yx, labels.shape
    for row in range(oy // _TILE, (oy + h - 1) // _TILE + 1):
        for column in range(ox // _TILE, (ox + w - 1) // _TILE + 1):
            top, left = row * _TILE - oy, column * _TILE - ox
            y, x = max(top, 0), max(left, 0)
            block = labels[y : top + _TILE, x : left + _TILE]
            where = block > 0
            stated = block[where]
            if not len(stated):
                continue
            at = np.minimum(np.searchsorted(ids, stated), len(ids) - 1)
            frame = np.zeros((_TILE, _TILE), kind)
            part = frame[y - top : y - top + block.shape[0], x - left : x - left + block.shape[1]]
            part[where] = np.where(ids[at] == stated, numbers[at], 0)
            yield (row, column), frame


def _descriptions(
    hd: Any,
    segmentation: Segmentation,
    names: list[tuple[str, int]],
    codes: Mapping[str, Code] | None,
    kind: str,
    algorithm: Any,
) -> list[Any]:
    from skimage.color import rgb2lab

    colours, known = rgb_by_class(segmentation), dict(codes or {})
    described = []
    for number, (name, before) in enumerate(names, start=1):
        lab = rgb2lab(np.array(colours.get(name, GREY), dtype=np.float64) / 255)
        ending = f" ({before + 1})" if before else ""
        described.append(
            hd.seg.SegmentDescription(
                segment_number=number,
                segment_label=short_name(name, ending),
                segmented_property_category=hd.sr.CodedConcept(*CATEGORY),
                segmented_property_type=hd.sr.CodedConcept(*known.get(name, NUCLEUS)),
                algorithm_type=kind,
                algorithm_identification=algorithm,
                display_color=hd.color.CIELabColor(*(float(each) for each in lab)),
            )
        )
    return described


def _pieces(segmentation: Segmentation) -> npt.NDArray[Any]:
    """List a pixel of every piece, and the nucleus it is of."""
    starts = _possible_starts(segmentation.labels)
    ids, counts = np.unique(starts[:, 2], return_counts=True)
    several = ids[counts > 1]
    table = segmentation.table.set_index("id", drop=False)
    found = [starts[~np.isin(starts[:, 2], several)]]
    boxes = table.loc[np.intersect1d(several, table["id"]), ["y0", "x0", "y1", "x1"]]
    for id_, y0, x0, y1, x1 in boxes.itertuples():
        pieces, count = ndimage.label(segmentation.labels[y0:y1, x0:x1] == id_, EIGHT)
        _, first = np.unique(pieces, return_index=True)
        first = first[-count:]
        y, x = np.unravel_index(first, pieces.shape)
        found.append(np.column_stack([y + y0, x + x0, np.full(count, id_)]))
    places = np.concatenate(found)
    places = places[np.isin(places[:, 2], table["id"])]
    rows = table.loc[places[:, 2]]
    listed = np.zeros(len(places), PIECES)
    listed["y"], listed["x"], listed["id"] = places.T
    listed["score"] = rows["score"].to_numpy(np.float64)
    if "status" in rows:
        known = {state: k for k, state in enumerate(STATES)}
        listed["state"] = [known.get(str(each), 0) for each in rows["status"]]
    return listed


def _possible_starts(labels: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """List y, x, id of pixels with none of their nucleus before them, (n, 3).

    The first pixel of every piece, row by row, is one. Others of a piece may be: a "U" has two.
    """
    found = []
    for top in range(0, labels.shape[0], _BAND):
        band = np.pad(labels[max(top - 1, 0) : top + _BAND], ((top == 0, 0), (1, 1)))
        own = band[1:, 1:-1]
        start = own > 0
        for before in (band[1:, :-2], band[:-1, :-2], band[:-1, 1:-1], band[:-1, 2:]):
            start &= before != own
        y, x = np.nonzero(start)
        found.append(np.column_stack([y + top, x, own[y, x]]).astype(np.int64))
    return np.concatenate(found)
