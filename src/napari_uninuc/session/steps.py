"""Undo as a person means it: one automatic run, or one drag of a slider, is one step."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal, Self

from psygnal import Signal

from napari_uninuc.core.classes import ClassPalette
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
    """What belongs to an entry of the history besides its edit.

    Attributes
    ----------
    run : automatic run it is a part of; its entries stand together
    filters, classes : before and after, where the entry changed them
    """

    run: object | None = None
    filters: tuple[Filter, Filter] | None = None
    classes: tuple[ClassPalette, ClassPalette] | None = None

    def turned(self, run: object | None) -> Self:
        """The same, done backwards."""
        filters = None if self.filters is None else (self.filters[1], self.filters[0])
        classes = None if self.classes is None else (self.classes[1], self.classes[0])
        return replace(self, run=run, filters=filters, classes=classes)


class Steps:
    """The history of a label map in steps, and what else steps can change: filter and classes.

    Notes run parallel to the history's entries, aligned at the newest: where the history has
    dropped its oldest entries, the oldest notes are never looked at again.

    Parameters
    ----------
    labels : the map that is edited
    classes : what a nucleus can be

    Attributes
    ----------
    move : what the edit being applied is: something new, or a step taken back or made again
    """

    changed = Signal()
    filter_changed = Signal(Filter)
    classes_changed = Signal(ClassPalette)

    def __init__(self, labels: LabelMap, classes: ClassPalette) -> None:
        self.history = EditHistory(labels)
        self.filter = Filter()
        self._classes = classes
        self._done: list[_Note] = []
        self._undone: list[_Note] = []
        self._run: object = object()
        self.move: Literal["do", "undo", "redo"] = "do"

    @property
    def classes(self) -> ClassPalette:
        """What a nucleus can be."""
        return self._classes

    @classes.setter
    def classes(self, palette: ClassPalette) -> None:
        """Take other classes, which no step does; a step that changed them may undo that too."""
        self._classes = palette
        self.classes_changed.emit(palette)

    def do(self, edit: Edit) -> None:
        """Make an edit, one step."""
        self.history.do(edit)
        self._noted(_Note())

    def do_ready(self, ready: ReadyEdit, palette: ClassPalette) -> bool:
        """Make an edit that was made on a snapshot, one step; False where it is out of date.

        Parameters
        ----------
        palette : the classes from then on, a part of the step where they are others
        """
        before, self._classes = self._classes, palette
        made = False
        try:
            made = self.history.do_ready(ready)
        finally:
            if not made:
                self._classes = before
        if made:
            self._noted(_Note(classes=None if before == palette else (before, palette)))
            if before != palette:
                self.classes_changed.emit(palette)
        return made

    def do_classes(self, palette: ClassPalette, edit: Edit) -> None:
        """Change the classes, with what this changes of nuclei, one step."""
        before, self._classes = self._classes, palette
        try:
            self.history.do(edit)
        except BaseException:
            self._classes = before
            raise
        self._noted(_Note(classes=(before, palette)))
        self.classes_changed.emit(palette)

    def begin_run(self) -> None:
        """Start an automatic run; what `do_run` adds until the next one is one step."""
        self._run = object()

    def do_run(self, edits: Iterable[Edit | None]) -> bool:
        """Make the edits of one part of an automatic run; False where nothing changed.

        What a person did since the part before counts as done after this one, so that the run
        stays one step; unless that is what it builds on.
        """
        since = self._since_run() if not self._undone else 0
        if self.history.do_all(edits, "outline all nuclei") is None:
            return False
        self._turn_undone()
        passed = self.history.sink(since)
        self._done.insert(len(self._done) - passed, _Note(run=self._run))
        self.changed.emit()
        return True

    def _since_run(self) -> int:
        """Entries made since the last one of the run under way; 0 where it has none."""
        places = (n for n, note in enumerate(reversed(self._done)) if note.run is self._run)
        return next(places, 0)

    def do_filter(self, wanted: Filter, edit: Edit | None) -> None:
        """Change the filter, with what it shows and hides; joins the change just before."""
        before, self.filter = self.filter, wanted
        last = self._done[-1].filters if self._done and not self._undone else None
        if edit is not None:
            self.history.do(edit, amend=last is not None)
            self._turn_undone()
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

    def retrace(self, move: Literal["undo", "redo"]) -> Edit | None:
        """Take one entry back or make it again, which may be a part of a step; see `retrace`."""
        if move == "undo":
            return self._move(self.history.undo, self._done, self._undone, 0)
        return self._move(self.history.redo, self._undone, self._done, 1)

    def _noted(self, note: _Note) -> None:
        self._turn_undone()
        self._done.append(note)
        self.changed.emit()

    def _turn_undone(self) -> None:
        """Follow the history, where what was taken back is now a part of what was done."""
        turned, self._undone = self._undone, []
        self._done.extend(reversed(turned))
        runs = {note.run: object() for note in turned if note.run is not None}
        for note in turned:
            self._done.append(note.turned(runs.get(note.run)))

    def _walk(
        self,
        move: Callable[[], Edit | None],
        source: list[_Note],
        target: list[_Note],
        side: int,
    ) -> bool:
        moved = False
        while self._move(move, source, target, side) is not None:
            moved = True
            run = target[-1].run
            if run is None or not source or source[-1].run is not run:
                break
        self.changed.emit()
        return moved

    def _move(
        self,
        move: Callable[[], Edit | None],
        source: list[_Note],
        target: list[_Note],
        side: int,
    ) -> Edit | None:
        """Move one entry with its note; whoever hears of the edit sees the classes changed too."""
        note, classes = source[-1] if source else _Note(), self._classes
        if note.classes is not None:
            self._classes = note.classes[side]
        made = None
        try:
            made = move()
        finally:
            if made is None:
                self._classes = classes
        if made is None:
            return None
        target.append(source.pop() if source else note)
        if note.filters is not None:
            self.filter = note.filters[side]
            self.filter_changed.emit(self.filter)
        if note.classes is not None:
            self.classes_changed.emit(self._classes)
        return made
