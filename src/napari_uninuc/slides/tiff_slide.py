"""Pyramids in TIFF files, tile by tile with tifffile: OME-TIFF, Aperio, Hamamatsu, Leica, plain."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from napari_uninuc.errors import ImageError
from napari_uninuc.io.resolution import mpp_of_tiff
from napari_uninuc.io.sources import DECODING_ERRORS, missing_notice, reason_of
from napari_uninuc.io.tiff_colours import Alpha, TiffColours, colours_of
from napari_uninuc.io.tiff_level import SegmentGrid, leica_scans, main_series, require_whole
from napari_uninuc.slides.protocol import Box, Level, levels_of, require_inside

__all__ = ["TiffSlide", "look_at_vendor_tiff"]

_RGB, _YCBCR = 2, 6
_LARGEST_SEGMENT = 2**28
"""Bytes of one decoded tile or strip; more would not be read lazily."""
_ALPHA_SIDE = 64
"""Px of the squares in which it is looked whether alpha is one."""

_WHITE = 255
_GLASS = "taken for glass"

_LEAVE_GLASS_OUT = {"philips", "ventana"}
"""Vendors whose files hold no tiles where nothing was scanned: nothing of them is lost."""


@dataclass(frozen=True, slots=True, eq=False)
class _TiffLevel:
    """One level of a file: its pages, what its samples mean, and how tiles share it out."""

    keyframe: Any
    page: Any
    colours: TiffColours
    grid: SegmentGrid


class TiffSlide:
    """A `Slide` in a TIFF file: its first series, level by level.

    Parameters
    ----------
    path : an existing TIFF

    Raises
    ------
    ImageError
        Damaged, cut short, not 8-bit RGB, or compressed in a way that cannot be decoded.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.origin_yx = (0, 0)
        try:
            self._tif = tifffile.TiffFile(path)
        except DECODING_ERRORS as problem:
            raise _unreadable(path, problem) from None
        try:
            pyramid = main_series(self._tif).levels
            for level in pyramid:
                _require_rgb(path, level)
                require_whole(path, level, ImageError)
            self._levels = [
                _TiffLevel(
                    level.keyframe,
                    level.pages[0],
                    colours_of(self._tif, level),
                    SegmentGrid.of(level.pages[0]),
                )
                for level in pyramid
            ]
            self.levels: tuple[Level, ...] = levels_of([each.grid.shape for each in self._levels])
            self.mpp: float | None = mpp_of_tiff(self._tif)
            self.notice = missing_notice(path, "tiles", [_counts(e.grid) for e in self._levels])
            self._try_one_segment()
            self._require_true_alpha()
        except ImageError:
            self.close()
            raise
        except DECODING_ERRORS as problem:
            self.close()
            raise _unreadable(path, problem) from None

    def read(self, level: int, box_yxyx: Box) -> npt.NDArray[np.uint8]:
        """Read a box (y0, x0, y1, x1) of a level, px of it: (h, w, 3) uint8; see `Slide`."""
        require_inside(self.path, self.levels, level, box_yxyx)
        (y0, x0, _, _), stored = box_yxyx, self._levels[level]
        samples, missing = self._samples(level, box_yxyx)
        rgb = stored.colours.rgb(samples)
        for top, left, bottom, right in missing:
            rgb[max(top - y0, 0) : bottom - y0, max(left - x0, 0) : right - x0] = _WHITE
        return np.ascontiguousarray(rgb)

    def close(self) -> None:
        """Close the file."""
        self._tif.close()

    def _samples(self, level: int, box_yxyx: Box) -> tuple[npt.NDArray[np.uint8], list[Box]]:
        """Read a box as it is stored, (h, w, samples), and say which parts were never stored."""
        y0, x0, y1, x1 = box_yxyx
        stored = self._levels[level]
        samples = np.zeros((y1 - y0, x1 - x0, stored.keyframe.samplesperpixel), np.uint8)
        missing: list[Box] = []
        for index in stored.grid.indices(box_yxyx):
            found = self._segment(level, index)
            if found is None:
                missing.append(stored.grid.box(index))
            else:
                _paste(samples, box_yxyx, *found)
        return samples, missing

    def _require_true_alpha(self) -> None:
        """Refuse a fourth channel that is a picture of its own, from some places of the slide."""
        colours, (height, width) = self._levels[0].colours, self.levels[0].shape
        if colours.alpha is Alpha.NONE:
            return
        seen = []
        for share in (0.1, 0.3, 0.5, 0.7, 0.9):
            y, x = int(height * share), int(width * share)
            box = y, x, min(y + _ALPHA_SIDE, height), min(x + _ALPHA_SIDE, width)
            samples = self._samples(0, box)[0]
            seen.append(samples.reshape(-1, 1, samples.shape[-1]))
        if colours.hides_a_marker(np.concatenate(seen)):
            raise ImageError(
                f"{self.path}: expected an 8-bit RGB slide of stained tissue, got 4 channels of "
                "which none is transparency; fluorescence cannot be read: convert it to 8-bit RGB"
            )

    def _segment(
        self, level: int, index: int
    ) -> tuple[npt.NDArray[np.uint8], tuple[int, ...]] | None:
        """Decode a tile or strip: its pixels, and (plane, depth, y, x, sample) of the first."""
        stored = self._levels[level]
        if index in stored.grid.missing:
            return None
        keyframe, page, handle = stored.keyframe, stored.page, self._tif.filehandle
        try:
            # Made on first use, out of tags that are read then: it moves the handle.
            decode = keyframe.decode
            header = {"jpegheader": keyframe.jpegheader} if keyframe.jpegheader else {}
            tables = keyframe.jpegtables
            handle.seek(page.dataoffsets[index])
            packed = handle.read(page.databytecounts[index])
            pixels, place, _ = decode(packed, index, jpegtables=tables, **header)
        except DECODING_ERRORS as problem:
            reason = reason_of(problem)
            raise ImageError(
                f"{self.path}: tile {index} of level {level} cannot be decoded ({reason}); fetch "
                "the file again, or save it anew as a pyramidal TIFF"
            ) from None
        return None if pixels is None else (pixels[0], place)

    def _try_one_segment(self) -> None:
        """Fail now, not after an hour, where the codec is not there."""
        for level, stored in enumerate(self._levels):
            count = len(stored.page.databytecounts)
            first = next((i for i in range(count) if i not in stored.grid.missing), None)
            if first is not None:
                self._segment(level, first)


