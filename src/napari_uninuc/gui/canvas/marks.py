"""What is drawn over the nuclei while correcting: outlines, clicks, boxes, the line being dragged.

Lines are as wide at any zoom. Clicks are told apart by their shape as well as by their colour:
a cross belongs to the nucleus, a bar does not.
"""

from collections.abc import Sequence
from enum import Enum
from typing import Any

import numpy as np
from vispy.scene import Node
from vispy.scene.visuals import Markers

from napari_uninuc.gui.canvas.outlines import Segments
from napari_uninuc.gui.canvas.strokes import Strokes, packed_colour

__all__ = ["MARK_COLOURS", "Mark", "Marks", "forget_strokes"]

_WIDTH_PX, _HALO_PX = 2.5, 5.5
_THIN_PX, _THIN_HALO_PX = 1.5, 3.5
_CLICK_PX = 13
_INSIDE, _OUTSIDE = "#39e75f", "#ff2030"


class Mark(Enum):
    """Kinds of lines; the later is drawn on top."""

    SELECTED = "selected"
    HOVER = "hover"
    BOX = "box"
    IN_HAND = "in hand"
    DRAGGED = "dragged"


_ORDER = list(Mark)
_THIN = (Mark.BOX, Mark.HOVER)

MARK_COLOURS = {
    Mark.SELECTED: "#80ccff",
    Mark.HOVER: "#d8d8d8",
    Mark.BOX: "#ffffff",
    Mark.IN_HAND: "#ffffff",
    Mark.DRAGGED: "#ffffff",
}


class Marks:
    """The lines of every kind of mark, and the clicks.

    Parameters
    ----------
    parent : node of the scene, in px of the tile

    Attributes
    ----------
    node : of all marks
    """

    def __init__(self, parent: Node) -> None:
        self.node = Node(parent=parent)
        self.node.order = 10
        thin = (_THIN_PX, _THIN_HALO_PX)
        self._lines = Strokes(Node(parent=self.node), _WIDTH_PX, _HALO_PX, thin=thin)
        self._shown: dict[Mark, set[int]] = {mark: set() for mark in Mark}
        self._clicks: Any = Markers(parent=self.node, scaling=False)
        self._clicks.order = 100
        self._clicks.set_gl_state("translucent", depth_test=False)
        self._clicks.visible = False
        self._shown_clicks: tuple[Any, ...] = ()

    def show(self, mark: Mark, segments: Segments, key: int = 0) -> None:
        """Replace all lines of a kind under a key."""
        if len(segments):
            self._shown[mark].add(key)
            colour, thin = packed_colour(MARK_COLOURS[mark]), mark in _THIN
            order = _ORDER.index(mark)
            self._lines.set((mark, key), segments, colour, thin=thin, order=order)
        elif key in self._shown[mark]:
            self._shown[mark].remove(key)
            self._lines.remove((mark, key))

    def hide(self, *marks: Mark) -> None:
        """Remove all lines of these kinds."""
        self._lines.remove(*((mark, key) for mark in marks for key in self._shown[mark]))
        for mark in marks:
            self._shown[mark].clear()

    def shown(self, mark: Mark, key: int = 0) -> Segments:
        """The lines of a kind under a key; empty for none."""
        return self._lines.segments_of((mark, key))

    def show_clicks(self, places_yx: Sequence[tuple[float, float]], inside: Sequence[bool]) -> None:
        """Replace the clicks: px of the tile, and whether each belongs to the nucleus."""
        shown = (tuple(places_yx), tuple(inside))
        if shown == self._shown_clicks:
            return
        self._shown_clicks = shown
        self._clicks.visible = bool(places_yx)
        if places_yx:
            self._clicks.set_data(
                pos=np.asarray(places_yx, dtype=np.float32)[:, ::-1],
                symbol=["cross" if each else "hbar" for each in inside],
                size=_CLICK_PX,
                face_color=[_INSIDE if each else _OUTSIDE for each in inside],
                edge_color="#000000c0",
                edge_width=1.2,
            )


def forget_strokes(layer: Any) -> None:
    """Empty napari's own undo of a labels layer that we alone write; it would keep every pixel."""
    reset = getattr(layer, "_reset_history", None)
    if reset is not None:
        reset()
