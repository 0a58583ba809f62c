"""Outlines by key, each of which can be changed by itself, and the nodes that draw them."""

from collections.abc import Hashable
from typing import Any

import numpy as np
import numpy.typing as npt
from vispy import gloo
from vispy.scene import Node

from napari_uninuc.gui.canvas.outlines import Segments
from napari_uninuc.gui.canvas.stroke_visual import VERTEX, StrokeNode, vertices

__all__ = ["Strokes", "packed_colour"]

_FIRST_ROOM = 1024  # segments
_HALO = "#000000a0"
"""Dark around light: seen on white glass, on pink and on dark brown."""


class Strokes:
    """Lines of one width, with a halo.

    Parameters
    ----------
    parent : node of the scene they belong to; it says where they lie
    width, halo_width : px of the screen
    inside : lines lie to the right of their segments, which is inside of an outline
    """

    def __init__(self, parent: Node, width: float, halo_width: float, *, inside: bool = False):
        inner = width / 2 if inside else 0.0
        self._nodes = [
            StrokeNode(halo_width, inner, _HALO, parent=parent),
            StrokeNode(width, inner, parent=parent),
        ]
        for order, node in enumerate(self._nodes):
            node.order = order
        self._places: dict[Hashable, tuple[int, int]] = {}
        self._colours: dict[Hashable, int] = {}
        self._corners = np.zeros(4 * _FIRST_ROOM, dtype=VERTEX)
        self._end = self._lost = 0
        self._buffer = gloo.VertexBuffer(self._corners)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._places

    def set(self, key: Hashable, segments: Segments, colour: int) -> None:
        """Draw these segments, (n, 4) px of the tile, under a key and no others.

        Parameters
        ----------
        colour : see `packed_colour`
        """
        start, room = self._places.get(key, (0, 0))
        count = len(segments)
        if count > room:
            self._clear(start, room)
            start, room = self._append(key, count)
        self._places[key], self._colours[key] = (start, room), colour
        padded = np.zeros((room, 4), dtype=np.float32)  # a segment without length is not seen
        padded[:count] = segments
        self._write(start, vertices(padded, colour))

    def recolour(self, key: Hashable, colour: int) -> None:
        """Give another colour to what is there under a key."""
        if key in self._places and self._colours[key] != colour:
            self._colours[key] = colour
            start, room = self._places[key]
            corners = self._corners[4 * start : 4 * (start + room)].copy()
            corners["a_colour"] = colour
            self._write(start, corners)

    def remove(self, key: Hashable) -> None:
        """Draw nothing under a key."""
        if key in self._places:
            self._clear(*self._places.pop(key))
            del self._colours[key]

    def clear(self) -> None:
        """Draw nothing."""
        self._places.clear()
        self._colours.clear()
        self._corners[:] = np.zeros((), dtype=VERTEX)
        self._end = self._lost = 0
        self._upload()

    def close(self) -> None:
        """Leave the scene."""
        for node in self._nodes:
            node.parent = None

    def segments_of(self, key: Hashable) -> Segments:
        """What is drawn under a key, (n, 4) px of the tile; empty for none."""
        start, room = self._places.get(key, (0, 0))
        corners = self._corners[4 * start : 4 * (start + room) : 4]
        ends = np.concatenate([corners["a_from"], corners["a_to"]], axis=1)
        return ends[(ends[:, :2] != ends[:, 2:]).any(axis=1)]

    def colour_of(self, key: Hashable) -> int:
        """The colour drawn under a key; KeyError for none."""
        return self._colours[key]

    def _append(self, key: Hashable, count: int) -> tuple[int, int]:
        """Find room at the end; what was left behind is taken up when it is more than half."""
        room = count + count // 4 + 4
        if self._lost > max(self._end // 2, _FIRST_ROOM):
            self._places.pop(key, None)
            self._pack()
        start, self._end = self._end, self._end + room
        if 4 * self._end > len(self._corners):
            grown = np.zeros(max(2 * len(self._corners), 4 * self._end), dtype=VERTEX)
            grown[: len(self._corners)] = self._corners
            self._corners = grown
            self._upload()
        else:
            self._show()
        return start, room

    def _pack(self) -> None:
        packed, end = np.zeros_like(self._corners), 0
        for key, (start, room) in self._places.items():
            packed[4 * end : 4 * (end + room)] = self._corners[4 * start : 4 * (start + room)]
            self._places[key] = end, room
            end += room
        self._corners, self._end, self._lost = packed, end, 0
        self._upload()

    def _clear(self, start: int, room: int) -> None:
        if room:
            self._lost += room
            self._write(start, np.zeros(4 * room, dtype=VERTEX))

    def _write(self, start: int, corners: npt.NDArray[Any]) -> None:
        if len(corners):
            self._corners[4 * start : 4 * start + len(corners)] = corners
            self._buffer.set_subdata(corners, offset=4 * start, copy=True)
        for node in self._nodes:
            node.update()

    def _upload(self) -> None:
        self._buffer = gloo.VertexBuffer(self._corners.copy())
        self._show()

    def _show(self) -> None:
        for node in self._nodes:
            node.show(self._buffer, self._end)


def packed_colour(colour: str) -> int:
    """Turn ``#rrggbb`` into one number, as `vertices` takes it."""
    return int(colour[1:7], 16)
