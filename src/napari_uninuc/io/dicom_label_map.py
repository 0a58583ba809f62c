"""Nuclei out of DICOM segmentations of slides, ours and others', frame by frame."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_uninuc.errors import LabelsError
from napari_uninuc.io.dicom_opening import class_of_dicom, coded_meaning, opened_dicom
from napari_uninuc.io.dicom_segments import EIGHT, NAMES_ELEMENT, PIECES, PIECES_ELEMENT, STATES
from napari_uninuc.io.dicom_terms import HEADER_BLOCK, header_of, said_of
from napari_uninuc.io.ome_zarr_labels import StoredLabels
from napari_uninuc.io.painting import MAX_NUCLEI
from napari_uninuc.io.shapes import Header, require_size
from napari_uninuc.io.sources import require_packed, require_sides
from napari_uninuc.io.stated import clean_name, counted, known_id, known_mpp

__all__ = ["extent_of_segments", "is_dicom_segmentation", "read_dicom_segments", "segments_header"]

_WHAT = "DICOM segmentations"
_CLASSES = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
_CODE = ("CodingSchemeDesignator", "CodeValue")
_BACKGROUND = ["DCM", "125040"]
_MAX_COVER = 64
"""Boxes of all segments together may cover the picture so often."""

_MOST_NAMES = 64
"""Labels of segments from which they are names of nuclei and not of classes."""

_BAND = 512  # rows


def is_dicom_segmentation(path: Path) -> bool:
    """Tell by its class, without reading further, whether a DICOM file is a segmentation."""
    return class_of_dicom(path) in _CLASSES


def segments_header(path: Path) -> Header:
    """Read what we wrote of the picture; nothing in the files of others."""
    return header_of(said_of(opened_dicom(path, _WHAT, pixels=False)))


def extent_of_segments(path: Path) -> tuple[float, float, float, float]:
    """How far the tiles of a segmentation reach: y0, x0, y1, x1 px of its total pixel matrix."""
    frames = _Frames.of(path, opened_dicom(path, _WHAT, pixels=False))
    low, high = frames.places.min(axis=0), frames.places.max(axis=0)
    bottom, right = np.minimum(high + frames.shape, frames.matrix).tolist()
    return float(low[0]), float(low[1]), float(bottom), float(right)


def read_dicom_segments(
    path: Path,
    shape: tuple[int, int] | None = None,
    origin_yx_slide: tuple[int, int] | None = None,
) -> StoredLabels:
    """Read a label map, or a binary segmentation, of a slide.

    In files of others each 8-connected piece of a segment is a nucleus; where every segment is
    one piece, its number is the id. Where segments share a pixel the last has it.

    Parameters
    ----------
    path : one that `is_dicom_segmentation` knows
    shape : (H, W) of the picture, px; None takes what we wrote, else the whole matrix
    origin_yx_slide : its first pixel in the total pixel matrix, px; None takes what we wrote,
        else (0, 0)

    Raises
    ------
    LabelsError
        Damaged, of fractions, not of a slide, packed in a way that cannot be read here, larger
        than its file can hold, or pydicom is not installed.
    """
    document = opened_dicom(path, _WHAT, pixels=False)
    said = header_of(said_of(document))
    frames = _Frames.of(path, document)
    size = require_size(said.shape or (frames.matrix if shape is None else None), shape)
    require_sides(path, size, LabelsError)
    origin = origin_yx_slide or said.origin_yx_slide or (0, 0)
    marks = _marks(path, frames, size, origin)
    _clear(marks, _backgrounds(document))
    segments = _segments(document)
    pieces, numbers = _pieces_of(marks)
    del marks
    known = _known_pieces(document, pieces)
    ids, notice = _ids(numbers, known)
    for top in range(0, size[0], _BAND):
        band = pieces[top : top + _BAND]
        if band.any():  # what was never written to takes no memory
            band[:] = ids[band]
    names = {number: segments.get(number, "") for number in set(numbers[1:].tolist())}
    classes = zip(ids[1:].tolist(), numbers[1:].tolist(), strict=True)
    told: dict[int, dict[str, Any]] = {id_: {"class": names[number]} for id_, number in classes}
    for row in known.values():
        score, state = float(row["score"]), int(row["state"])
        told[int(row["id"])].update(
            score=score if 0 <= score <= 1 else None,
            **({"status": STATES[state]} if 0 < state < len(STATES) else {}),
        )
    colours = {name: colour for name, colour in said.classes if colour}
    rgb = {id_: colours[said["class"]] for id_, said in told.items() if said["class"] in colours}
    mpp = said.mpp or _mpp(document)
    return StoredLabels(pieces, mpp, told, rgb, origin, notice, said.classes)


@dataclass(frozen=True, slots=True, eq=False)
class _Frames:
    """Where the frames of a segmentation lie.

    Attributes
    ----------
    shape : (h, w) px of each
    matrix : (H, W) px of the total pixel matrix
    places : (n, 2) y, x of the first pixel of each in the matrix, px
    numbers : (n,) segment of each; zeros in a label map, whose pixels say it
    """

    shape: tuple[int, int]
    matrix: tuple[int, int]
    places: npt.NDArray[np.int64]
    numbers: npt.NDArray[np.int64]
    padding: int

    @classmethod
    def of(cls, path: Path, document: Any) -> "_Frames":
        """Read it; raises LabelsError where it is not known."""
        kind = str(document.get("SegmentationType", ""))
        if kind not in ("LABELMAP", "BINARY"):
            raise LabelsError(
                f"{path}: expected a label map or a binary segmentation, got "
                f"{kind.lower()[:40] or 'one without type'}; save it as one of these"
            )
        count, h, w = (_whole(document, each) for each in ("NumberOfFrames", "Rows", "Columns"))
        matrix = (
            _whole(document, "TotalPixelMatrixRows", 0),
            _whole(document, "TotalPixelMatrixColumns", 0),
        )
        if min(matrix) < 1:
            if count != 1:
                raise LabelsError(
                    f"{path}: expected a segmentation of a slide, got one of a series of pictures; "
                    "save that of one picture"
                )
            matrix = h, w
        require_packed(path, h * w * (1 if kind == "BINARY" else 2), LabelsError)
        if count < 1 or count > path.stat().st_size or min(h, w) < 1:
            raise LabelsError(
                f"{path}: expected frames with pixels, got {count} of {h} x {w} px; save it again"
            )
        binary = kind == "BINARY"
        if str(document.get("DimensionOrganizationType", "")) == "TILED_FULL":
            places, numbers = _full_grid(path, document, count, (h, w), matrix, binary)
        else:
            places, numbers = _listed(path, document, count, binary)
        padding = 0 if binary else int(document.get("PixelPaddingValue", 0))
        return cls((h, w), matrix, places, numbers, padding)


def _whole(document: Any, name: str, default: int = 1) -> int:
    value = document.get(name)
    return default if value is None else int(value)


def _full_grid(
    path: Path,
    document: Any,
    count: int,
    frame: tuple[int, int],
    matrix: tuple[int, int],
    binary: bool,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Places of frames that are a full grid, row by row, the segments one after the other."""
    rows, columns = -(-matrix[0] // frame[0]), -(-matrix[1] // frame[1])
    stated = [_whole(each, "SegmentNumber", 0) for each in document.SegmentSequence]
    layers = len(stated) if binary else 1
    if count != rows * columns * layers:
        raise LabelsError(
            f"{path}: expected {rows * columns * layers} frames of one focal plane, got {count}; "
            "save one plane"
        )
    at = np.arange(count)
    tile = at % (rows * columns)
    places = np.column_stack([tile // columns * frame[0], tile % columns * frame[1]])
    numbers = np.array(stated)[at // (rows * columns)] if binary else np.zeros(count, np.int64)
    return places, numbers


def _listed(
    path: Path, document: Any, count: int, binary: bool
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Places of frames that each say their own."""
    groups = document.get("PerFrameFunctionalGroupsSequence") or []
    shared = document.get("SharedFunctionalGroupsSequence") or [{}]
    if len(groups) != count and not (count == 1 and not groups):
        raise LabelsError(
            f"{path}: expected a place for each of {count} frames, got {len(groups)}; save it again"
        )
    places, numbers = np.zeros((count, 2), np.int64), np.zeros(count, np.int64)
    for k, group in enumerate(groups):
        position = group.get("PlanePositionSlideSequence")
        if position:
            places[k] = (
                int(position[0].RowPositionInTotalImagePixelMatrix) - 1,
                int(position[0].ColumnPositionInTotalImagePixelMatrix) - 1,
            )
        elif count > 1:
            raise LabelsError(
                f"{path}: expected a place on the slide for each frame, got none; save a "
                "segmentation of a slide"
            )
    for k, group in enumerate(groups or [{}]):
        if binary:
            named = "SegmentIdentificationSequence"
            identified = group.get(named) or shared[0].get(named)
            numbers[k] = int(identified[0].ReferencedSegmentNumber) if identified else 1
    return places, numbers


def _marks(
    path: Path, frames: _Frames, size: tuple[int, int], origin: tuple[int, int]
) -> npt.NDArray[np.uint16]:
    """Put frames that lie on the picture where they belong: (H, W) numbers of segments."""
    marks = np.zeros(size, np.uint16)
    first = frames.places - origin
    end = first + frames.shape
    wanted = np.flatnonzero((first < size).all(axis=1) & (end > 0).all(axis=1))
    for k, pixels in zip(wanted.tolist(), _decoded(path, wanted.tolist(), frames), strict=True):
        (top, left), (bottom, right) = first[k].tolist(), end[k].tolist()
        y, x = max(top, 0), max(left, 0)
        view = marks[y : min(bottom, size[0]), x : min(right, size[1])]
        part = pixels[y - top : y - top + view.shape[0], x - left : x - left + view.shape[1]]
        where = part != frames.padding
        view[where] = frames.numbers[k] if frames.numbers[k] else part[where]
    return marks


def _decoded(path: Path, wanted: list[int], frames: _Frames) -> Iterator[npt.NDArray[Any]]:
    """Decode frames one after the other."""
    from pydicom.filereader import read_file_meta_info
    from pydicom.pixels import get_decoder, iter_pixels

    if not wanted:
        return
    packing = read_file_meta_info(path).TransferSyntaxUID
    try:
        able = get_decoder(packing).is_available
    except NotImplementedError:
        able = False
    if not able:
        raise LabelsError(
            f"{path}: expected pixels as they are or as run lengths, got "
            f"{clean_name(getattr(packing, 'name', packing))}, which cannot be read here; save "
            "them as RLE Lossless"
        )
    for pixels in iter_pixels(path, indices=wanted):
        if pixels.shape != frames.shape or pixels.dtype.kind != "u" or pixels.itemsize > 2:
            raise LabelsError(
                f"{path}: expected {frames.shape[0]} x {frames.shape[1]} px of 8 or 16 bits, got "
                f"{pixels.shape} {pixels.dtype}; save it again"
            )
        yield pixels


def _backgrounds(document: Any) -> list[int]:
    """Numbers of segments that are said to be what is no segment."""
    found = []
    for segment in document.get("SegmentSequence") or []:
        kind = segment.get("SegmentedPropertyTypeCodeSequence")
        if kind and [kind[0].get(each) for each in _CODE] == _BACKGROUND:
            found.append(_whole(segment, "SegmentNumber", 0))
    return [number for number in found if number]


def _clear(marks: npt.NDArray[np.uint16], numbers: list[int]) -> None:
    """Make pixels of these segments background."""
    for top in range(0, len(marks) if numbers else 0, _BAND):
        band = marks[top : top + _BAND]
        band[np.isin(band, numbers)] = 0


def _segments(document: Any) -> dict[int, str]:
    """Name the class of each segment: as we wrote it, else its label or its coded type."""
    try:
        names = json.loads(_ours(document, NAMES_ELEMENT))
        return {k: clean_name(name) for k, name in enumerate(names, start=1)}
    except (KeyError, TypeError, ValueError, RecursionError, AttributeError):
        pass  # not ours, or damaged
    labels, types = {}, {}
    for segment in document.get("SegmentSequence") or []:
        number = _whole(segment, "SegmentNumber", 0)
        labels[number] = clean_name(segment.get("SegmentLabel", ""))
        types[number] = coded_meaning(segment.get("SegmentedPropertyTypeCodeSequence"))
    if len(set(labels.values())) > _MOST_NAMES:
        return types
    return {number: label or types[number] for number, label in labels.items()}


def _ours(document: Any, element: int) -> Any:
    group, owner = HEADER_BLOCK
    return document.private_block(group, owner)[element].value


def _pieces_of(
    marks: npt.NDArray[np.uint16],
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Number connected pieces of segments.

    Returns
    -------
    pieces : (H, W), from 1
    numbers : segment of each piece; the first is that of the background
    """
    pieces = np.zeros(marks.shape, np.int32)
    numbers, total, left = [np.zeros(1, np.int64)], 0, _MAX_COVER * marks.size
    for number, box in enumerate(ndimage.find_objects(marks), start=1):
        if box is None:
            continue
        own = marks[box] == number
        left -= own.size
        found, count = ndimage.label(own, EIGHT, output=np.int32)
        if left < 0 or total + count > MAX_NUCLEI:
            raise LabelsError(
                f"expected at most {MAX_NUCLEI} nuclei that cover the picture at most "
                f"{_MAX_COVER} times, got more; remove segments that are not nuclei"
            )
        np.add(found, np.int32(total), out=pieces[box], where=own)
        numbers.append(np.full(count, number))
        total += count
    return pieces, np.concatenate(numbers)


def _known_pieces(document: Any, pieces: npt.NDArray[np.int32]) -> Mapping[int, Any]:
    """Read what we wrote of each piece, by its number; nothing of what does not fit."""
    try:
        rows = np.frombuffer(_ours(document, PIECES_ELEMENT), PIECES)
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}
    y, x = rows["y"], rows["x"]
    inside = (y >= 0) & (x >= 0) & (y < pieces.shape[0]) & (x < pieces.shape[1])
    rows = rows[inside & (rows["id"] > 0)]
    return {
        piece: row
        for piece, row in zip(pieces[rows["y"], rows["x"]].tolist(), rows, strict=True)
        if piece
    }


def _ids(
    numbers: npt.NDArray[np.int64], known: Mapping[int, Any]
) -> tuple[npt.NDArray[np.int32], str]:
    """Give every piece an id; the first is that of the background. And what is to be told."""
    ids = np.zeros(len(numbers), np.int64)
    counts = Counter(numbers[1:].tolist())
    notice = ""
    if known:
        for piece, row in known.items():
            ids[piece] = known_id(int(row["id"]))
    elif max(counts.values(), default=1) == 1:
        ids = numbers.copy()
    else:
        notice = (
            f"each piece of {counted(len(counts), 'segment')} is a nucleus; those of one segment "
            "that touch are one"
        )
    missing = np.flatnonzero(ids[1:] == 0) + 1
    taken = set(ids[1:].tolist())
    free = (each for each in range(1, len(ids) + len(taken) + 1) if each not in taken)
    ids[missing] = [next(free) for _ in missing]
    return ids.astype(np.int32), notice


def _mpp(document: Any) -> float | None:
    try:
        measures = document.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
        return known_mpp(1000 * float(measures.PixelSpacing[0]))
    except (AttributeError, IndexError, TypeError, ValueError):
        return None
