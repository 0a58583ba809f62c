"""The tool that draws a region: a rectangle dragged on the canvas at any zoom."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from psygnal import Signal
from qtpy.QtCore import QPoint, QRect, QSize
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import QLabel, QRubberBand, QWidget

from napari_uninuc.gui.canvas.canvas_watch import CanvasWatch
from napari_uninuc.gui.canvas.tool_acts import LEFT
from napari_uninuc.gui.slides.open_slide import OpenSlide
from napari_uninuc.gui.window.keyboard import Keyboard

__all__ = ["RegionTool"]

_CLICK_PX = 4
_BESIDE = QPoint(14, 18)
_LABEL = "color: {}; background: rgba(20, 24, 30, 225); padding: 3px 6px; border-radius: 3px;"

World = tuple[float, ...]
"""A place as mouse events have it."""


class RegionTool:
    """Follows one drag; put away by Esc, and by whoever receives the rectangle.

    Parameters
    ----------
    viewer, window : napari's viewer and its main window
    on_drawn : given the slide and the world places of press and release; not called for a click
    words_for : given the same, says how large the rectangle is and whether it may be

    Attributes
    ----------
    changed : taken up or put away
    """

    changed = Signal()

    def __init__(
        self,
        viewer: Any,
        window: QWidget,
        *,
        on_drawn: Callable[[OpenSlide, World, World], None],
        words_for: Callable[[OpenSlide, World, World], tuple[str, bool]],
    ) -> None:
        self._viewer = viewer
        self._on_drawn, self._words_for = on_drawn, words_for
        self._watch = CanvasWatch(window, _nothing)
        self._keyboard = Keyboard(window, {"drop": self.disarm})
        self._follow: Callable[[Any, Any], Iterator[None]] | None = None
        (canvas,) = window.findChildren(QOpenGLWidget)
        self._band = QRubberBand(QRubberBand.Shape.Rectangle, canvas)
        self._label = QLabel(canvas)

    @property
    def armed(self) -> bool:
        """The next drag draws a region."""
        return self._follow is not None

    def arm(self, slide: OpenSlide) -> None:
        """Take the tool, to draw on a slide; a drawing mode of the active layer is put away."""
        self.disarm()
        self._follow = partial(self._on_press, slide)
        active = self._viewer.layers.selection.active
        if active is not None:
            active.mode = "pan_zoom"
        self._viewer.mouse_drag_callbacks.insert(0, self._follow)
        self._keyboard.set_armed(True)
        self._viewer.cursor.style = "crosshair"
        self.changed.emit()

    def disarm(self) -> None:
        """Put it away; a drag under way is forgotten."""
        follow, self._follow = self._follow, None
        if follow is None:
            return
        self._hide()
        self._viewer.mouse_drag_callbacks.remove(follow)
        self._keyboard.set_armed(False)
        self._viewer.cursor.style = "standard"
        self.changed.emit()

    def close(self) -> None:
        """Let go of the window."""
        self.disarm()
        self._keyboard.close()
        self._watch.close()
        for part in (self._band, self._label):
            part.deleteLater()

    def _on_press(self, slide: OpenSlide, _viewer: Any, event: Any) -> Iterator[None]:
        """Follow one press to its release; a generator, as napari wants it."""
        if event.button != LEFT or self._watch.space_held:
            return
        event.handled = True
        first, corner, follow = tuple(event.position), _point(event), self._follow
        moved = False
        yield
        while event.type == "mouse_move":
            moved = moved or (_point(event) - corner).manhattanLength() > _CLICK_PX
            if moved and follow is self._follow:
                words, fits = self._words_for(slide, first, tuple(event.position))
                self._show(corner, _point(event), words, fits)
            event.handled = True
            yield
        self._hide()
        moved = moved or (_point(event) - corner).manhattanLength() > _CLICK_PX
        if moved and follow is self._follow:
            self._on_drawn(slide, first, tuple(event.position))

    def _show(self, corner: QPoint, now: QPoint, words: str, fits: bool) -> None:
        span = now - corner
        size = QSize(abs(span.x()) + 1, abs(span.y()) + 1)
        self._band.setGeometry(
            QRect(QPoint(min(corner.x(), now.x()), min(corner.y(), now.y())), size)
        )
        self._band.show()
        self._label.setText(words)
        self._label.setStyleSheet(_LABEL.format("#f0f0f0" if fits else "#ff8080"))
        self._label.adjustSize()
        self._label.move(now + _BESIDE)
        self._label.show()

    def _hide(self) -> None:
        self._band.hide()
        self._label.hide()


def _point(event: Any) -> QPoint:
    return QPoint(round(float(event.pos[0])), round(float(event.pos[1])))


def _nothing() -> None:
    pass
