"""Slides of scanners' own formats, read by openslide where it is installed."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_uninuc.core.tile import over_white
from napari_uninuc.errors import ImageError
from napari_uninuc.io.resolution import mpp_of_scale
from napari_uninuc.io.sources import reason_of
from napari_uninuc.slides.protocol import Box, Level, cropped, levels_of, require_inside

__all__ = ["VendorSlide", "vendor_of"]

_OTHERS_READ_BETTER = {None, "generic-tiff"}

_DICOM_COLOURS = "dicom.PhotometricInterpretation"
_DICOM_HEAD = 4096
_DICOM_SYNTAX_TAG = b"\x02\x00\x10\x00UI"
_DICOM_SYNTAXES_READ = {
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.91",
}
"""By openslide 4.0: explicit VR little endian, JPEG baseline, JPEG 2000."""
_DICOM_SYNTAXES = {
    "1.2.840.10008.1.2": "implicit little endian",
    "1.2.840.10008.1.2.1.99": "deflated",
    "1.2.840.10008.1.2.2": "big endian",
    "1.2.840.10008.1.2.4.51": "JPEG extended",
    "1.2.840.10008.1.2.4.57": "JPEG lossless",
    "1.2.840.10008.1.2.4.70": "JPEG lossless",
    "1.2.840.10008.1.2.4.80": "JPEG-LS lossless",
    "1.2.840.10008.1.2.4.81": "JPEG-LS",
    "1.2.840.10008.1.2.4.110": "JPEG XL lossless",
    "1.2.840.10008.1.2.4.112": "JPEG XL",
    "1.2.840.10008.1.2.4.201": "High-Throughput JPEG 2000 lossless",
    "1.2.840.10008.1.2.4.202": "High-Throughput JPEG 2000 lossless",
    "1.2.840.10008.1.2.4.203": "High-Throughput JPEG 2000",
    "1.2.840.10008.1.2.5": "RLE",
}


def vendor_of(path: Path) -> str | None:
    """Name the scanner format openslide sees in a file.

    Returns
    -------
    vendor : None where it sees none, where tifffile reads it as well, and without openslide
    """
    try:
        import openslide
    except ImportError:
        return None
    vendor: str | None = openslide.OpenSlide.detect_format(str(path))
    return None if vendor in _OTHERS_READ_BETTER else vendor


class VendorSlide:
    """A `Slide` that openslide reads: the part that was scanned, as QuPath crops it.

    Parameters
    ----------
    path : a file in which `vendor_of` sees a format
    mpp, notice : what is known of the file already; openslide's own word on the scale wins

    Raises
    ------
    ImageError
        Damaged, without colours, or in a variant openslide does not know.
    """

    def __init__(self, path: Path, mpp: float | None = None, notice: str = "") -> None:
        import openslide

        self.path, self.notice = path, notice
        self._errors = (openslide.OpenSlideError, OSError)
        try:
            self._slide: Any = openslide.OpenSlide(str(path))
            steps = self._slide.level_downsamples
        except self._errors as problem:
            raise _refusal(path, problem) from None
        if str(self._slide.properties.get(_DICOM_COLOURS, "")).startswith("MONOCHROME"):
            self.close()
            raise ImageError(
                f"{path}: expected an 8-bit RGB slide of stained tissue, got grey; fluorescence "
                "and grey slides cannot be read: convert it to 8-bit RGB"
            )
        whole = levels_of([(height, width) for width, height in self._slide.level_dimensions])
        bounds = _bounds(self._slide.properties, whole[0].shape)
        self.origin_yx = bounds[:2]
        scanned = bounds[2] - bounds[0], bounds[3] - bounds[1]
        self.levels: tuple[Level, ...] = (
            whole if scanned == whole[0].shape else cropped(whole, scanned)
        )
        # Of its own: where sizes were rounded, it blends pixels that were asked for by ours.
        self._steps = [float(step) for step in steps]
        self.mpp: float | None = _mpp(self._slide.properties) or mpp

    def read(self, level: int, box_yxyx: Box) -> npt.NDArray[np.uint8]:
        """Read a box (y0, x0, y1, x1) of a level, px of it: (h, w, 3) uint8; see `Slide`."""
        require_inside(self.path, self.levels, level, box_yxyx)
        y0, x0, y1, x1 = box_yxyx
        step, (top, left) = self._steps[level], self.origin_yx
        try:
            picture = self._slide.read_region(
                (round(left + x0 * step), round(top + y0 * step)), level, (x1 - x0, y1 - y0)
            )
        except self._errors as problem:
            raise ImageError(
                f"{self.path}: px {box_yxyx} of level {level} cannot be decoded "
                f"({reason_of(problem)}); fetch the file again, or save it anew as a pyramidal TIFF"
            ) from None
        # What was never scanned is transparent.
        return np.ascontiguousarray(over_white(np.asarray(picture)))

    def close(self) -> None:
        """Close the file."""
        if self._slide is not None:
            self._slide.close()
        self._slide = None


def _bounds(properties: Any, shape: tuple[int, int]) -> Box:
    """The part that was scanned, px of full resolution; all of it where the file does not say."""
    try:
        y, x, height, width = (
            int(properties[f"openslide.bounds-{name}"]) for name in ("y", "x", "height", "width")
        )
    except (KeyError, ValueError):
        return 0, 0, *shape
    box = y, x, min(y + height, shape[0]), min(x + width, shape[1])
    return box if 0 <= y < box[2] and 0 <= x < box[3] else (0, 0, *shape)


def _refusal(path: Path, problem: BaseException) -> ImageError:
    """Say what helps: fetching a whole file again gives the same bytes."""
    syntax = _dicom_syntax(path)
    if syntax and syntax not in _DICOM_SYNTAXES_READ:
        name = _DICOM_SYNTAXES.get(syntax, "an unusual kind")
        return ImageError(
            f"{path}: expected DICOM in a transfer syntax that openslide reads (uncompressed "
            f"explicit little endian, JPEG baseline, JPEG 2000), got {name} ({syntax}); convert it "
            "to one of these, or to a pyramidal OME-TIFF"
        )
    return ImageError(
        f"{path}: expected a slide that openslide reads, got {reason_of(problem)}; save it anew as "
        "a pyramidal TIFF or, if it is damaged, fetch it again"
    )


def _dicom_syntax(path: Path) -> str:
    """Read the transfer syntax of a DICOM file from its meta header; empty in other files."""
    with path.open("rb") as file:
        head = file.read(_DICOM_HEAD)
    place = head.find(_DICOM_SYNTAX_TAG)
    if head[128:132] != b"DICM" or place < 0:
        return ""
    start = place + len(_DICOM_SYNTAX_TAG) + 2
    length = int.from_bytes(head[start - 2 : start], "little")
    return head[start : start + length].rstrip(b"\0 ").decode("ascii", "replace")


def _mpp(properties: Any) -> float | None:
    try:
        y, x = (float(properties[f"openslide.mpp-{axis}"]) for axis in "yx")
    except (KeyError, ValueError):
        return None
    return mpp_of_scale((y, x), "um")
