"""Two things of the window that napari tells nobody: Space held down, and the cursor leaving."""

from collections.abc import Callable

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QKeyEvent
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import QWidget

__all__ = ["CanvasWatch"]


class CanvasWatch(QObject):
    """Watches the canvas of a main window; changes and swallows no event.

    Parameters
    ----------
    window : napari's main window; owns the watch
    left : called when the cursor leaves the canvas
    """

    def __init__(self, window: QWidget, left: Callable[[], None]):
        super().__init__(window)
        self._left = left
        self._watched = [window, *window.findChildren(QOpenGLWidget)]
        self.space_held = False
        for widget in self._watched:
            widget.installEventFilter(self)

    def close(self) -> None:
        """Stop watching; may be called after the window is gone."""
        self._left = _nothing
        try:
            for widget in self._watched:
                widget.removeEventFilter(self)
        except RuntimeError:  # Qt destroyed the widgets with their window
            pass
        self._watched.clear()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Note Space and the end of hovering; called by Qt."""
        if event is not None:
            kind = event.type()
            if isinstance(event, QKeyEvent) and kind != QEvent.Type.ShortcutOverride:
                if event.key() == Qt.Key.Key_Space and not event.isAutoRepeat():
                    self.space_held = kind == QEvent.Type.KeyPress
            elif kind in (QEvent.Type.WindowDeactivate, QEvent.Type.FocusOut):
                self.space_held = False
            elif kind == QEvent.Type.Leave and isinstance(watched, QOpenGLWidget):
                self._left()
        return False


def _nothing() -> None:
    pass
