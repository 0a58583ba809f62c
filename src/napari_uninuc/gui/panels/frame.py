"""What all panels share: a title that folds them, and following one desk after another."""

from typing import Any

from psygnal import SignalInstance
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import (
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QScrollBar,
    QSizePolicy,
    QToolButton,
    QTreeWidget,
    QVBoxLayout,
    QWidget,
)

from napari_uninuc.gui.desk import Desk
from napari_uninuc.gui.window.keymap import button_text, key_of
from napari_uninuc.gui.window.remembered import recall, remember

__all__ = ["Panel", "button", "key_button", "name_controls", "row"]

_PAUSE_MS = 150
"""How far panels follow behind: a run makes hundreds of edits, and a panel that is painted makes
the whole window be painted, just when the answer to a click should be.
"""


class Panel(QWidget):
    """A titled column of controls for the desk that is worked at; its title folds it.

    A subclass lists what it listens to in `signals` and `slow_signals`, and shows it in `refresh`
    and `refresh_later`, which must be quick and must not change the session.

    Parameters
    ----------
    title : shown above the column; whether it is folded is remembered under the class's name
    folded : as long as nobody has folded or unfolded it

    Attributes
    ----------
    column : takes the controls
    title : the button that folds and unfolds
    """

    def __init__(self, title: str, *, folded: bool = False) -> None:
        super().__init__()
        self._name = f"folded/{type(self).__name__}"
        self._body = QWidget()
        self.column = QVBoxLayout(self._body)
        self.column.setContentsMargins(6, 0, 6, 4)
        self.column.setSpacing(3)
        self.title = _title(title)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(2)
        whole.addWidget(self.title)
        whole.addWidget(self._body)
        self.title.toggled.connect(self._show_body)
        self.title.clicked.connect(lambda unfolded: remember(self._name, not unfolded))
        self._folded = folded
        self.put_away(False)
        self._show_body(self.title.isChecked())
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

    def put_away(self, away: bool) -> None:
        """Fold for now, or unfold where a person has not folded it; neither is remembered."""
        self.title.setChecked(not away and not recall(self._name, self._folded))

    def setEnabled(self, enabled: bool) -> None:
        """Enable or disable the column; a title can always be folded."""
        self._body.setEnabled(enabled)

    def _show_body(self, unfolded: bool) -> None:
        arrow = Qt.ArrowType.DownArrow if unfolded else Qt.ArrowType.RightArrow
        self.title.setArrowType(arrow)
        self._body.setVisible(unfolded)

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


def _title(text: str) -> QToolButton:
    made = QToolButton()
    made.setText(text)
    made.setCheckable(True)
    made.setAutoRaise(True)
    made.setArrowType(Qt.ArrowType.RightArrow)
    made.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
    made.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    made.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    made.setToolTip("Fold or unfold; it stays so.")
    made.setStyleSheet("font-weight: bold; border: none; text-align: left;")
    return made


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
    """Make a button that a click gives no focus, so that keys go on working on the picture.

    Tab leads to it, and Space presses it then.
    """
    made = QPushButton(text)
    made.setToolTip(tooltip)
    made.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    return made


def key_button(action: str) -> QPushButton:
    """Make the button of an action of the table of keys, its key printed on it."""
    return button(button_text(action), key_of(action).tooltip)


def name_controls(widget: QWidget) -> None:
    """Let all controls be reached by Tab, and give those without words a name to be read aloud.

    Parameters
    ----------
    widget : whose controls; the name is the first sentence of what they say when pointed at
    """
    for control in (QAbstractSlider, QComboBox, QAbstractSpinBox, QTreeWidget, QLineEdit):
        for each in widget.findChildren(control):
            if each.focusPolicy() == Qt.FocusPolicy.NoFocus and not isinstance(each, QScrollBar):
                each.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            if not each.accessibleName():
                placeholder = each.placeholderText() if isinstance(each, QLineEdit) else ""
                words = each.toolTip().split(". ")[0] or placeholder
                each.setAccessibleName(words.rstrip("."))
