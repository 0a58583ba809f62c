"""What is kept on disk of the pictures worked at, and what earlier work there is to go on with."""

import atexit
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from psygnal import Signal

from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.protocol import Annotator
from napari_uninuc.errors import SessionError
from napari_uninuc.gui.window.preferences import preferences
from napari_uninuc.gui.work.jobs import Worker
from napari_uninuc.journal.listing import FoundSession, find_sessions
from napari_uninuc.session import AnnotationSession
from napari_uninuc.session.autosave import Actor, Autosave, Restored
from napari_uninuc.session.resumed import restore_all
from napari_uninuc.session.settling import Settling

__all__ = ["SavedSessions", "actor_of"]

_open: "weakref.WeakSet[SavedSessions]" = weakref.WeakSet()


class SavedSessions:
    """The autosave of every session that is open, and the earlier sessions of its picture.

    Parameters
    ----------
    worker : looks for earlier sessions and brings them back
    on_problem : told in the window's thread when something cannot be saved or brought back

    Attributes
    ----------
    changed : earlier sessions were found or dismissed; see `earlier`
    """

    changed = Signal()

    def __init__(self, worker: Worker, *, on_problem: Callable[[Exception], None]) -> None:
        self._worker, self._on_problem = worker, on_problem
        self._autosaves: dict[AnnotationSession, Autosave] = {}
        self._earlier: dict[AnnotationSession, list[FoundSession]] = {}
        self._answering: Actor | None = None
        _open.add(self)

    def begin(self, session: AnnotationSession, folder: Path | None = None) -> None:
        """Keep a session from now on, and look for earlier ones of its picture.

        Parameters
        ----------
        folder : of the session it was brought back from; then none is looked for
        """
        self._earlier[session] = []
        if folder is None:
            self._worker.submit(
                f"Looking for earlier work on {session.tile.name}",
                lambda: find_sessions(session.tile.digest, place=session.tile.place),
                on_done=lambda found: self._found(session, found),
                on_error=self._on_problem,
            )
        if preferences().keep:
            try:
                self._autosaves[session] = Autosave(session, folder, on_problem=self._tell)
            except SessionError as problem:
                self._on_problem(problem)
        self._note_answering()

    def end(self, session: AnnotationSession) -> None:
        """Write what waits and let go of a session."""
        self._earlier.pop(session, None)
        autosave = self._autosaves.pop(session, None)
        if autosave is not None:
            autosave.close()

    def close(self) -> None:
        """Let go of all sessions."""
        for session in list(self._earlier):
            self.end(session)

    def rename(self, session: AnnotationSession, name: str) -> None:
        """Call a session's picture something else."""
        autosave = self._autosaves.get(session)
        if autosave is None:
            session.tile = replace(session.tile, name=name)
        else:
            autosave.rename(name)

    def folder_of(self, session: AnnotationSession) -> Path | None:
        """Where a session is kept; None where it is not, or nothing has changed yet."""
        autosave = self._autosaves.get(session)
        return None if autosave is None else autosave.folder

    def keeps(self, session: AnnotationSession) -> bool:
        """Whether changes of a session are written to disk as they are made."""
        autosave = self._autosaves.get(session)
        return autosave is not None and autosave.works

    def earlier(self, session: AnnotationSession) -> list[FoundSession]:
        """Earlier sessions of the same picture, the newest first."""
        return self._earlier.get(session, [])

    def dismiss(self, session: AnnotationSession) -> None:
        """Offer the earlier sessions no more; they stay on disk."""
        self._earlier[session] = []
        self.changed.emit()

    def bring_back(
        self, found: FoundSession, tile: Tile, on_done: Callable[[Restored], None]
    ) -> None:
        """Read an earlier session in the worker."""
        self._worker.submit(
            "Bringing back earlier work",
            lambda: restore_all(found.path, tile),
            on_done=on_done,
            on_error=self._on_problem,
        )

    def begin_run(self, session: AnnotationSession, actor: Actor) -> None:
        """Note in a session's record that a model begins to outline the picture."""
        if session in self._autosaves:
            self._autosaves[session].begin_run(actor)

    def begin_comparison(self, settling: Settling, by: str) -> None:
        """Note in a session's record that a person settles what two readers disagree about."""
        autosave = self._autosaves.get(settling.session)
        if autosave is not None:
            autosave.begin_comparison(settling.begun(by), settling.states())

    def answered_by(self, annotator: Annotator) -> None:
        """Say which model answers clicks from now on, in every session."""
        self._answering = actor_of(annotator)
        self._note_answering()

    def _note_answering(self) -> None:
        if self._answering is not None:
            for autosave in self._autosaves.values():
                autosave.answered_by(self._answering)

    @contextmanager
    def by(self, session: AnnotationSession, actor: Actor) -> Iterator[None]:
        """Note in a session's record that the model does what happens inside."""
        autosave = self._autosaves.get(session)
        if autosave is None:
            yield
        else:
            with autosave.by(actor):
                yield

    def _found(self, session: AnnotationSession, found: list[FoundSession]) -> None:
        own = self.folder_of(session)
        if session in self._earlier:  # the picture may have been closed meanwhile
            self._earlier[session] = [each for each in found if each.path != own]
            self.changed.emit()

    def _tell(self, problem: Exception) -> None:
        self._worker.call_in_window(lambda: self._on_problem(problem))


@atexit.register
def _close_all() -> None:
    """Close all sessions in good order, for closing napari's last window ends Python."""
    for sessions in list(_open):
        sessions.close()


def actor_of(annotator: Annotator, lowest_score: float | None = None) -> Actor:
    """Name a model, its learnt state, and what it is run with, for the record."""
    card = annotator.card
    settings: dict[str, str | bool | int | float] = {}
    if lowest_score is not None:
        settings["score_at_least"] = lowest_score
    if card.learnt:
        settings |= {"learnt": card.learnt, "learnt_sha256": card.learnt_sha256}
    return Actor(card.id, card.sha256, settings)
