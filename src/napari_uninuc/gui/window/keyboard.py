"""The shortcuts that make the table of keys work while the tool is armed.

napari gives its keys to the active layer first, so a key bound on the viewer works or not
depending on what is selected. Qt's shortcuts of the main window come before both. They are
switched off whenever the tool is not armed or a text field has the focus, so that nothing of
napari is changed then. While napari's own brush is in use only those stay on that lead back.
"""

from collections.abc import Callable, Mapping
from functools import cache, partial

from napari.qt import get_qapp
from qtpy.QtCore import QObject, Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QApplication, QShortcut, QWidget

from napari_uninuc.gui.window.key_watch import Field, KeyWatch, code_of, field_of
from napari_uninuc.gui.window.keymap import Key, Reach, key_of

__all__ = ["Keyboard"]

_application = cache(get_qapp)
"""Asked once: each time, napari also sets IPython's event loop to what its settings say."""


class Keyboard(QObject):
    """Shortcuts of one main window, on as far as the tool in use lets them reach.

    Parameters
    ----------
    window : the main window; dock widgets that float belong to it too. It owns the keyboard
    handlers : what to call for an action of the table; actions without a handler get no key
    endings : what to call when a key that is held is let go of, by action

    Raises
    ------
    KeyError
        A handler for an action that is not in the table.
    """

    def __init__(
        self,
        window: QWidget,
        handlers: Mapping[str, Callable[[], object]],
        endings: Mapping[str, Callable[[], object]] | None = None,
    ):
        super().__init__(window)
        self._reach, self._field, self._closed = Reach.NONE, Field.NONE, False
        # Qt deletes shortcuts late, and a window would live as long as what they call.
        self._handlers = dict(handlers)
        ends = {code_of(key_of(action).keys[0]): end for action, end in (endings or {}).items()}
        self._watch = KeyWatch(window, ends)
        self._shortcuts = [
            (key_of(action), self._shortcut(window, sequence, key_of(action)))
            for action in handlers
            for sequence in key_of(action).keys
        ]
        _application().focusChanged.connect(self._on_focus_changed)
        self._on_focus_changed(None, QApplication.focusWidget())

    def _shortcut(self, window: QWidget, sequence: str, key: Key) -> QShortcut:
        shortcut = QShortcut(QKeySequence(sequence), window)
        shortcut.setContext(Qt.ShortcutContext.WindowShortcut)
        shortcut.setAutoRepeat(key.repeats)
        shortcut.setEnabled(False)
        code, watch = code_of(sequence), self._watch
        call = partial(_call, self._handlers, key.action, partial(watch.take, code))
        shortcut.activated.connect(call)
        # Another plugin claims the same key: while our tool is armed, it is ours.
        shortcut.activatedAmbiguously.connect(call)
        return shortcut

    @property
    def active(self) -> bool:
        """Whether all keys work now."""
        return self._reach is Reach.ALL and self._field is Field.NONE

    def set_armed(self, armed: bool) -> None:
        """Switch all keys on or off."""
        self.set_reach(Reach.ALL if armed else Reach.NONE)

    def set_reach(self, reach: Reach) -> None:
        """Switch on the keys that reach so far, and the others off."""
        self._reach = reach
        self._apply()

    def close(self) -> None:
        """Take the shortcuts away; may be called twice."""
        if self._closed:
            return
        self._closed = True
        self.set_armed(False)
        _application().focusChanged.disconnect(self._on_focus_changed)
        self._watch.close()
        for _, shortcut in self._shortcuts:
            shortcut.deleteLater()
        self._shortcuts.clear()
        self._handlers.clear()

    def _on_focus_changed(self, _old: QWidget | None, new: QWidget | None) -> None:
        self._watch.follow(new)
        self._field = field_of(new)
        self._apply()

    def _works(self, key: Key) -> bool:
        if self._reach is Reach.NONE or key.reach > self._reach or self._field is Field.TEXT:
            return False
        return self._field is Field.NONE or key.is_letter

    def _apply(self) -> None:
        on = set()
        for key, shortcut in self._shortcuts:
            works = self._works(key)
            shortcut.setEnabled(works)
            if works:
                on |= {code_of(sequence) for sequence in key.keys}
        self._watch.claim(on, from_field=self._field is Field.NUMBER)


def _call(
    handlers: Mapping[str, Callable[[], object]], action: str, take: Callable[[], None]
) -> None:
    take()
    handlers[action]()
