"""What is drawn over the nuclei while correcting: outlines, clicks and the line being dragged.

One more labels layer of bytes, placed like the image, of which only the pixels that change are
written: 0.2 ms a change at any tile size and under any turn or scale, where a Shapes layer
takes 10 ms and a slower draw.
"""

from collections.abc import Callable
from enum import IntEnum
from functools import partial
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap

from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.gui.window.idle import IdleQueue

__all__ = ["MARK_COLOURS", "Mark", "Marks", "outline_pixels", "polyline_pixels", "spot_pixels"]

Pixels = npt.NDArray[np.intp]
"""(N, 2) yx tile px."""

_CHUNK = 50_000  # px written at once; a few ms


class Mark(IntEnum):
    """Kinds of marks; the higher is drawn on top."""

    SELECTED = 1
    HOVER = 2
    IN_HAND = 3
    DRAGGED = 4
    INSIDE = 5
    OUTSIDE = 6


MARK_COLOURS = {
    Mark.SELECTED: "#00f0ff",
    Mark.HOVER: "#ffffffa0",
    Mark.IN_HAND: "#ffffff",
    Mark.DRAGGED: "#ffffff",
    Mark.INSIDE: "#20ff60",
    Mark.OUTSIDE: "#ff2030",
}

NO_PIXELS: Pixels = np.zeros((0, 2), dtype=np.intp)


class Marks:
    """The pixels of every kind of mark, and the layer that shows them.

    Parameters
    ----------
    shape : (H, W) of the tile, px
    make_layer : adds a layer for a (H, W) uint8 array and a colormap to the viewer
    idle : large changes are written bit by bit

    Attributes
    ----------
    hidden : the picture is not seen: a layer that was deleted is not made again now
    """

    def __init__(
        self,
        shape: tuple[int, int],
        make_layer: Callable[[npt.NDArray[np.uint8], DirectLabelColormap], Labels],
        idle: IdleQueue,
    ):
        self._shape = shape
        self._make_layer = make_layer
        self._idle = idle
        self._places: dict[Mark, npt.NDArray[np.intp]] = {}
        # Outlines of ten thousand selected nuclei are too many to search at every mouse move.
        self._selected = np.zeros(shape[0] * shape[1], dtype=np.bool_)
        self.layer: Labels | None = None
        self.hidden = False

    def show(self, mark: Mark, pixels: Pixels) -> None:
        """Replace all pixels of one kind but SELECTED.

        Parameters
        ----------
        pixels : (N, 2) yx tile px; those outside the tile are left out
        """
        new = self._places_of(pixels)
        old = self._places.get(mark, new[:0])
        if not np.array_equal(old, new):
            self._places[mark] = new
            self._write(np.union1d(old, new))

    def hide(self, *marks: Mark) -> None:
        """Remove all pixels of these kinds, not SELECTED."""
        for mark in marks:
            if len(self._places.get(mark, ())):
                self.show(mark, NO_PIXELS)

    def select(self, pixels: Pixels) -> None:
        """Add pixels of the kind SELECTED, of which there may be a million."""
        new = self._places_of(pixels)
        self._selected[new] = True
        self._write(new)

    def unselect(self) -> None:
        """Remove all pixels of the kind SELECTED."""
        old = np.flatnonzero(self._selected)
        self._selected[old] = False
        self._write(old)

    def restore(self) -> None:
        """Make the layer again with all that is shown, if it was deleted and anything is."""
        shown = self._selected.any() or any(map(len, self._places.values()))
        if self.layer is None and shown and not self.hidden:
            self.make_layer()

    def make_layer(self) -> None:
        """Add a layer that shows all marks. Takes a tenth of a second, most of it Qt's."""
        places = np.concatenate([np.flatnonzero(self._selected), *self._places.values()])
        colours = {None: "transparent", 0: "transparent"} | {
            int(mark): colour for mark, colour in MARK_COLOURS.items()
        }
        array = np.zeros(self._shape, dtype=np.uint8)
        array.flat[places] = self._values(places)
        self.layer = self._make_layer(array, DirectLabelColormap(color_dict=colours))

    def _places_of(self, pixels: Pixels) -> npt.NDArray[np.intp]:
        """Sorted flat places of the pixels that lie on the tile."""
        height, width = self._shape
        y, x = pixels[:, 0], pixels[:, 1]
        inside = (y >= 0) & (x >= 0) & (y < height) & (x < width)
        return np.unique(y[inside] * width + x[inside])

    def _write(self, places: npt.NDArray[np.intp]) -> None:
        if self.layer is None:
            self.restore()
            return
        self._write_chunk(places[:_CHUNK])
        for start in range(_CHUNK, len(places), _CHUNK):
            self._idle.add(partial(self._write_chunk, places[start : start + _CHUNK]))

    def _write_chunk(self, places: npt.NDArray[np.intp]) -> None:
        if self.layer is not None and len(places):
            y, x = np.divmod(places, self._shape[1])
            self.layer.data_setitem((y, x), self._values(places))
            forget_strokes(self.layer)

    def _values(self, places: npt.NDArray[np.intp]) -> npt.NDArray[np.uint8]:
        values = np.where(self._selected[places], np.uint8(Mark.SELECTED), np.uint8(0))
        for mark in sorted(self._places):
            if len(self._places[mark]):
                values[np.isin(places, self._places[mark])] = mark
        return values


