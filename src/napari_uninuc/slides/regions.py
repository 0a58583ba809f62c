"""Rectangles of a slide that a person corrects: where they lie, how large they may be, pixels."""

import math
from dataclasses import replace

from napari_uninuc.core.place import SlidePlace
from napari_uninuc.core.tile import Tile
from napari_uninuc.errors import ImageError
from napari_uninuc.slides.protocol import Box, Slide

__all__ = [
    "SMALLEST_SIDE",
    "fitting_side",
    "level_box",
    "place_of",
    "read_region",
    "require_size",
]

SMALLEST_SIDE = 64
"""Px; a nucleus with something around it."""

LONGEST_SIDE = 16_384
"""Px; what graphics cards show in one piece."""

_BYTES_PER_PX = 40
"""A region of 17 million px open in a window took 26 (29 at most while it was read): pixels, label
map, both label layers and what napari draws them from. The rest is for the copies of saving."""

_EMBEDDING_PER_PX, _EMBEDDING_MOST = 300, 2 * 1024**3
"""Bytes a px of what uninuc-n keeps of its fields (288 measured on 2048 x 2048 px that it looks at
twice), and the bound of the engine's cache."""

_SHARE = 0.7
"""Of the free memory that a region may take; the rest is for saving, and for other programs."""

_SIDES_ARE_MULTIPLES_OF = 100
"""Px; a person is told a number that can be kept in mind."""


def level_box(
    slide: Slide, level: int, first_yx: tuple[float, float], last_yx: tuple[float, float]
) -> Box:
    """Make a box of a level of a rectangle that was drawn.

    Parameters
    ----------
    first_yx, last_yx : two opposite corners, px of full resolution; a pixel's centre is whole

    Returns
    -------
    box_yxyx : px of the level: those that the rectangle touches, inside the level; without a
        pixel where it lies beside the slide
    """
    step, shape = slide.levels[level].downsample, slide.levels[level].shape
    low: list[int] = []
    high: list[int] = []
    for a, b, side in zip(first_yx, last_yx, shape, strict=True):
        start, stop = (min(a, b) + 0.5) / step, (max(a, b) + 0.5) / step
        low.append(min(max(math.floor(start), 0), side))
        high.append(min(max(math.ceil(stop), 0), side))
    return low[0], low[1], high[0], high[1]


def fitting_side(free_bytes: int) -> int:
    """Tell the side of the largest square region that fits, px.

    Parameters
    ----------
    free_bytes : of this machine's memory
    """
    room = max(free_bytes * _SHARE, 1.0)
    small = math.sqrt(room / (_BYTES_PER_PX + _EMBEDDING_PER_PX))
    large = math.sqrt(max(room - _EMBEDDING_MOST, 0) / _BYTES_PER_PX)
    side = min(int(max(small, large)), LONGEST_SIDE)
    return max(side // _SIDES_ARE_MULTIPLES_OF * _SIDES_ARE_MULTIPLES_OF, SMALLEST_SIDE)


def require_size(box_yxyx: Box, free_bytes: int) -> None:
    """Refuse a region that is too small to be meant, or too large for this machine.

    Parameters
    ----------
    box_yxyx : px of a level
    free_bytes : of this machine's memory

    Raises
    ------
    ImageError
        So it is; says what would fit.
    """
    height, width = box_yxyx[2] - box_yxyx[0], box_yxyx[3] - box_yxyx[1]
    if min(height, width) <= 0:
        raise ImageError("expected a rectangle on the slide, got one beside it; drag on the tissue")
    if min(height, width) < SMALLEST_SIDE:
        raise ImageError(
            f"a region must be at least {SMALLEST_SIDE} x {SMALLEST_SIDE} px, got {width:,} x "
            f"{height:,}; drag a larger rectangle"
        )
    side = fitting_side(free_bytes)
    if height * width > side * side or max(height, width) > LONGEST_SIDE:
        raise ImageError(
            f"this region is {width:,} x {height:,} px, up to {side:,} x {side:,} px fits in this "
            "machine's memory; drag a smaller rectangle, or outline the slide by `uninuc slide`"
        )


def place_of(slide: Slide, fingerprint: str, level: int, box_yxyx: Box) -> SlidePlace:
    """Say where a box of a level lies on the slide.

    Parameters
    ----------
    fingerprint : of the slide, see `plan.fingerprint_of`
    """
    step, full = slide.levels[level].downsample, slide.levels[0].shape
    y0, x0 = (math.floor(value * step) for value in box_yxyx[:2])
    y1, x1 = (
        min(math.ceil(value * step), side) for value, side in zip(box_yxyx[2:], full, strict=True)
    )
    return SlidePlace(slide.path.name, fingerprint, level, step, (y0, x0, y1, x1))


def read_region(slide: Slide, box_yxyx: Box, place: SlidePlace, name: str) -> Tile:
    """Read a region as a tile of its own.

    Parameters
    ----------
    box_yxyx : px of the level of `place`
    name : for people and file names

    Raises
    ------
    ImageError
        As `Slide.read`.
    """
    pixels = slide.read(place.level, box_yxyx)
    tile = Tile.from_array(pixels, slide.mpp * place.downsample, box_yxyx[:2], name)
    return replace(tile, place=place)
