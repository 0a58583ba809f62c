"""One line under all pages: since when what one sees is kept, and where it was saved."""

from datetime import datetime
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QLabel, QSizePolicy

from napari_uninuc.gui.desk import Desk
from napari_uninuc.gui.workbench import Workbench
from napari_uninuc.session import AnnotationSession

__all__ = ["StateLine"]

_PAUSE_MS = 300


class StateLine(QLabel):
    """Follows the desk that is worked at.

    Parameters
    ----------
    workbench : tells of files that were written, and whether changes are kept on disk
    """

    def __init__(self, workbench: Workbench) -> None:
        super().__init__()
        self._workbench = workbench
        self._desk: Desk | None = None
        self._saved: WeakKeyDictionary[AnnotationSession, tuple[Path, datetime]]
        self._changed: WeakKeyDictionary[AnnotationSession, datetime]
        self._saved, self._changed = WeakKeyDictionary(), WeakKeyDictionary()
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setContentsMargins(8, 0, 8, 2)
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(_PAUSE_MS)
        self._pause.timeout.connect(self._show)
        workbench.saved.connect(self._on_saved)

    def follow(self, desk: Desk | None) -> None:
        """Tell of another desk, or of none."""
        if self._desk is not None:
            self._desk.session.labels.changed.disconnect(self._on_edit, missing_ok=True)
        self._desk = desk
        if desk is not None:
            desk.session.labels.changed.connect(self._on_edit)
        self._show()

    def _on_edit(self, _edit: Any) -> None:
        if self._desk is not None:
            self._changed[self._desk.session] = datetime.now()
        if not self._pause.isActive():
            self._pause.start()

    def _on_saved(self, path: Path, session: AnnotationSession, at: datetime) -> None:
        """Note it of the session it is of, which need not be the one that is seen by now."""
        self._saved[session] = path, at
        self._show()

    def _show(self) -> None:
        words = "" if self._desk is None else self._words(self._desk.session)
        self.setText(words)
        self.setToolTip(words)

    def _words(self, session: AnnotationSession) -> str:
        changed, saved = self._changed.get(session), self._saved.get(session)
        kept = "Changes are not kept on disk."
        if self._workbench.sessions.keeps(session):
            kept = "Kept on disk." if changed is None else f"Kept on disk {changed:%H:%M:%S}."
        if saved is None:
            return kept
        since = ", changed since" if changed is not None and changed > saved[1] else ""
        return f"{kept} Saved {saved[0].name} {saved[1]:%H:%M}{since}."
