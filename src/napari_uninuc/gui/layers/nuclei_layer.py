"""The one editable labels layer: shows the session's pixels, hands over what is painted on it."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.layers import Labels

from napari_uninuc.core.edits import Edit
from napari_uninuc.core.extents import Box, join_boxes, slices
from napari_uninuc.errors import LabelsError
from napari_uninuc.gui.canvas.brush import HANDS_OFF, BrushWatch
from napari_uninuc.gui.canvas.marks import forget_strokes
from napari_uninuc.gui.layers.colours import NucleusColours
from napari_uninuc.gui.layers.placement import Placement
from napari_uninuc.gui.window.idle import IdleQueue
from napari_uninuc.session import AnnotationSession

__all__ = ["NucleiLayer"]

_NAME = "nuclei"
_FILL_WHEN_PAINTING = 0.5
"""Opacity while a drawing tool of napari's is in use; else nuclei are seen by their outlines."""
_FEW = 8  # nuclei drawn one by one
_THUMBNAIL_PX = 32
_BAND_PX = 65_536  # px compared and written at once; 4 ms where all of them change

Choice = Callable[[npt.NDArray[np.int32]], npt.NDArray[np.bool_]]
"""Of a crop of ids, which pixels."""


class NucleiLayer:
    """One labels layer and its ties to a session; made anew when the layer is deleted.

    Parameters
    ----------
    session : the truth
    colours : of its nuclei
    placement : where the tile lies
    idle : large changes are shown bit by bit
    on_problem : told what a stroke or a foreign change of the layer did wrong; the layer shows
        the session again then

    Attributes
    ----------
    layer : int32, not yet in a viewer
    """

    def __init__(
        self,
        session: AnnotationSession,
        colours: NucleusColours,
        placement: Placement,
        idle: IdleQueue,
        on_problem: Callable[[Exception], None],
        prefix: str = "",
    ):
        self._session, self._idle, self._on_problem = session, idle, on_problem
        self._replacing = self._closed = False
        self.layer = Labels(
            session.labels.pixels.copy(),
            name=prefix + _NAME,
            colormap=colours.colormap,
            **placement.keywords(),
        )
        self.layer.opacity = self._opacity = 0.0
        self._drawing_thumbnail = False
        self.layer.events.mode.connect(self._on_mode)
        self.layer.events.thumbnail.connect(self._on_thumbnail)
        self._bind_keys()
        self._brush = BrushWatch(
            self.layer,
            lambda: session.labels.pixels,
            session.hand.keep,
            self._on_painted,
            self._sync,
        )
        self.layer.events.data.connect(self._on_data_replaced)

    def close(self) -> None:
        """Let go of the layer, which may live on as a copy."""
        self._closed = True
        self._brush.close()
        self.layer.events.mode.disconnect(self._on_mode)
        self.layer.events.thumbnail.disconnect(self._on_thumbnail)
        self.layer.events.data.disconnect(self._on_data_replaced)

    def _on_mode(self, _event: Any) -> None:
        """Fill the nuclei while they are painted, as a brush is not seen in outlines."""
        layer, painting = self.layer, str(self.layer.mode) not in HANDS_OFF
        if painting and layer.opacity < _FILL_WHEN_PAINTING:
            self._opacity, layer.opacity = layer.opacity, _FILL_WHEN_PAINTING
        elif not painting and layer.opacity == _FILL_WHEN_PAINTING:
            layer.opacity = self._opacity

    def _bind_keys(self) -> None:
        """Replace three of napari's keys on this layer, which are wrong for it.

        Its undo knows nothing of the table, and its M gives out ids that were used before.
        """
        layer, session = self.layer, self._session
        layer.bind_key("Control-Z", lambda _: self._safely(session.undo), overwrite=True)
        layer.bind_key("Control-Shift-Z", lambda _: self._safely(session.redo), overwrite=True)
        layer.bind_key("M", lambda _: self._choose_new_id(), overwrite=True)

    def _choose_new_id(self) -> None:
        self.layer.selected_label = self._session.labels.next_id

    def _safely(self, action: Callable[..., object], *arguments: Any) -> None:
        try:
            action(*arguments)
        except LabelsError as problem:
            self._on_problem(problem)

    # -- session -> layer -------------------------------------------------------------------

    def show(self, edit: Edit, recoloured: list[int]) -> None:
        """Show an edit of the session, and nuclei that have another colour now."""
        if self._brush.under_way:
            self._brush.postpone(edit)
        else:
            self._sync(edit.box_yxyx)
        if recoloured:
            self._recolour(recoloured)

    def recolour_all(self, colours: NucleusColours) -> None:
        """Draw every nucleus again, bit by bit; all at once where the colormap is a new one."""
        if self.layer.colormap is not colours.colormap:
            self.layer.colormap = colours.colormap
            return
        height, width = self._session.labels.shape
        self._sync((0, 0, height, width), lambda ids: ids != 0)

    def draw_thumbnail(self) -> None:
        """Bring the small picture in the layer list up to date.

        napari does it only together with the whole layer: 80 ms where this takes a tenth.
        """
        pixels = self._session.labels.pixels
        step = max(pixels.shape) / _THUMBNAIL_PX
        rows, columns = (
            (np.arange(max(int(side / step), 1)) * step).astype(np.intp) for side in pixels.shape
        )
        self._drawing_thumbnail = True
        self.layer.thumbnail = self.layer.colormap.map(pixels[np.ix_(rows, columns)])
        self._drawing_thumbnail = False

    def _on_thumbnail(self, _event: Any) -> None:
        """Draw it again where napari drew it, as transparent as the layer is: black."""
        if not self._drawing_thumbnail and self.layer.opacity < _FILL_WHEN_PAINTING:
            self.draw_thumbnail()

    def _recolour(self, ids: list[int]) -> None:
        """Draw nuclei again: each where it lies if they are few, else in one sweep over all."""
        boxes = [self._session.labels.box(id_) for id_ in ids]
        chosen = np.array(ids, dtype=np.int32)
        for box in boxes if len(boxes) <= _FEW else [join_boxes(*boxes)]:
            self._sync(box, lambda crop: _among(crop, chosen))

    def _sync(self, box: Box, recoloured: Choice | None = None) -> None:
        """Make a box of the layer show the session: now if it is small, else bit by bit."""
        bands = list(_bands(box))
        if len(bands) == 1:
            self._write(bands[0], recoloured)
            return
        for band in bands:
            self._idle.add(partial(self._write, band, recoloured))

    def _write(self, box: Box, recoloured: Choice | None) -> None:
        if self._closed:
            return
        layer, truth = self.layer, self._session.labels.pixels[slices(box)]
        stale = np.asarray(layer.data[slices(box)]) != truth
        with self._brush.own_writing():
            if recoloured is not None:
                # Only a changed pixel is coloured anew, so these are taken away for a moment.
                again = recoloured(truth) & ~stale
                _set_pixels(layer, box, again, np.zeros_like(truth), refresh=False)
                stale |= again
            _set_pixels(layer, box, stale, truth, refresh=True)
        forget_strokes(layer)

    # -- layer -> session -------------------------------------------------------------------

    def begin_stroke(self) -> None:
        """A mouse button was pressed while the layer is the active one."""
        self._idle.flush()  # what is painted is told by comparing, so all must be shown
        self._brush.begin(self.layer.mode)

    def end_stroke(self) -> None:
        """The mouse button was released."""
        self._brush.end()

    def _on_painted(self, box: Box, after: npt.NDArray[Any]) -> None:
        self._safely(self._session.paint, box, after)

    def _on_data_replaced(self, _event: Any) -> None:
        """Somebody assigned `layer.data`: take over labels that fit, show the session again."""
        if self._replacing:
            return
        labels, pixels = np.asarray(self.layer.data), self._session.labels.pixels
        if labels.shape == pixels.shape and labels.dtype.kind in "ui":
            self._session.hand.keep()
            self._on_painted((0, 0, *labels.shape), labels.copy())
        else:
            self._on_problem(
                LabelsError(
                    f"the nuclei layer must hold {pixels.shape} integers, got {labels.shape} "
                    f"{labels.dtype}; it shows the nuclei as they were"
                )
            )
        self._replacing = True
        self.layer.data = pixels.copy()
        self._replacing = False
        forget_strokes(self.layer)


def _among(crop: npt.NDArray[np.int32], ids: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    """Pixels of a crop that have one of the ids."""
    found: npt.NDArray[np.bool_] = np.isin(crop, ids)
    return found


def _bands(box: Box) -> Iterator[Box]:
    """Cut a box into bands of rows of at most `_BAND_PX` each; nothing for an empty box."""
    y0, x0, y1, x1 = box
    if y0 >= y1 or x0 >= x1:
        return
    rows = max(_BAND_PX // (x1 - x0), 1)
    for top in range(y0, y1, rows):
        yield top, x0, min(top + rows, y1), x1


def _set_pixels(
    layer: Labels,
    box: Box,
    where: npt.NDArray[np.bool_],
    values: npt.NDArray[np.int32],
    *,
    refresh: bool,
) -> None:
    """Write those pixels of a (h, w) crop that lie in `where`."""
    rows, columns = np.nonzero(where)
    if len(rows):
        layer.data_setitem((rows + box[0], columns + box[1]), values[where], refresh=refresh)