def forget_strokes(layer: Labels) -> None:
    """Empty napari's own undo of a layer that we alone write; it would keep every pixel."""
    reset = getattr(layer, "_reset_history", None)
    if reset is not None:
        reset()


def outline_pixels(mask: InstanceMask, thickness: int = 1) -> Pixels:
    """Return the pixels of a mask along its edge.

    Parameters
    ----------
    thickness : px, counted inwards; the edge of the crop counts as edge

    Returns
    -------
    pixels : (N, 2) yx px of the picture
    """
    inner = np.pad(mask.mask, 1)
    for _ in range(thickness):
        core = inner.copy()
        core[1:-1, 1:-1] &= inner[:-2, 1:-1] & inner[2:, 1:-1] & inner[1:-1, :-2] & inner[1:-1, 2:]
        inner = core
    edge = mask.mask & ~inner[1:-1, 1:-1]
    return np.argwhere(edge) + np.asarray(mask.origin_yx, dtype=np.intp)


def polyline_pixels(
    corners_yx: npt.ArrayLike, thickness: int = 1, *, closed: bool = False
) -> Pixels:
    """Return the pixels of a line through corners.

    Parameters
    ----------
    corners_yx : (N, 2) tile px, N at least 1
    thickness : px
    closed : join the last corner to the first
    """
    corners = np.asarray(corners_yx, dtype=np.float64)
    if closed:
        corners = np.concatenate([corners, corners[:1]])
    pieces = [corners[:1]]
    for start, end in pairwise(corners):
        count = int(np.ceil(np.abs(end - start).max())) + 1
        pieces.append(start + np.linspace(0, 1, count)[:, None] * (end - start))
    line = np.rint(np.concatenate(pieces)).astype(np.intp)
    reach = np.arange(thickness) - thickness // 2
    offsets = np.stack(np.meshgrid(reach, reach, indexing="ij"), axis=-1).reshape(-1, 2)
    return (line[:, None] + offsets[None]).reshape(-1, 2)


def spot_pixels(centre_yx: tuple[float, float], radius: int) -> Pixels:
    """Return the pixels of a disc of a radius in px around a place in tile px."""
    reach = np.arange(-radius, radius + 1)
    offsets = np.stack(np.meshgrid(reach, reach, indexing="ij"), axis=-1).reshape(-1, 2)
    offsets = offsets[(offsets**2).sum(axis=1) <= radius * (radius + 0.5)]
    return np.rint(np.asarray(centre_yx)).astype(np.intp) + offsets
