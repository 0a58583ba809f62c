"""Key events that Qt's shortcuts leave over: releases, and letters typed into a number."""

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from enum import Enum, auto
from typing import Any

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QKeyEvent, QKeySequence
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QComboBox,
    QDateTimeEdit,
    QLineEdit,
    QPlainTextEdit,
    QTextEdit,
    QWidget,
)

__all__ = ["Field", "KeyWatch", "code_of", "field_of"]


class Field(Enum):
    """What the keys typed now become."""

    NONE = auto()
    NUMBER = auto()
    TEXT = auto()


def field_of(widget: QWidget | None) -> Field:
    """What a widget with the focus takes; a number has no letters."""
    if isinstance(widget, QComboBox):  # it keeps the focus from the line it has inside
        return Field.TEXT if widget.isEditable() else Field.NONE
    if isinstance(widget, QLineEdit | QTextEdit | QPlainTextEdit):
        return Field.NONE if widget.isReadOnly() else Field.TEXT
    if isinstance(widget, QAbstractSpinBox):
        if widget.isReadOnly():
            return Field.NONE
        return Field.TEXT if isinstance(widget, QDateTimeEdit) else Field.NUMBER
    return Field.NONE


def code_of(sequence: str) -> int:
    """Key of a sequence, without Ctrl, Shift and Alt; `Qt.Key` as a number."""
    keys: Any = QKeySequence(sequence)[0]
    return int(keys.key()) if hasattr(keys, "key") else int(keys) & _KEY


_KEY = 0x01FFFFFF  # Qt 5 puts key and modifiers into one number


class KeyWatch(QObject):
    """Keeps from napari what belongs to keys that were ours.

    A shortcut takes the press of a key and leaves its release to whoever has the focus. napari
    keeps what to do at the release of a key (go back to the mode before) until the same key comes
    again. So the brush came back when a key was let go of whose press had been ours.

    Parameters
    ----------
    window : the main window; owns the watch
    endings : what to call when a key that was ours is let go of, by code
    """

    def __init__(
        self, window: QWidget, endings: Mapping[int, Callable[[], object]] | None = None
    ) -> None:
        super().__init__(window)
        self._endings = dict(endings or {})
        self._always = [window, *window.findChildren(QOpenGLWidget)]
        self._focused: QWidget | None = None
        self._taken: set[int] = set()
        self._claimed: frozenset[int] = frozenset()
        self._from_field = False
        for widget in self._always:
            widget.installEventFilter(self)

    def claim(self, codes: Collection[int], *, from_field: bool) -> None:
        """Say which keys are ours from now on.

        Parameters
        ----------
        from_field : the focus is in a field for a number, which would hold on to them
        """
        self._claimed, self._from_field = frozenset(codes), from_field

    def take(self, code: int) -> None:
        """Note that the press of a key was ours; its release will be."""
        self._taken.add(code)

    def follow(self, focused: QWidget | None) -> None:
        """Watch what has the focus, which is where key events go."""
        self._leave()
        if focused is not None and focused not in self._always:
            self._focused = focused
            focused.installEventFilter(self)

    def close(self) -> None:
        """Stop watching; may be called after the window is gone."""
        self._end_all()
        self._endings.clear()
        self._leave()
        for widget in self._always:
            _take_filter(widget, self)
        self._always.clear()

    def _end_all(self) -> None:
        """End what is held: the window is left, and no release will come."""
        for code in self._taken & self._endings.keys():
            self._taken.discard(code)
            self._endings[code]()

    def _leave(self) -> None:
        before, self._focused = self._focused, None
        if before is not None:
            _take_filter(before, self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Swallow what was ours; called by Qt."""
        if event is not None and event.type() == QEvent.Type.WindowDeactivate:
            self._end_all()
        if not isinstance(event, QKeyEvent):
            return False
        code = int(event.key())
        if event.type() == QEvent.Type.ShortcutOverride:
            plain = event.modifiers() & ~Qt.KeyboardModifier.ShiftModifier
            if self._from_field and code in self._claimed and not plain:
                event.ignore()  # else the field takes the letter, to do nothing with it
                return True
        elif event.type() == QEvent.Type.KeyPress and not event.isAutoRepeat():
            self._taken.discard(code)  # no shortcut wanted it: it is napari's
        elif event.type() == QEvent.Type.KeyRelease:
            ours = code in self._taken or code in self._claimed
            if not event.isAutoRepeat():
                ends = self._endings.get(code) if code in self._taken else None
                self._taken.discard(code)
                if ends is not None:
                    ends()
            return ours
        return False


def _take_filter(widget: QWidget, watch: QObject) -> None:
    with suppress(RuntimeError):  # Qt destroyed it
        widget.removeEventFilter(watch)
