"""What napari's own brush, eraser, fill and polygon left in the nuclei layer.

napari tells that something was painted, but what and where only in private types that change
from version to version. So the place is taken from the public event that redraws part of the
layer, and the pixels from comparing the layer with what it showed before.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.layers import Labels
from qtpy.QtCore import QTimer

from napari_uninuc.core.edits import Edit
from napari_uninuc.core.extents import Box, join_boxes, slices, tight_box

__all__ = ["HANDS_OFF", "BrushWatch"]

HANDS_OFF = {"pan_zoom", "transform", "pick"}
"""Modes of a labels layer that do not paint."""


class BrushWatch:
    """Watches one labels layer and hands over each stroke once it is finished.

    While a stroke is under way nothing may be written to the layer: the stroke would be mixed
    up with it. Edits that come meanwhile are kept and their pixels told apart afterwards.

    Parameters
    ----------
    layer : the nuclei layer
    pixels : the session's (H, W) int32 ids, of which the layer is the picture
    settle : called before a stroke is looked at: whatever is about to change pixels does so now
    painted : takes the box and (h, w) int32 ids that the stroke made of it; may refuse by
        an exception of its own handling
    redraw : makes the layer's box show the session's pixels again
    """

    def __init__(
        self,
        layer: Labels,
        pixels: Callable[[], npt.NDArray[np.int32]],
        settle: Callable[[], object],
        painted: Callable[[Box, npt.NDArray[np.int32]], None],
        redraw: Callable[[Box], None],
    ):
        self._layer = layer
        self._pixels = pixels
        self._settle = settle
        self._painted = painted
        self._redraw = redraw
        self._touched: Box | None = None
        self._late: list[Edit] = []
        self._own_writing = False
        self._under_way = self._has_painted = self._closed = False
        layer.events.labels_update.connect(self._on_update)
        layer.events.paint.connect(self._on_paint)

    @property
    def under_way(self) -> bool:
        """A stroke has begun and was not handed over yet."""
        return self._under_way

    @contextmanager
    def own_writing(self) -> Iterator[None]:
        """What is written to the layer in this block is not a stroke."""
        self._own_writing = True
        try:
            yield
        finally:
            self._own_writing = False

    def begin(self, mode: str) -> None:
        """A mouse button was pressed while the layer is active and in this mode."""
        self._under_way = str(mode) not in HANDS_OFF

    def end(self) -> None:
        """The mouse button was released; napari tells of the stroke after this, or not at all."""
        if self._under_way:
            QTimer.singleShot(0, self._finish)

    def postpone(self, edit: Edit) -> None:
        """Note an edit that was made while a stroke is under way and is not shown yet."""
        self._late.append(edit)

    def close(self) -> None:
        """Stop watching; the layer is gone."""
        self._layer.events.labels_update.disconnect(self._on_update)
        self._layer.events.paint.disconnect(self._on_paint)
        self._closed = True

    def _on_update(self, event: Any) -> None:
        if self._own_writing:
            return
        y, x = (int(value) for value in tuple(event.offset)[-2:])
        height, width = np.shape(event.data)[-2:]
        box = (y, x, y + height, x + width)
        self._touched = box if self._touched is None else join_boxes(self._touched, box)

    def _on_paint(self, _event: Any) -> None:
        """Look at the stroke soon: where it is not a drag, napari writes only after telling."""
        if not self._own_writing:
            self._has_painted = self._under_way = True
            QTimer.singleShot(0, self._finish)

    def _finish(self) -> None:
        if self._closed or not self._under_way:
            return
        self._settle()
        late, self._late = self._late, []
        box, self._touched = self._touched, None
        painted, self._has_painted = self._has_painted, False
        self._under_way = False
        if painted:
            height, width = self._layer.data.shape
            box = box or (0, 0, height, width)
            stroke = self._stroke(box, late)
            if stroke is not None:
                self._painted(*stroke)
            self._redraw(box)
        for edit in late:
            self._redraw(edit.box_yxyx)

    def _stroke(self, box: Box, late: list[Edit]) -> tuple[Box, npt.NDArray[np.int32]] | None:
        """Find what was painted: the smallest box around it, and the ids there afterwards."""
        truth = self._pixels()[slices(box)]
        shown = truth.copy()
        for edit in reversed(late):
            _paste(shown, box, edit)
        now = np.asarray(self._layer.data[slices(box)])
        mine = now != shown
        tight = tight_box(mine)
        if tight is None:
            return None
        y0, x0, y1, x1 = tight
        after = np.where(mine, now, truth)[y0:y1, x0:x1].astype(np.int32)
        return (box[0] + y0, box[1] + x0, box[0] + y1, box[1] + x1), after


def _paste(crop: npt.NDArray[np.int32], box: Box, edit: Edit) -> None:
    """Put the pixels from before an edit into a crop that lies at `box`."""
    y0, x0, y1, x1 = edit.box_yxyx
    top, left = max(y0, box[0]), max(x0, box[1])
    bottom, right = min(y1, box[2]), min(x1, box[3])
    if top < bottom and left < right:
        crop[top - box[0] : bottom - box[0], left - box[1] : right - box[1]] = edit.before[
            top - y0 : bottom - y0, left - x0 : right - x0
        ]
