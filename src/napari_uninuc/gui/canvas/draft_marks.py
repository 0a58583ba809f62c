"""Which marks the nucleus in hand, the selection and the cursor have."""

from functools import partial

import numpy.typing as npt
from qtpy.QtCore import QTimer

from napari_uninuc.gui.canvas.marks import Mark, Marks
from napari_uninuc.gui.canvas.outlines import (
    NO_SEGMENTS,
    Segments,
    box_segments,
    line_segments,
    outline_segments,
)
from napari_uninuc.gui.window.idle import IdleQueue
from napari_uninuc.session import AnnotationSession
from napari_uninuc.session.draft import Draft

__all__ = ["DraftMarks"]

_PATIENCE_MS = 60
"""How long a click waits to be drawn together with its answer: drawing both is one redraw less."""
Box = tuple[float, float, float, float]

_AT_ONCE = 50  # outlines of selected nuclei; a few ms


class DraftMarks:
    """Draws draft and selection as the session changes, hovering and dragging as it is told.

    Parameters
    ----------
    session : whose draft and selection
    marks : where to draw
    idle : outlines of a large selection are drawn bit by bit
    """

    def __init__(
        self,
        session: AnnotationSession,
        marks: Marks,
        idle: IdleQueue,
    ):
        self._session = session
        self._marks = marks
        self._idle = idle
        self._selection_number = 0
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
        self._marks.show(Mark.DRAGGED, line_segments(corners_yx, closed=closed))

    def end_drag(self) -> None:
        """Remove the line or box being dragged."""
        self._marks.hide(Mark.DRAGGED)

    def _outline(self, nucleus_id: int) -> Segments:
        if not self._session.labels.area(nucleus_id):
            return NO_SEGMENTS
        return outline_segments(self._session.labels.mask(nucleus_id))

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
            self._marks.hide(Mark.IN_HAND, Mark.BOX)
            self._marks.show_clicks((), ())
            return
        mask, box = draft.mask, self.box
        self._marks.show(Mark.IN_HAND, NO_SEGMENTS if mask is None else outline_segments(mask))
        self._marks.show(Mark.BOX, NO_SEGMENTS if box is None else box_segments(box))
        self._marks.show_clicks(draft.prompt.points_yx, draft.prompt.inside)

    @property
    def box(self) -> Box | None:
        """The box of the nucleus in hand: the one drawn, else the detector's."""
        draft = self._session.hand.draft
        if draft is None or draft.prompt.box_yxyx is not None:
            return None if draft is None else draft.prompt.box_yxyx
        row = self._session.labels.nuclei.get(draft.nucleus_id)
        return None if row is None else row.detected_box_yxyx

    def _on_selection(self, ids: frozenset[int]) -> None:
        self._selection_number += 1
        self._marks.hide(Mark.SELECTED)
        waiting = sorted(ids)
        self._select_some(waiting[:_AT_ONCE], self._selection_number)
        for start in range(_AT_ONCE, len(waiting), _AT_ONCE):
            some = waiting[start : start + _AT_ONCE]
            self._idle.add(partial(self._select_some, some, self._selection_number))

    def _select_some(self, ids: list[int], number: int) -> None:
        if number == self._selection_number:
            for id_ in ids:
                self._marks.show(Mark.SELECTED, self._outline(id_), id_)

    def _on_edit(self, edit: object) -> None:
        touched: frozenset[int] = getattr(edit, "ids", frozenset())
        if self.hovered in touched:
            self._marks.show(Mark.HOVER, self._outline(self.hovered))
        if touched & self._session.selection:
            self._on_selection(self._session.selection)
