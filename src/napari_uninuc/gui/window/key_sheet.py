"""The list of keys, laid over the picture."""

from html import escape

from qtpy.QtCore import Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QLabel, QWidget

from napari_uninuc.gui.window.keymap import CLASS_KEYS, HABITS, KEYS, MOUSE

__all__ = ["STYLE", "KeySheet", "key_rows"]

_WIDEST_PX = 1240

STYLE = (
    "QLabel, QFrame { background: rgba(20, 24, 30, 235); color: #f0f0f0; border: 1px solid #888; "
    "border-radius: 8px; padding: 6px; } QFrame > QLabel "
    "{ border: none; background: none; padding: 0; }"
)


class KeySheet(QLabel):
    """Shown and hidden by its key, hidden by a click.

    Parameters
    ----------
    window : the main window it lies over
    """

    def __init__(self, window: QWidget) -> None:
        super().__init__(window)
        self._window = window
        self.setTextFormat(Qt.TextFormat.RichText)
        self.setStyleSheet(STYLE)
        self.setText(_table())
        self.hide()

    def toggle(self) -> None:
        """Show it in the middle of the window, or hide it."""
        if self.isVisible():
            self.hide()
            return
        self.setWordWrap(True)
        self.setFixedWidth(min(self._window.width() - 20, _WIDEST_PX))
        self.adjustSize()
        middle = self._window.rect().center() - self.rect().center()
        self.move(max(middle.x(), 0), max(middle.y(), 0))
        self.raise_()
        self.show()

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        """Hide it; called by Qt."""
        self.hide()


def key_rows() -> list[tuple[str, str]]:
    """Every key and what it does; the digits in one."""
    keys = [key for key in KEYS if key not in CLASS_KEYS]
    rows = [(key.shown, f"{key.words}. {key.tooltip}") for key in keys]
    rows.insert(-1, ("1 to 9", "Give a class to what is in hand, selected or under the cursor."))
    return rows


def _table() -> str:
    """All keys in two columns, so that they fit a small screen."""
    rows = key_rows()
    half = len(rows) // 2 + 4
    left = "<h3>Keys</h3>" + _rows(rows[:half])
    right = (
        _rows(rows[half:])
        + "<h3>Mouse, with Fix or add</h3>"
        + _rows(list(MOUSE))
        + "<h3>If you come from elsewhere</h3>"
        + _rows(list(HABITS))
    )
    return f"<table cellspacing='6'><tr><td>{left}</td><td>{right}</td></tr></table>"


def _rows(rows: list[tuple[str, str]]) -> str:
    cells = "".join(
        f"<tr><td><b>{escape(left)}</b>&nbsp;&nbsp;</td><td>{escape(right)}</td></tr>"
        for left, right in rows
    )
    return f"<table cellspacing='1'>{cells}</table>"
