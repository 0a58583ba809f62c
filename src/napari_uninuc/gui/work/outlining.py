"""The automatic run: every nucleus of a picture, part by part, while the window goes on."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from psygnal import Signal

from napari_uninuc.engine.protocol import Annotator, FoundNucleus
from napari_uninuc.gui.window.idle import IdleQueue
from napari_uninuc.gui.work.jobs import Task, Worker
from napari_uninuc.gui.work.saved_sessions import SavedSessions, actor_of
from napari_uninuc.session import AnnotationSession
from napari_uninuc.session.autosave import Actor

__all__ = ["Outlining", "RunState"]

_ADDED_AT_ONCE = 64
"""Nuclei put into the label map between two events of the window: a few milliseconds."""


@dataclass(frozen=True, slots=True)
class RunState:
    """How far an automatic run is: parts of the picture done, of all, and nuclei found.

    Attributes
    ----------
    session : of the picture, which need not be the one that is seen
    """

    done: int
    total: int
    found: int
    session: AnnotationSession


_Part = tuple[Actor, int, int, list[FoundNucleus]]
"""Who found, parts done, parts of all, nuclei of the last part."""


class Outlining:
    """At most one automatic run; what it finds goes into its session bit by bit.

    Parameters
    ----------
    worker : where the model runs
    annotator : gives the model, called in the worker's thread
    sessions : are told what the model did
    on_problem : told what the model raised; what has arrived stays

    Attributes
    ----------
    changed : a run began, went on or ended
    state : how far it is; None where there is none
    """

    changed = Signal()

    def __init__(
        self,
        worker: Worker,
        annotator: Callable[[], Annotator],
        sessions: SavedSessions,
        *,
        on_problem: Callable[[Exception], None],
    ) -> None:
        self._worker, self._annotator = worker, annotator
        self._sessions, self._on_problem = sessions, on_problem
        self._running: Task | None = None
        self._run = 0
        self._idle = IdleQueue()
        self.state: RunState | None = None

    def start(self, session: AnnotationSession) -> None:
        """Outline the picture of a session, unless a run is under way."""
        if self._running is not None:
            return
        tile = session.tile

        def find() -> Iterator[_Part | None]:
            annotator = self._annotator()
            floor = lowest_score(annotator)
            actor = actor_of(annotator, floor)
            fields = annotator.fields(tile)
            for k, field in enumerate(fields):
                found = yield from annotator.segment_steps(tile, field, floor)
                yield actor, k + 1, len(fields), found

        session.hand.keep()
        self._run += 1
        run = self._run
        self._running = self._worker.submit(
            "Outlining nuclei",
            find,
            on_yield=lambda part: self._found(run, session, part),
            on_done=lambda _: self._idle.add(partial(self._end, run)),
            on_error=lambda problem: self._failed(run, problem),
        )
        self._show(RunState(0, 1, 0, session))

    def cancel(self) -> None:
        """End the run; what is in the picture stays, nothing is added any more.

        The worker ends the step under way (encoding, detecting, or some outlines) by itself.
        """
        if self._running is not None:
            self._running.cancel()
            self._idle.clear()
            self._end(self._run)

    def end(self, session: AnnotationSession) -> None:
        """End the run of a picture that is gone; what has arrived is put in."""
        if self.state is not None and self.state.session is session:
            self.flush()
            self.cancel()

    def flush(self) -> None:
        """Put all that has arrived into its session now."""
        self._idle.flush()

    def close(self) -> None:
        """Forget what is still to be put in; the worker is closed by its owner."""
        self._idle.clear()

    def _found(self, run: int, session: AnnotationSession, part: "_Part | None") -> None:
        """Put nuclei into the label map in portions, so that the window goes on.

        What an earlier run left goes only now: had the model failed, it would still be there.
        """
        if part is None or self._running is None or run != self._run:
            return  # a step on the way, or of a run that was cancelled
        actor, done, total, found = part
        if done == 1:
            self._sessions.begin_run(session, actor)
            self._idle.add(partial(self._by, session, actor, session.begin_automatic))
        for start in range(0, len(found), _ADDED_AT_ONCE):
            some = found[start : start + _ADDED_AT_ONCE]
            masks, boxes = [mask for mask, _ in some], [box for _, box in some]
            add = partial(session.add_automatic, masks, boxes)
            self._idle.add(partial(self._by, session, actor, add))
        self._idle.add(lambda: self._show(RunState(done, total, len(session.labels), session)))

    def _by(self, session: AnnotationSession, actor: Actor, change: Callable[[], object]) -> None:
        """Make a change that is the model's."""
        with self._sessions.by(session, actor):
            change()

    def _failed(self, run: int, problem: Exception) -> None:
        self._idle.add(partial(self._end, run))
        self._on_problem(problem)

    def _end(self, run: int) -> None:
        if run == self._run and self._running is not None:
            self._running = None
            self._show(None)

    def _show(self, state: RunState | None) -> None:
        if state is None or self._running is not None:
            self.state = state
            self.changed.emit()


def lowest_score(annotator: Annotator) -> float:
    """Score down to which nuclei are found at all, so that the slider has something to show."""
    return max(0.1, annotator.card.score_threshold / 2)
