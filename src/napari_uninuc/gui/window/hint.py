"""Three lines for somebody who has never seen the window, until they say that they have."""

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QWidget

from napari_uninuc.gui.window.key_sheet import STYLE
from napari_uninuc.gui.window.keymap import key_of
from napari_uninuc.gui.window.remembered import recall, remember

__all__ = ["Hint"]

_SEEN = "hint/seen"
_EDGE_PX, _WIDEST_PX = 12, 720


class Hint(QFrame):
    """Lies over the bottom of the picture; shown in every window until it was dismissed.

    Parameters
    ----------
    window : napari's main window
    """

    def __init__(self, window: QWidget) -> None:
        super().__init__(window)
        self._canvas = next(iter(window.findChildren(QOpenGLWidget)), window)
        self.setStyleSheet(STYLE)
        self.text = QLabel(
            f"1. Open a picture and press <b>Outline all nuclei</b>.<br>"
            f"2. Click a nucleus to put it right, an empty place to add one; a digit gives a class."
            f"<br>3. <b>{key_of('next').shown}</b> goes to the next doubtful one, "
            f"<b>{key_of('accept').shown}</b> accepts it. <b>{key_of('keys').shown}</b> lists all "
            "keys."
        )
        self.done = QPushButton("Got it")
        self.done.setToolTip("Never show this again.")
        self.done.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        line = QHBoxLayout(self)
        self.text.setWordWrap(True)
        line.addWidget(self.text, stretch=1)
        line.addWidget(self.done)
        self.done.clicked.connect(self._on_done)
        self._canvas.installEventFilter(self)
        self.setVisible(not recall(_SEEN, False))
        self._place()

    def close_hint(self) -> None:
        """Go without being dismissed."""
        self._canvas.removeEventFilter(self)
        self.deleteLater()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Follow the canvas; called by Qt."""
        if event is not None and event.type() in (QEvent.Type.Resize, QEvent.Type.Show):
            self._place()
        return False

    def _place(self) -> None:
        parent = self.parentWidget()
        if self.isHidden() or parent is None:
            return
        width = min(_WIDEST_PX, self._canvas.width() - 2 * _EDGE_PX)
        self.setFixedSize(width, self.heightForWidth(width))  # adjustSize() takes far more
        corner = self._canvas.mapTo(parent, self._canvas.rect().bottomLeft())
        self.move(corner.x() + _EDGE_PX, corner.y() - self.height() - _EDGE_PX)
        self.raise_()

    def _on_done(self) -> None:
        remember(_SEEN, True)
        self.hide()
