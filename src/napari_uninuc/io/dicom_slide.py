"""What annotations have to know of a DICOM slide: its size, scale and identifiers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from napari_uninuc.errors import ImageError, OutputError
from napari_uninuc.io.extras import require_library
from napari_uninuc.io.sources import DECODING_ERRORS, reason_of
from napari_uninuc.io.stated import known_mpp

__all__ = ["DicomSlide", "damage_of", "dicom_mark", "read_dicom_slide", "require_on_slide"]

_WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
_MARK_AT = 128


def dicom_mark(path: Path) -> bool:
    """Tell by its mark after the preamble whether a file is DICOM."""
    try:
        with path.open("rb") as file:
            file.seek(_MARK_AT)
            return file.read(4) == b"DICM"
    except OSError:
        return False


def damage_of(pydicom: Any) -> tuple[type[Exception], ...]:
    """What pydicom raises for damaged files."""
    own = pydicom.errors.InvalidDicomError, pydicom.errors.BytesLengthException
    return DECODING_ERRORS + own


@dataclass(frozen=True, slots=True, eq=False)
class DicomSlide:
    """The finest level of a slide.

    Attributes
    ----------
    header : of its file, without the pixels
    shape : (H, W) px of the total pixel matrix
    mpp : micrometres per px; None where the file does not say
    """

    header: Any
    shape: tuple[int, int]
    mpp: float | None


def read_dicom_slide(path: Path) -> DicomSlide:
    """Find the finest level among the files of a slide; no pixel is read.

    Parameters
    ----------
    path : the folder of a series, or one of its files, whose folder is looked through

    Raises
    ------
    ImageError
        No whole-slide image there, damaged, or pydicom is not installed.
    """
    pydicom = require_library("pydicom", "dicom", "DICOM slides", ImageError)
    chosen = None if path.is_dir() else _header(pydicom, path)
    files = sorted((path if path.is_dir() else path.parent).iterdir())
    levels = [each for each in (_header(pydicom, file) for file in files) if each is not None]
    if chosen is not None:
        levels = [each for each in levels if each.SeriesInstanceUID == chosen.SeriesInstanceUID]
    elif not path.is_dir():
        levels = []
    if not levels:
        raise ImageError(f"{path}: expected a DICOM whole-slide image, got none; name its file")
    finest = max(levels, key=lambda each: int(each.TotalPixelMatrixColumns))
    shape = int(finest.TotalPixelMatrixRows), int(finest.TotalPixelMatrixColumns)
    return DicomSlide(finest, shape, _mpp(finest))


def require_on_slide(
    path: Path, slide: DicomSlide, table: pd.DataFrame, origin_yx: tuple[int, int], step: float
) -> None:
    """Refuse nuclei beyond the end of a slide, which are of another one or of another place.

    Parameters
    ----------
    path : what is to be written, for the error
    table : of a segmentation
    origin_yx : of its first pixel on the slide, px of the labels
    step : px of the slide at full resolution for each of the labels

    Raises
    ------
    OutputError
        Some end more than a px of the labels beyond it.
    """
    ends = (table[["y1", "x1"]].to_numpy(np.int64) + origin_yx).max(axis=0, initial=0) * step
    if (ends > np.add(slide.shape, step)).any():
        raise OutputError(
            f"{path}: expected nuclei on a slide of {slide.shape[0]} x {slide.shape[1]} px, got "
            f"some as far as row {ends[0]:.0f}, column {ends[1]:.0f}; name the right slide, and "
            "where the picture lies on it"
        )


def _header(pydicom: Any, file: Path) -> Any:
    """Read the header of a level; None of a label, an overview and of any other file."""
    if not file.is_file() or not dicom_mark(file):
        return None
    try:
        header = pydicom.dcmread(file, stop_before_pixels=True)
        kinds = list(header.get("ImageType", []))
        volume = header.get("SOPClassUID") == _WHOLE_SLIDE and "VOLUME" in kinds
        return header if volume and int(header.TotalPixelMatrixColumns) > 0 else None
    except damage_of(pydicom) as problem:
        raise ImageError(
            f"{file}: expected readable DICOM, got {reason_of(problem)}; fetch it again"
        ) from None


def _mpp(header: Any) -> float | None:
    try:
        measures = header.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
        return known_mpp(1000 * float(measures.PixelSpacing[0]))
    except (AttributeError, IndexError, TypeError, ValueError):
        return None
