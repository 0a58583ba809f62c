"""The tool that draws a region: a rectangle dragged on the canvas at any zoom."""

from collections.abc import Callable, Iterator
from typing import Any

from psygnal import Signal
from qtpy.QtCore import QPoint, QRect, QSize
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import QLabel, QRubberBand, QWidget

from napari_uninuc.gui.canvas.canvas_watch import CanvasWatch
from napari_uninuc.gui.canvas.tool_acts import LEFT
from napari_uninuc.gui.window.keymap import Keyboard

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
    on_drawn : given the world places of press and release; not called for a click
    words_for : given the same two places, says how large the rectangle is and whether it may be

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
        on_drawn: Callable[[World, World], None],
        words_for: Callable[[World, World], tuple[str, bool]],
    ) -> None:
        self._viewer = viewer
        self._on_drawn, self._words_for = on_drawn, words_for
        self._watch = CanvasWatch(window, _nothing)
        self._keyboard = Keyboard(window, {"drop": self.disarm})
        self._number = 0
        self._armed = False
        (canvas,) = window.findChildren(QOpenGLWidget)
        self._band = QRubberBand(QRubberBand.Shape.Rectangle, canvas)
        self._label = QLabel(canvas)

    @property
    def armed(self) -> bool:
        """The next drag draws a region."""
        return self._armed

    def arm(self) -> None:
        """Take the tool; a drawing mode of the active layer is put away."""
        if self._armed:
            return
        self._armed = True
        active = self._viewer.layers.selection.active
        if active is not None:
            active.mode = "pan_zoom"
        self._viewer.mouse_drag_callbacks.insert(0, self._on_press)
        self._keyboard.set_armed(True)
        self._viewer.cursor.style = "crosshair"
        self.changed.emit()

    def disarm(self) -> None:
        """Put it away; a drag under way is forgotten."""
        if not self._armed:
            return
        self._armed = False
        self._number += 1
        self._hide()
        self._viewer.mouse_drag_callbacks.remove(self._on_press)
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

    def _on_press(self, _viewer: Any, event: Any) -> Iterator[None]:
        """Follow one press to its release; a generator, as napari wants it."""
        if event.button != LEFT or self._watch.space_held:
            return
        event.handled = True
        first, corner, number = tuple(event.position), _point(event), self._number
        moved = False
        yield
        while event.type == "mouse_move":
            moved = moved or (_point(event) - corner).manhattanLength() > _CLICK_PX
            if moved and number == self._number:
                self._show(corner, _point(event), *self._words_for(first, tuple(event.position)))
            event.handled = True
            yield
        self._hide()
        moved = moved or (_point(event) - corner).manhattanLength() > _CLICK_PX
        if moved and number == self._number:
            self._on_drawn(first, tuple(event.position))

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
