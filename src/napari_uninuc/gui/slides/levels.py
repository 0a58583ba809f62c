"""The levels of a slide as arrays for napari, of which only what is seen is ever read."""

import weakref
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_uninuc.errors import ImageError
from napari_uninuc.slides.opening import AnySlide

__all__ = ["SlideLevel", "SlidePixels", "SlideSource"]

_BLOCK = 512
_BLOCKS_HELD = 256
"""201 MB of RGB: a screen of 4K, and what lies around it."""

_WIDEST_GAP = 4
"""Between two levels, as scanners have it. Just above a coarser one that is farther away, a
screen would have to read seconds' worth of the finer one; there the slide as seen from afar is
shown, enlarged, until one zooms in further."""

_SMALL_SIDE = 1024
"""Px; napari draws its thumbnail of a layer from all of the coarsest level."""

_WHITE = 255

Pixels = npt.NDArray[np.uint8]


class SlidePixels:
    """Reads a slide in blocks and keeps the last ones; may be asked from any thread.

    Parameters
    ----------
    slide : nobody else reads from it
    on_problem : told once, in the thread that asked, what could not be decoded; it is shown white

    Attributes
    ----------
    overview : (h, w, 3) uint8, the whole slide from afar; white until somebody has made it
    """

    def __init__(self, slide: AnySlide, on_problem: Callable[[Exception], None]) -> None:
        self.slide = slide
        self.overview: Pixels = np.full((1, 1, 3), _WHITE, np.uint8)
        self._on_problem = on_problem
        self._blocks: OrderedDict[tuple[int, int, int], Pixels] = OrderedDict()
        self._lock = Lock()
        self._told = False
        weakref.finalize(self, slide.close)  # with the layer, if nobody closes it before

    def read(self, level: int, box_yxyx: tuple[int, int, int, int]) -> Pixels:
        """Read a box inside a level."""
        y0, x0, y1, x1 = box_yxyx
        rgb = np.empty((y1 - y0, x1 - x0, 3), np.uint8)
        for row in range(y0 // _BLOCK, -(-y1 // _BLOCK)):
            for column in range(x0 // _BLOCK, -(-x1 // _BLOCK)):
                block, top, left = self._block(level, row, column), row * _BLOCK, column * _BLOCK
                ys = max(y0, top), min(y1, top + block.shape[0])
                xs = max(x0, left), min(x1, left + block.shape[1])
                cut = block[ys[0] - top : ys[1] - top, xs[0] - left : xs[1] - left]
                rgb[ys[0] - y0 : ys[1] - y0, xs[0] - x0 : xs[1] - x0] = cut
        return rgb

    def close(self) -> None:
        """Close the file; what was not read yet is shown white."""
        with self._lock:
            self._told = True
            self.slide.close()

    def _block(self, level: int, row: int, column: int) -> Pixels:
        key = level, row, column
        with self._lock:
            if key in self._blocks:
                self._blocks.move_to_end(key)
                return self._blocks[key]
            block = self._decode(level, row, column)
            self._blocks[key] = block
            if len(self._blocks) > _BLOCKS_HELD:
                self._blocks.popitem(last=False)
            return block

    def _decode(self, level: int, row: int, column: int) -> Pixels:
        height, width = self.slide.levels[level].shape
        y0, x0 = row * _BLOCK, column * _BLOCK
        box = y0, x0, min(y0 + _BLOCK, height), min(x0 + _BLOCK, width)
        try:
            return self.slide.read(level, box)
        except (ImageError, OSError, ValueError, AttributeError) as problem:  # or it was closed
            if not self._told:
                self._told = True
                self._on_problem(problem)
            return np.full((box[2] - y0, box[3] - x0, 3), _WHITE, np.uint8)


class SlideLevel:
    """One level: the few things of an array that napari asks for.

    Parameters
    ----------
    pixels : of the slide
    shape : (H, W) of the level, px
    place : in the slide's levels; None shows the overview, enlarged
    """

    dtype = np.dtype(np.uint8)
    ndim = 3

    def __init__(self, pixels: SlidePixels, shape: tuple[int, int], place: int | None) -> None:
        self.pixels, self._place = pixels, place
        self.shape = (*shape, 3)

    @property
    def size(self) -> int:
        """Numbers in it."""
        return self.shape[0] * self.shape[1] * 3

    @property
    def nbytes(self) -> int:
        """Bytes it would take."""
        return self.size

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Pixels:
        given = index if isinstance(index, tuple) else (index,)
        if Ellipsis in given:
            place = given.index(Ellipsis)
            given = (*given[:place], *[slice(None)] * (4 - len(given)), *given[place + 1 :])
        full = list(given) + [slice(None)] * (3 - len(given))
        (ys, y), (xs, x) = _span(full[0], self.shape[0]), _span(full[1], self.shape[1])
        return self._read((ys[0], xs[0], ys[1], xs[1]))[y, x, full[2]]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.asarray(self[:, :], dtype)

    def _read(self, box: tuple[int, int, int, int]) -> Pixels:
        y0, x0, y1, x1 = box
        if y1 <= y0 or x1 <= x0:
            return np.zeros((max(y1 - y0, 0), max(x1 - x0, 0), 3), np.uint8)
        if self._place is not None:
            return self.pixels.read(self._place, box)
        seen = self.pixels.overview
        rows = np.arange(y0, y1) * seen.shape[0] // self.shape[0]
        columns = np.arange(x0, x1) * seen.shape[1] // self.shape[1]
        return seen[np.ix_(rows, columns)]


class SlideSource(list[SlideLevel]):
    """All levels for napari, finest first, with what is seen from afar where levels are missing."""

    def __init__(self, slide: AnySlide, on_problem: Callable[[Exception], None]) -> None:
        pixels = SlidePixels(slide, on_problem)
        super().__init__()
        shapes = [level.shape for level in slide.levels]
        for place, shape in enumerate(shapes):
            self.append(SlideLevel(pixels, shape, place))
            coarser = max(shapes[place + 1]) if place + 1 < len(shapes) else _SMALL_SIDE
            step = _WIDEST_GAP
            while max(shape) / coarser > _WIDEST_GAP * 1.1 and max(shape) / step > coarser / 1.5:
                blurred = -(-shape[0] // step), -(-shape[1] // step)
                self.append(SlideLevel(pixels, blurred, None))
                step *= 2


def _span(index: Any, side: int) -> tuple[tuple[int, int], Any]:
    """Which part of an axis to read, and what is then to be taken of it."""
    if isinstance(index, slice):
        start, stop, step = index.indices(side)
        if step < 1:
            return (0, side), index
        return (start, max(start, stop)), slice(None, None, step)
    place = int(index) + (side if index < 0 else 0)
    return (place, place + 1), 0
