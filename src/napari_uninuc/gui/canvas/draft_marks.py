"""Which marks the nucleus in hand, the selection and the cursor have."""

from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QTimer

from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.gui.canvas.marks import (
    NO_PIXELS,
    Mark,
    Marks,
    outline_pixels,
    polyline_pixels,
    spot_pixels,
)
from napari_uninuc.gui.window.idle import IdleQueue
from napari_uninuc.session import AnnotationSession
from napari_uninuc.session.draft import Draft

__all__ = ["DraftMarks"]

_WANTED_SCREEN_PX = 1.5
_THICKEST = 5
_PATIENCE_MS = 60
"""How long a click waits to be drawn together with its answer: drawing both is one redraw less."""
_AT_ONCE = 50  # outlines of selected nuclei; a few ms


class DraftMarks:
    """Draws draft and selection as the session changes, hovering and dragging as it is told.

    Parameters
    ----------
    session : whose draft and selection
    marks : where to draw
    idle : outlines of a large selection are drawn bit by bit
    screen_px : screen px per tile px now; lines get thicker where the picture is small
    """

    def __init__(
        self,
        session: AnnotationSession,
        marks: Marks,
        screen_px: Callable[[], float],
        idle: IdleQueue,
    ):
        self._session = session
        self._marks = marks
        self._idle = idle
        self._selection_number = 0
        self._screen_px = screen_px
        self.hovered = 0
        self._patience = QTimer()
        self._patience.setSingleShot(True)
        self._patience.setInterval(_PATIENCE_MS)
        self._patience.timeout.connect(self._on_patience)
        session.hand.changed.connect(self._on_draft)
        session.selection_changed.connect(self._on_selection)
        session.labels.changed.connect(self._on_edit)
        self._on_draft(session.hand.draft)
        self._on_selection(session.selection)

    def close(self) -> None:
        """Stop following the session."""
        self._patience.stop()
        self._session.hand.changed.disconnect(self._on_draft, missing_ok=True)
        self._session.selection_changed.disconnect(self._on_selection, missing_ok=True)
        self._session.labels.changed.disconnect(self._on_edit, missing_ok=True)

    def hover(self, nucleus_id: int) -> None:
        """Show which nucleus a click would hit, 0 for none."""
        if nucleus_id != self.hovered:
            self.hovered = nucleus_id
            self._marks.show(Mark.HOVER, self._outline(nucleus_id))

    def drag(self, corners_yx: npt.ArrayLike, *, closed: bool = False) -> None:
        """Show the line or box being dragged: corners (N, 2) in tile px."""
        pixels = polyline_pixels(corners_yx, self._thickness(), closed=closed)
        self._marks.show(Mark.DRAGGED, pixels)

    def end_drag(self) -> None:
        """Remove the line or box being dragged."""
        self._marks.hide(Mark.DRAGGED)

    def restore(self) -> None:
        """Draw everything again, after the layer was deleted."""
        self._marks.restore()

    def _thickness(self) -> int:
        return min(max(round(_WANTED_SCREEN_PX / max(self._screen_px(), 1e-6)), 1), _THICKEST)

    def _outline(self, nucleus_id: int) -> npt.NDArray[np.intp]:
        if not self._session.labels.area(nucleus_id):
            return NO_PIXELS
        return outline_pixels(self._session.labels.mask(nucleus_id), self._thickness())

    def _on_draft(self, draft: Draft | None) -> None:
        if draft is None or draft.answered:
            self._patience.stop()
            self._draw(draft)
        elif not self._patience.isActive():
            self._patience.start()

    def _on_patience(self) -> None:
        self._draw(self._session.hand.draft)

    def _draw(self, draft: Draft | None) -> None:
        if draft is None:
            self._marks.hide(Mark.IN_HAND, Mark.INSIDE, Mark.OUTSIDE)
            return
        thickness = self._thickness()
        self._marks.show(Mark.IN_HAND, _draft_outline(draft, thickness))
        clicks = list(zip(draft.prompt.points_yx, draft.prompt.inside, strict=True))
        for mark, inside in ((Mark.INSIDE, True), (Mark.OUTSIDE, False)):
            spots = [spot_pixels(place, thickness) for place, side in clicks if side is inside]
            self._marks.show(mark, np.concatenate([NO_PIXELS, *spots]))

    def _on_selection(self, ids: frozenset[int]) -> None:
        self._selection_number += 1
        self._marks.unselect()
        waiting = sorted(ids)
        self._select_some(waiting[:_AT_ONCE], self._selection_number)
        for start in range(_AT_ONCE, len(waiting), _AT_ONCE):
            some = waiting[start : start + _AT_ONCE]
            self._idle.add(partial(self._select_some, some, self._selection_number))

    def _select_some(self, ids: list[int], number: int) -> None:
        if number == self._selection_number:
            outlines = [self._outline(id_) for id_ in ids]
            self._marks.select(np.concatenate([NO_PIXELS, *outlines]))

    def _on_edit(self, edit: object) -> None:
        touched: frozenset[int] = getattr(edit, "ids", frozenset())
        if self.hovered in touched:
            self._marks.show(Mark.HOVER, self._outline(self.hovered))
        if touched & self._session.selection:
            self._on_selection(self._session.selection)


def _draft_outline(draft: Draft, thickness: int) -> npt.NDArray[np.intp]:
    """The outline in hand, and the box that was drawn while it waits for its answer."""
    mask: InstanceMask | None = draft.mask
    outline = NO_PIXELS if mask is None else outline_pixels(mask, thickness)
    box = draft.prompt.box_yxyx
    if box is None or draft.answered:
        return outline
    y0, x0, y1, x1 = box
    corners = [(y0, x0), (y0, x1 - 1), (y1 - 1, x1 - 1), (y1 - 1, x0)]
    return np.concatenate([outline, polyline_pixels(corners, thickness, closed=True)])
