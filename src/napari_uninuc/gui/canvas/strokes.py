"""Outlines by key, each of which can be changed by itself, and the node that draws them."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from vispy import gloo
from vispy.scene import Node

from napari_uninuc.gui.canvas.outlines import Segments, simplified
from napari_uninuc.gui.canvas.stroke_visual import (
    COLOUR,
    VERTEX,
    StrokeNode,
    runs,
    triangles,
    vertices,
)
from napari_uninuc.gui.canvas.view_seen import Seen

__all__ = ["Strokes", "packed_colour"]

_FIRST_ROOM = 1024  # segments
_COARSE_BELOW = 1.25
"""Screen px per px of the tile below which steps between pixels are too small to be seen."""
_MARGIN = 0.15
"""What is drawn beyond each side of the canvas, of its size, to be there when it is moved."""
_ONE_BY_ONE = 32
"""Keys up to which each sends its own part of the buffer when it changes its colour."""

_SLOT = np.dtype(
    [
        ("start", "<i8"),
        ("room", "<i8"),
        ("fine", "<i8"),
        ("coarse", "<i8"),
        ("order", "<i8"),
        ("box", "<f4", 4),
    ]
)
"""Where the segments of a key lie in the buffer: all of them, then fewer for the far view."""


class Strokes:
    """Lines of one width or two, with a halo; what is off the canvas is not drawn.

    Parameters
    ----------
    parent : node of the scene they belong to; it says where they lie
    width, halo_width : px of the screen
    thin : width and halo's width of what is set as thin; None where nothing is
    inside : lines lie to the right of their segments, which is inside of an outline
    many : worth to be kept as a picture, see `StrokeVisual`
    """

    def __init__(
        self,
        parent: Node,
        width: float,
        halo_width: float,
        *,
        thin: tuple[float, float] | None = None,
        inside: bool = False,
        many: bool = False,
    ) -> None:
        inner = width / 2 if inside else 0.0
        self.index = gloo.IndexBuffer()
        widths, halos = zip((width, halo_width), thin or (width, halo_width), strict=True)
        self._node = StrokeNode(self, widths, halos, inner, kept=many, parent=parent)
        self._slots = np.zeros(16, dtype=_SLOT)
        self._slot_of: dict[Hashable, int] = {}
        self._free: list[int] = []
        self._colours: dict[Hashable, int] = {}
        self._corners = np.zeros(4 * _FIRST_ROOM, dtype=VERTEX)
        self._painted = np.zeros(4 * _FIRST_ROOM, dtype=COLOUR)
        self._end = self._lost = 0
        self._drawn: tuple[bool, npt.NDArray[np.float64]] | None = None
        self._touched: npt.NDArray[np.float64] | None = None
        self._count = 0
        self._upload()

    def __contains__(self, key: Hashable) -> bool:
        return key in self._slot_of

    def set(
        self,
        key: Hashable,
        segments: Segments,
        colour: int,
        *,
        thin: bool = False,
        order: int = 0,
    ) -> None:
        """Draw these segments, (n, 4) px of the tile, under a key and no others.

        Parameters
        ----------
        colour : see `packed_colour`
        thin : as narrow as what is thin here
        order : the higher is drawn over the lower
        """
        far = simplified(segments)
        every = segments if len(far) == len(segments) else np.concatenate([segments, far])
        slot = self._slot_of[key] if key in self._slot_of else self._take_slot(key)
        self._touch(self._slots[slot])
        if len(every) > self._slots[slot]["room"]:
            self._find_room(slot, len(every))
        place, self._colours[key] = self._slots[slot], colour
        place["fine"], place["coarse"], place["order"] = len(segments), len(far), order
        ends = np.asarray(segments).reshape(-1, 2, 2)
        if len(ends):
            place["box"][:2], place["box"][2:] = ends.min(axis=(0, 1)), ends.max(axis=(0, 1))
        self._touch(place)
        start, end = int(place["start"]), int(place["start"]) + len(every)
        self._corners[4 * start : 4 * end] = vertices(every, thin=thin)
        self._painted[4 * start : 4 * end]["a_colour"] = colour
        self._send(self._places, self._corners, start, end)
        self._send(self._paint, self._painted, start, end)
        self._changed()

    def recolour(self, colours: Mapping[Any, int]) -> None:
        """Give other colours, see `packed_colour`, to what is there under their keys."""
        known = self._colours
        changed = {key: one for key, one in colours.items() if known.get(key, one) != one}
        if not changed:
            return
        known.update(changed)
        slots = self._slots[[self._slot_of[key] for key in changed]]
        self._touch(slots)
        starts, rooms = slots["start"], slots["room"]
        of_segments = self._painted["a_colour"].reshape(-1, 4)
        of_segments[runs(starts, rooms)] = np.repeat(list(changed.values()), rooms)[:, None]
        if len(changed) > _ONE_BY_ONE:
            starts, rooms = starts.min(keepdims=True), (starts + rooms).max() - starts.min()
        for start, room in zip(starts.tolist(), np.atleast_1d(rooms).tolist(), strict=True):
            self._send(self._paint, self._painted, start, start + room)
        self._node.update()

    def remove(self, *keys: Hashable) -> None:
        """Draw nothing under these keys."""
        there = [key for key in keys if key in self._slot_of]
        for key in there:
            slot = self._slot_of.pop(key)
            self._touch(self._slots[slot])
            self._lost += int(self._slots[slot]["room"])
            self._slots[slot] = np.zeros((), dtype=_SLOT)
            self._free.append(slot)
            del self._colours[key]
        if there:
            self._changed()

    def clear(self) -> None:
        """Draw nothing."""
        if self._slot_of:
            self._touch(self._slots)
            self._slot_of.clear()
            self._free.clear()
            self._colours.clear()
            self._slots[:] = np.zeros((), dtype=_SLOT)
            self._end = self._lost = 0
            self._changed()

    def close(self) -> None:
        """Leave the scene."""
        self._node.parent = None

    def segments_of(self, key: Hashable) -> Segments:
        """What is drawn under a key, (n, 4) px of the tile; empty for none."""
        slot = self._slot_of.get(key)
        start, count = (0, 0) if slot is None else self._slots[slot][["start", "fine"]]
        corners = self._corners[4 * start : 4 * (start + count) : 4]
        return np.concatenate([corners["a_from"], corners["a_to"]], axis=1)

    def colour_of(self, key: Hashable) -> int:
        """The colour drawn under a key; KeyError for none."""
        return self._colours[key]

    # -- what is drawn ------------------------------------------------------------------------

    def choose(self, seen: Seen) -> int:
        """Put what is to be seen into the index, where it is not; returns its segments."""
        if not self._slot_of:
            return 0
        coarse, box = seen.zoom < _COARSE_BELOW, seen.box_xyxy
        size = box[2:] - box[:2]
        if self._drawn is not None and self._drawn[0] == coarse:
            before = self._drawn[1]
            inside = (before[:2] <= box[:2]).all() and (box[2:] <= before[2:]).all()
            if inside and (before[2:] - before[:2] <= 2 * size).all():
                return self._count
        margin = _MARGIN * size
        box = np.concatenate([box[:2] - margin, box[2:] + margin])
        self._count = self._put(coarse, box)
        self._drawn = coarse, box
        return self._count

    def choose_within(self, seen: Seen) -> int:
        """Put what lies in a part of the canvas into the index, and nothing beside it."""
        self._drawn = None
        return self._put(seen.zoom < _COARSE_BELOW, seen.box_xyxy)

    def take_touched(self) -> npt.NDArray[np.float64] | None:
        """Where something has changed since this was last asked, (4,) x, y, x, y, or None."""
        touched, self._touched = self._touched, None
        return touched

    def _put(self, coarse: bool, box: npt.NDArray[np.float64]) -> int:
        """Put what lies in a box into the index; returns its segments."""
        slots = self._slots
        here = (slots["box"][:, :2] <= box[2:]).all(axis=1)
        here &= (slots["box"][:, 2:] >= box[:2]).all(axis=1)
        slots = slots[here]
        if slots["order"].any():
            slots = slots[np.argsort(slots["order"], kind="stable")]
        # A few segments are their own far view, which then is not there a second time.
        apart = coarse & (slots["coarse"] < slots["fine"])
        starts = slots["start"] + np.where(apart, slots["fine"], 0)
        counts = slots["coarse" if coarse else "fine"]
        count = int(counts.sum())
        if count:
            self.index.set_data(triangles(starts, counts))
        return count

    def _touch(self, slots: npt.NDArray[Any]) -> None:
        """Have what is kept as a picture drawn again where one or many of the slots lie."""
        there = np.atleast_1d(slots)
        boxes = there["box"][there["fine"] > 0].astype(np.float64)
        if self._touched is not None:
            boxes = np.concatenate([boxes, self._touched[None]])
        if len(boxes):
            self._touched = np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])

    # -- where it lies in the buffer ------------------------------------------------------------

    def _take_slot(self, key: Hashable) -> int:
        slot = self._free.pop() if self._free else len(self._slot_of)
        if slot == len(self._slots):
            self._slots = np.concatenate([self._slots, np.zeros_like(self._slots)])
        self._slot_of[key] = slot
        return slot

    def _find_room(self, slot: int, count: int) -> None:
        """Find room at the end; what was left behind is taken up when it is more than half."""
        place = self._slots[slot]
        self._lost += int(place["room"])
        place["start"] = place["room"] = 0
        room = count + count // 8 + 4
        if self._lost > max(self._end // 2, _FIRST_ROOM):
            self._pack()
        place["start"], place["room"], self._end = self._end, room, self._end + room
        if 4 * self._end > len(self._corners):
            more = max(len(self._corners), 4 * self._end - len(self._corners))
            self._corners = np.concatenate([self._corners, np.zeros(more, VERTEX)])
            self._painted = np.concatenate([self._painted, np.zeros(more, COLOUR)])
            self._upload()

    def _pack(self) -> None:
        packed, painted, end = np.zeros_like(self._corners), np.zeros_like(self._painted), 0
        for slot in self._slot_of.values():
            place = self._slots[slot]
            start, room = int(place["start"]), int(place["room"])
            old, new = slice(4 * start, 4 * (start + room)), slice(4 * end, 4 * (end + room))
            packed[new], painted[new] = self._corners[old], self._painted[old]
            place["start"], end = end, end + room
        self._corners, self._painted, self._end, self._lost = packed, painted, end, 0
        self._upload()

    @staticmethod
    def _send(buffer: gloo.VertexBuffer, data: npt.NDArray[Any], start: int, end: int) -> None:
        """Let the graphics card have some segments as they are now."""
        if start < end:
            buffer.set_subdata(data[4 * start : 4 * end], offset=4 * start, copy=True)

    def _upload(self) -> None:
        self._places = gloo.VertexBuffer(self._corners.copy())
        self._paint = gloo.VertexBuffer(self._painted.copy())
        self._node.bind(self._places, self._paint)
        self._changed()

    def _changed(self) -> None:
        """Draw anew; where there is nothing to draw, the scene passes by."""
        self._drawn = None
        if self._node.visible != bool(self._slot_of):
            self._node.visible = bool(self._slot_of)
        self._node.update()


def packed_colour(colour: str) -> int:
    """Turn ``#rrggbb`` into one number, as `vertices` takes it."""
    return int(colour[1:7], 16)
