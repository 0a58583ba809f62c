"""The outlines of all nuclei on the canvas, in the colours of the nuclei."""

from functools import partial

from napari_uninuc.core.edits import Edit
from napari_uninuc.gui.canvas.outlines import box_segments, outline_segments
from napari_uninuc.gui.canvas.strokes import Strokes
from napari_uninuc.gui.layers.colours import NucleusColours
from napari_uninuc.gui.window.idle import IdleQueue
from napari_uninuc.session import AnnotationSession

__all__ = ["NucleiOutlines"]

_AT_ONCE = 80
"""Outlines that are found at once; some 8 ms."""


class NucleiOutlines:
    """Follows a session edit by edit; what is much is drawn bit by bit.

    Parameters
    ----------
    session : whose nuclei
    colours : of its nuclei
    outlines, boxes : where outlines, and the boxes that the detector found, are drawn
    idle : outlines of many nuclei are found bit by bit
    """

    def __init__(
        self,
        session: AnnotationSession,
        colours: NucleusColours,
        outlines: Strokes,
        boxes: Strokes,
        idle: IdleQueue,
    ) -> None:
        self._session, self._colours, self._idle = session, colours, idle
        self._outlines, self._boxes = outlines, boxes
        self._show_boxes = False
        self.draw_all()

    @property
    def show_boxes(self) -> bool:
        """Whether the detector's boxes are drawn, in the colours of their scores."""
        return self._show_boxes

    @show_boxes.setter
    def show_boxes(self, shown: bool) -> None:
        if shown != self._show_boxes:
            self._show_boxes = shown
            self._boxes.clear()
            self.draw_all()

    def follow(self, edit: Edit) -> None:
        """Draw what an edit has touched."""
        self._draw_soon(sorted(edit.ids))

    def draw_all(self) -> None:
        """Draw every nucleus anew."""
        self._draw_soon(list(self._session.labels.nuclei))

    def recolour_all(self) -> None:
        """Give every outline the colour that its nucleus has now."""
        ids = list(self._session.labels.nuclei)
        self._outlines.recolour(dict(zip(ids, self._colours.packed(ids), strict=True)))

    def _draw_soon(self, ids: list[int]) -> None:
        self._draw(ids[:_AT_ONCE])
        for start in range(_AT_ONCE, len(ids), _AT_ONCE):
            self._idle.add(partial(self._draw, ids[start : start + _AT_ONCE]))

    def _draw(self, ids: list[int]) -> None:
        """Draw nuclei as they are by now."""
        labels = self._session.labels
        for id_ in ids:
            if not labels.area(id_):
                self._outlines.remove(id_)
                self._boxes.remove(id_)
                continue
            segments = outline_segments(labels.mask(id_))
            (colour,) = self._colours.packed([id_])
            self._outlines.set(id_, segments, colour)
            box = labels.nuclei[id_].detected_box_yxyx if self._show_boxes else None
            if box is not None:
                self._boxes.set(id_, box_segments(box), self._colours.packed_score(id_))
