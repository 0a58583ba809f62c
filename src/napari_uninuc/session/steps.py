"""Undo as a person means it: one automatic run, or one drag of a slider, is one step."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from psygnal import Signal

from napari_uninuc.core.edits import Edit
from napari_uninuc.core.history import EditHistory
from napari_uninuc.core.labels import LabelMap
from napari_uninuc.core.ready import ReadyEdit

__all__ = ["Filter", "Steps"]


@dataclass(frozen=True, slots=True)
class Filter:
    """Which automatic nuclei are shown: score in [0, 1] and area in px of the tile, at least."""

    threshold: float = 0.5
    min_area_px: int = 0


@dataclass(frozen=True, slots=True)
class _Note:
    """What belongs to an entry of the history: its automatic run, or filter before and after."""

    run: int | None = None
    filters: tuple[Filter, Filter] | None = None


class Steps:
    """The history of a label map in steps, and the filter, which steps can change.

    Notes run parallel to the history's entries, aligned at the newest: where the history has
    dropped its oldest entries, the oldest notes are never looked at again.

    Attributes
    ----------
    move : what the edit being applied is: something new, or a step taken back or made again
    """

    changed = Signal()
    filter_changed = Signal(Filter)

    def __init__(self, labels: LabelMap) -> None:
        self.history = EditHistory(labels)
        self.filter = Filter()
        self._done: list[_Note] = []
        self._undone: list[_Note] = []
        self._run = 0
        self.move: Literal["do", "undo", "redo"] = "do"

    def do(self, edit: Edit) -> None:
        """Make an edit, one step."""
        self.history.do(edit)
        self._noted(_Note())

    def do_ready(self, ready: ReadyEdit) -> bool:
        """Make an edit that was made on a snapshot, one step; False where it is out of date."""
        if not self.history.do_ready(ready):
            return False
        self._noted(_Note())
        return True

    def begin_run(self) -> None:
        """Start an automatic run; what `do_run` adds until the next one is one step."""
        self._run += 1

    def do_run(self, edits: Iterable[Edit | None]) -> bool:
        """Make the edits of one part of an automatic run; False where nothing changed."""
        if self.history.do_all(edits, "outline all nuclei") is None:
            return False
        self._noted(_Note(run=self._run))
        return True

    def do_filter(self, wanted: Filter, edit: Edit | None) -> None:
        """Change the filter, with what it shows and hides; joins the change just before."""
        before, self.filter = self.filter, wanted
        last = self._done[-1].filters if self._done else None
        if edit is not None:
            self.history.do(edit, amend=last is not None)
            self._undone.clear()
            if last is not None:
                self._done.pop()
            # A slider moved back to where it began leaves nothing to undo.
            if last is None or self.history.undo_name == edit.verb:
                self._done.append(_Note(filters=(before if last is None else last[0], wanted)))
            self.changed.emit()
        elif last is not None:
            self._done[-1] = _Note(filters=(last[0], wanted))
        self.filter_changed.emit(wanted)

    def undo(self) -> bool:
        """Take the last step back; False where there is none."""
        self.move = "undo"
        try:
            return self._walk(self.history.undo, self._done, self._undone, 0)
        finally:
            self.move = "do"

    def redo(self) -> bool:
        """Do the step taken back last again; False where there is none."""
        self.move = "redo"
        try:
            return self._walk(self.history.redo, self._undone, self._done, 1)
        finally:
            self.move = "do"

    def _noted(self, note: _Note) -> None:
        self._done.append(note)
        self._undone.clear()
        self.changed.emit()

    def _walk(
        self,
        move: Callable[[], Edit | None],
        source: list[_Note],
        target: list[_Note],
        side: int,
    ) -> bool:
        moved = False
        while move() is not None:
            moved = True
            note = source.pop() if source else _Note()
            target.append(note)
            if note.filters is not None:
                self.filter = note.filters[side]
                self.filter_changed.emit(self.filter)
            if note.run is None or not source or source[-1].run != note.run:
                break
        self.changed.emit()
        return moved