def look_at_vendor_tiff(path: Path, vendor: str) -> tuple[float | None, str]:
    """Look at a TIFF that another library will read, for what that one does not say.

    Returns
    -------
    mpp : micrometres per px, where the file says so
    notice : tiles that are missing, in one line; empty where none are

    Raises
    ------
    ImageError
        Cut short, or not 8-bit RGB.
    """
    try:
        with tifffile.TiffFile(path) as tif:
            scans = leica_scans(tif)
            series = tif.series[scans[0].place if scans else 0]
            for level in series.levels:
                require_whole(path, level, ImageError)
            _require_eight_bit_rgb(path, series.levels[0])
            mpp = mpp_of_tiff(tif) if len(scans) < 2 else None
            return mpp, "" if vendor in _LEAVE_GLASS_OUT else _missing_in(tif, path, vendor)
    except ImageError:
        raise
    except DECODING_ERRORS:
        return None, ""  # the other library says what is wrong with it


def _missing_in(tif: tifffile.TiffFile, path: Path, vendor: str) -> str:
    """Say which tiles of any page are missing: not every level is one in tifffile's eyes."""
    pages: Any = tif.pages
    counts = [_counts(SegmentGrid.of(page)) for page in pages if page.keyframe.is_tiled]
    from_finer = vendor == "aperio" and any(missing for missing, _ in counts[1:])
    instead = "taken for glass or, in coarser levels, from a finer one" if from_finer else _GLASS
    return missing_notice(path, "tiles", counts, instead)


def _counts(grid: SegmentGrid) -> tuple[int, int]:
    """Tiles that are missing, and all."""
    return len(grid.missing), math.prod(grid.counts_yx) * grid.planes


def _paste(
    samples: npt.NDArray[np.uint8],
    box_yxyx: Box,
    pixels: npt.NDArray[np.uint8],
    place: tuple[int, ...],
) -> None:
    """Copy the part of a segment (h, w, samples) that lies in the box."""
    y0, x0, y1, x1 = box_yxyx
    plane, _, top, left, _ = place
    height, width, count = pixels.shape
    ys, xs = (max(y0, top), min(y1, top + height)), (max(x0, left), min(x1, left + width))
    cut = pixels[ys[0] - top : ys[1] - top, xs[0] - left : xs[1] - left]
    channels = slice(plane, plane + 1) if count == 1 else slice(0, count)
    samples[ys[0] - y0 : ys[1] - y0, xs[0] - x0 : xs[1] - x0, channels] = cut


def _require_rgb(path: Path, level: Any) -> None:
    _require_eight_bit_rgb(path, level)
    page = level.keyframe
    if int(np.prod(page.chunks)) > _LARGEST_SEGMENT:
        raise ImageError(
            f"{path}: expected tiles, got one piece of {page.chunks} px; save it as a tiled, "
            "pyramidal TIFF"
        )


def _require_eight_bit_rgb(path: Path, level: Any) -> None:
    page = level.keyframe
    colours = page.photometric in (_RGB, _YCBCR) and page.samplesperpixel in (3, 4)
    if level.dtype != np.uint8 or page.bitspersample != 8 or not colours or len(level.pages) != 1:
        raise ImageError(
            f"{path}: expected an 8-bit RGB slide of stained tissue, got {level.dtype} with axes "
            f"{level.axes} and colours of kind {int(page.photometric)}; fluorescence, grey and "
            "16-bit slides cannot be read: convert it to 8-bit RGB"
        )


def _unreadable(path: Path, problem: BaseException) -> ImageError:
    return ImageError(
        f"{path}: expected a readable slide, got {reason_of(problem)}; fetch it again"
    )
