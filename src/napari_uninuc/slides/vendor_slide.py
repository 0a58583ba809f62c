"""Slides of scanners' own formats, read by openslide where it is installed."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_uninuc.errors import ImageError
from napari_uninuc.io.resolution import mpp_of_scale
from napari_uninuc.slides.protocol import Box, Level, levels_of, require_inside

__all__ = ["VendorSlide", "vendor_of"]

_OTHERS_READ_BETTER = {None, "generic-tiff"}


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
    """A `Slide` that openslide reads.

    Raises
    ------
    ImageError
        Damaged, or in a variant openslide does not know.
    """

    def __init__(self, path: Path) -> None:
        import openslide

        self.path, self.notice = path, ""
        try:
            self._slide: Any = openslide.OpenSlide(str(path))
            steps = self._slide.level_downsamples
        except (openslide.OpenSlideError, OSError) as problem:
            raise ImageError(
                f"{path}: expected a readable slide, got {_reason(problem)}; fetch it again"
            ) from None
        self._errors = (openslide.OpenSlideError, OSError)
        shapes = [(height, width) for width, height in self._slide.level_dimensions]
        self.levels: tuple[Level, ...] = levels_of(shapes)
        # Of its own: where sizes were rounded, it blends pixels that were asked for by ours.
        self._steps = [float(step) for step in steps]
        self.mpp: float | None = _mpp(self._slide.properties)

    def read(self, level: int, box_yxyx: Box) -> npt.NDArray[np.uint8]:
        """Read a part of a level; see `Slide`."""
        require_inside(self.path, self.levels, level, box_yxyx)
        y0, x0, y1, x1 = box_yxyx
        step = self._steps[level]
        try:
            picture = self._slide.read_region(
                (round(x0 * step), round(y0 * step)), level, (x1 - x0, y1 - y0)
            )
        except self._errors as problem:
            raise ImageError(
                f"{self.path}: px {box_yxyx} of level {level} cannot be decoded "
                f"({_reason(problem)}); fetch the file again"
            ) from None
        return _over_white(np.asarray(picture))

    def close(self) -> None:
        """Close the file."""
        if self._slide is not None:
            self._slide.close()
        self._slide = None


def _over_white(rgba: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Lay (H, W, 4) over white; what was never scanned is transparent."""
    alpha = rgba[..., 3:]
    if alpha.min() == 255:
        return np.ascontiguousarray(rgba[..., :3])
    weight = alpha.astype(np.uint16)
    mixed = rgba[..., :3] * weight + np.uint16(255) * (255 - weight)
    return ((mixed + np.uint16(127)) // np.uint16(255)).astype(np.uint8)


def _mpp(properties: Any) -> float | None:
    try:
        y, x = (float(properties[f"openslide.mpp-{axis}"]) for axis in "yx")
    except (KeyError, ValueError):
        return None
    return mpp_of_scale((y, x), "um")


def _reason(problem: BaseException) -> str:
    return " ".join(str(problem).split()) or type(problem).__name__
