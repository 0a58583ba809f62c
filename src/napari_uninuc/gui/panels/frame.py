"""What all panels share: a titled box, and following one desk after another."""

from typing import Any

from psygnal import SignalInstance
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QGroupBox, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_uninuc.gui.desk import Desk
from napari_uninuc.gui.window.keymap import button_text, key_of

__all__ = ["Panel", "button", "key_button", "row"]

_PAUSE_MS = 150
"""How far panels follow behind: a run makes hundreds of edits, and a panel that is painted makes
the whole window be painted, just when the answer to a click should be.
"""


class Panel(QGroupBox):
    """A titled column of controls for the desk that is worked at.

    A subclass lists what it listens to in `signals` and `slow_signals`, and shows it in `refresh`
    and `refresh_later`, which must be quick and must not change the session.
    """

    def __init__(self, title: str) -> None:
        super().__init__(title)
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(8, 4, 8, 6)
        self.column.setSpacing(4)
        self.desk: Desk | None = None
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(_PAUSE_MS)
        self._pause.timeout.connect(self.refresh_later)

    def follow(self, desk: Desk | None) -> None:
        """Show another desk, or none."""
        if self.desk is not None:
            for signal in self.signals(self.desk):
                signal.disconnect(self._on_signal, missing_ok=True)
            for signal in self.slow_signals(self.desk):
                signal.disconnect(self._on_slow_signal, missing_ok=True)
        self._pause.stop()
        self.desk = desk
        if desk is not None:
            for signal in self.signals(desk):
                signal.connect(self._on_signal)
            for signal in self.slow_signals(desk):
                signal.connect(self._on_slow_signal)
        self.setEnabled(desk is not None)
        self.refresh()
        self.refresh_later()

    def signals(self, desk: Desk) -> list[SignalInstance]:
        """List what is shown at once."""
        return []

    def slow_signals(self, desk: Desk) -> list[SignalInstance]:
        """List what is shown a moment later, many changes at a time."""
        return []

    def refresh(self) -> None:
        """Show what may not lag behind: a button that looks dead for a moment is not pressed."""

    def refresh_later(self) -> None:
        """Show the rest."""

    def _on_signal(self, *_: Any) -> None:
        self.refresh()

    def _on_slow_signal(self, *_: Any) -> None:
        if not self._pause.isActive():
            self._pause.start()


def row(*widgets: QWidget) -> QWidget:
    """Put widgets side by side."""
    holder = QWidget()
    layout = QHBoxLayout(holder)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(4)
    for widget in widgets:
        layout.addWidget(widget)
    return holder


def button(text: str, tooltip: str) -> QPushButton:
    """Make a button that takes no keyboard focus, so that keys go on working on the picture."""
    made = QPushButton(text)
    made.setToolTip(tooltip)
    made.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    return made


def key_button(action: str) -> QPushButton:
    """Make the button of an action of the table of keys, its key printed on it."""
    return button(button_text(action), key_of(action).tooltip)
