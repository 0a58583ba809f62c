"""Pyramids in TIFF files, tile by tile with tifffile: OME-TIFF, Aperio, Hamamatsu, Leica, plain."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from napari_uninuc.errors import ImageError
from napari_uninuc.io.resolution import mpp_of_tiff
from napari_uninuc.io.sources import DECODING_ERRORS
from napari_uninuc.slides.protocol import Box, Level, levels_of, require_inside

__all__ = ["TiffSlide", "require_whole_tiff"]

_RGB, _YCBCR = 2, 6
_JPEG = {6, 7, 33007, 34892}
_APERIO_YCBCR = 33003
_LARGEST_SEGMENT = 2**28
"""Bytes of one decoded tile or strip; more would not be read lazily."""
_WHITE = 255


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
        try:
            self._tif = tifffile.TiffFile(path)
        except DECODING_ERRORS as problem:
            raise _unreadable(path, problem) from None
        try:
            pyramid = self._tif.series[0].levels
            for level in pyramid:
                _require_rgb(path, level)
                _require_whole(path, level)
            self._pages: list[tuple[Any, Any]] = [
                (level.keyframe, level.pages[0]) for level in pyramid
            ]
            self.levels: tuple[Level, ...] = levels_of(
                [(page.imagelength, page.imagewidth) for page, _ in self._pages]
            )
            self.mpp: float | None = mpp_of_tiff(self._tif)
            self.notice = self._missing()
            self._try_one_segment()
        except ImageError:
            self.close()
            raise
        except DECODING_ERRORS as problem:
            self.close()
            raise _unreadable(path, problem) from None

    def read(self, level: int, box_yxyx: Box) -> npt.NDArray[np.uint8]:
        """Read a part of a level; see `Slide`."""
        require_inside(self.path, self.levels, level, box_yxyx)
        y0, x0, y1, x1 = box_yxyx
        rgb = np.full((y1 - y0, x1 - x0, 3), _WHITE, np.uint8)
        for index in _segments(self._pages[level][0], box_yxyx):
            found = self._segment(level, index)
            if found is not None:
                _paste(rgb, box_yxyx, *found)
        return rgb

    def close(self) -> None:
        """Close the file."""
        self._tif.close()

    def _segment(
        self, level: int, index: int
    ) -> tuple[npt.NDArray[np.uint8], tuple[int, ...]] | None:
        """Decode a tile or strip: its pixels, and (plane, depth, y, x, sample) of the first."""
        keyframe, page = self._pages[level]
        offset, count = page.dataoffsets[index], page.databytecounts[index]
        if count == 0:
            return None
        handle = self._tif.filehandle
        try:
            handle.seek(offset)
            header = {"jpegheader": keyframe.jpegheader} if keyframe.jpegheader else {}
            pixels, place, _ = keyframe.decode(
                handle.read(count), index, jpegtables=keyframe.jpegtables, **header
            )
        except DECODING_ERRORS as problem:
            reason = " ".join(str(problem).split()) or type(problem).__name__
            raise ImageError(
                f"{self.path}: tile {index} of level {level} cannot be decoded ({reason}); fetch "
                "the file again, or save it anew as a pyramidal TIFF"
            ) from None
        return None if pixels is None else (pixels[0], place)

    def _missing(self) -> str:
        counts = np.asarray(self._pages[0][1].databytecounts)
        missing = int((counts == 0).sum())
        if not missing:
            return ""
        return f"{self.path}: {missing} of {counts.size} tiles are missing and taken for glass"

    def _try_one_segment(self) -> None:
        """Fail now, not after an hour, where the codec is not there."""
        for level, (_, page) in enumerate(self._pages):
            present = np.flatnonzero(np.asarray(page.databytecounts))
            if present.size:
                self._segment(level, int(present[0]))


def require_whole_tiff(path: Path) -> None:
    """Raise ImageError where a TIFF that another library will read is cut short."""
    try:
        with tifffile.TiffFile(path) as tif:
            for level in tif.series[0].levels:
                _require_whole(path, level)
    except ImageError:
        raise
    except DECODING_ERRORS:
        return  # the other library says what is wrong with it


def _segments(page: Any, box_yxyx: Box) -> list[int]:
    """Indices of the tiles or strips that hold pixels of a box."""
    y0, x0, y1, x1 = box_yxyx
    height, width = (
        (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
    )
    across, down = -(-page.imagewidth // width), -(-page.imagelength // height)
    planes = 1 if page.planarconfig == 1 else 3
    return [
        (plane * down + row) * across + column
        for plane in range(planes)
        for row in range(y0 // height, -(-y1 // height))
        for column in range(x0 // width, -(-x1 // width))
    ]


def _paste(
    rgb: npt.NDArray[np.uint8],
    box_yxyx: Box,
    pixels: npt.NDArray[np.uint8],
    place: tuple[int, ...],
) -> None:
    """Copy the part of a segment (h, w, samples) that lies in the box."""
    y0, x0, y1, x1 = box_yxyx
    plane, _, top, left, _ = place
    height, width, samples = pixels.shape
    ys, xs = (max(y0, top), min(y1, top + height)), (max(x0, left), min(x1, left + width))
    cut = pixels[ys[0] - top : ys[1] - top, xs[0] - left : xs[1] - left, :3]
    channels = slice(plane, plane + 1) if samples == 1 else slice(0, 3)
    rgb[ys[0] - y0 : ys[1] - y0, xs[0] - x0 : xs[1] - x0, channels] = cut


def _require_rgb(path: Path, level: Any) -> None:
    page = level.keyframe
    kind = f"{level.dtype} with axes {level.axes}"
    if level.dtype != np.uint8 or page.samplesperpixel not in (3, 4) or len(level.pages) != 1:
        raise ImageError(
            f"{path}: expected an 8-bit RGB slide of stained tissue, got {kind}; fluorescence and "
            "16-bit slides cannot be read: convert it to 8-bit RGB"
        )
    compressed_as_seen = page.photometric == _RGB or (
        page.photometric == _YCBCR and page.compression in _JPEG
    )
    if not compressed_as_seen or page.compression == _APERIO_YCBCR:
        raise ImageError(
            f"{path}: these colours need openslide, got photometric {int(page.photometric)} with "
            f"compression {int(page.compression)}; pip install 'napari-uninuc[slides]'"
        )
    if int(np.prod(page.chunks)) > _LARGEST_SEGMENT:
        raise ImageError(
            f"{path}: expected tiles, got one piece of {page.chunks} px; save it as a tiled, "
            "pyramidal TIFF"
        )


def _require_whole(path: Path, level: Any) -> None:
    size = path.stat().st_size
    for page in level.pages:
        if page is None:
            continue
        ends = np.add(page.dataoffsets, page.databytecounts, dtype=np.int64)
        if ends.max(initial=0) > size:
            raise ImageError(f"{path}: the file is cut short at {size} bytes; fetch it again")


def _unreadable(path: Path, problem: BaseException) -> ImageError:
    reason = " ".join(str(problem).split()) or type(problem).__name__
    return ImageError(f"{path}: expected a readable slide, got {reason}; fetch it again")
