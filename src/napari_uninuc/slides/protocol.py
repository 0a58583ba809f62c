"""What a slide is to the rest of the program: levels of pixels, and their size."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from napari_uninuc.errors import ImageError

__all__ = ["Box", "Level", "Slide", "cropped", "level_for", "levels_of", "require_inside"]

Box = tuple[int, int, int, int]
"""Half-open (y0, x0, y1, x1)."""

_SCALE_TOLERANCE = 1.02
"""Scanners call 0.2528 a 40x scan and 0.25 too; a level this much coarser is still fine enough."""


@dataclass(frozen=True, slots=True)
class Level:
    """One resolution of a slide.

    Attributes
    ----------
    shape : (H, W) px
    downsample : px of full resolution per px of this level, 1.0 at full resolution
    """

    shape: tuple[int, int]
    downsample: float


class Slide(Protocol):
    """A pyramid whose pixels are read when asked for. Labels and macro pictures are never read.

    A slide is the part that was scanned, as QuPath shows it: where a scanner's file tells that
    part of a larger frame (``openslide.bounds``), level 0 begins with its first pixel, and every
    position is counted from there.

    Attributes
    ----------
    path : where it is
    levels : finest first
    origin_yx : first pixel of level 0 in the scanner's own frame, px; (0, 0) where the file
        shows nothing else
    mpp : micrometres per px of level 0
    notice : one line a person should read about this file; empty where there is none
    """

    path: Path
    levels: tuple[Level, ...]
    origin_yx: tuple[int, int]
    mpp: float
    notice: str

    def read(self, level: int, box_yxyx: Box) -> npt.NDArray[np.uint8]:
        """Read a part of a level.

        Parameters
        ----------
        level : place in `levels`
        box_yxyx : px of that level, inside it

        Returns
        -------
        rgb : (h, w, 3) uint8; what the scanner left out is white

        Raises
        ------
        ImageError
            A box outside the level, or pixels that cannot be decoded.
        """
        ...

    def close(self) -> None:
        """Let go of the file; a second call does nothing."""
        ...


def level_for(slide: Slide, mpp: float) -> int:
    """Find the coarsest level at least as fine as `mpp` (2 % tolerated); the finest else."""
    fine = [
        place
        for place, level in enumerate(slide.levels)
        if slide.mpp * level.downsample <= mpp * _SCALE_TOLERANCE
    ]
    return max(fine, key=lambda place: slide.levels[place].downsample, default=0)


def levels_of(shapes: Sequence[tuple[int, int]]) -> tuple[Level, ...]:
    """Make levels of their sizes (H, W), finest first.

    A ratio of sizes is taken for the whole number it was before the size was rounded, where
    there is one: 3999 px from 8001 are 2.0 times coarser, not 2.0008.
    """
    return tuple(Level(shape, _downsample(shapes[0], shape)) for shape in shapes)


def _downsample(full: tuple[int, int], shape: tuple[int, int]) -> float:
    ratios = [a / b for a, b in zip(full, shape, strict=True)]
    whole = round(sum(ratios) / 2)
    if all(abs(a / whole - b) < 1 for a, b in zip(full, shape, strict=True)):
        return float(whole)
    return sum(ratios) / 2


def cropped(levels: Sequence[Level], shape: tuple[int, int]) -> tuple[Level, ...]:
    """Make the levels of a part of a slide, (H, W) px of full resolution; whole px of each.

    Where a level's px do not divide the part, its last px reach as far as they lie inside.
    """
    return tuple(
        Level(
            (max(1, int(shape[0] / each.downsample)), max(1, int(shape[1] / each.downsample))),
            each.downsample,
        )
        for each in levels
    )


def require_inside(path: Path, levels: Sequence[Level], level: int, box_yxyx: Box) -> None:
    """Raise ImageError unless the box has pixels and lies inside the level."""
    if not 0 <= level < len(levels):
        raise ImageError(f"{path}: levels are 0..{len(levels) - 1}, got {level}; ask for one")
    height, width = levels[level].shape
    y0, x0, y1, x1 = box_yxyx
    if not (0 <= y0 < y1 <= height and 0 <= x0 < x1 <= width):
        raise ImageError(
            f"{path}: a box of level {level} must lie in {height} x {width} px, got {box_yxyx}; "
            "cut it to the level"
        )
