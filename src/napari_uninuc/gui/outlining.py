"""The automatic run: every nucleus of a picture, part by part, while the window goes on."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from psygnal import Signal

from napari_uninuc.engine.protocol import Annotator, FoundNucleus
from napari_uninuc.gui.idle import IdleQueue
from napari_uninuc.gui.jobs import Task, Worker
from napari_uninuc.gui.keeping import Keeping, actor_of
from napari_uninuc.session import AnnotationSession
from napari_uninuc.session.keeping import Actor

__all__ = ["Outlining", "RunState"]

_ADDED_AT_ONCE = 64
"""Nuclei put into the label map between two events of the window: a few milliseconds."""


@dataclass(frozen=True, slots=True)
class RunState:
    """How far an automatic run is: parts of the picture done, of all, and nuclei found."""

    done: int
    total: int
    found: int


class Outlining:
    """At most one automatic run; what it finds goes into its session bit by bit.

    Parameters
    ----------
    worker : where the model runs
    annotator : gives the model, called in the worker's thread
    keeping : is told what the model did
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
        keeping: Keeping,
        *,
        on_problem: Callable[[Exception], None],
    ) -> None:
        self._worker, self._annotator = worker, annotator
        self._keeping, self._on_problem = keeping, on_problem
        self._running: Task | None = None
        self._idle = IdleQueue()
        self.state: RunState | None = None

    def start(self, session: AnnotationSession) -> None:
        """Outline the picture of a session, unless a run is under way."""
        if self._running is not None:
            return
        tile = session.tile

        def find() -> Iterator[tuple[Actor, int, int, list[FoundNucleus]]]:
            annotator = self._annotator()
            floor = lowest_score(annotator)
            actor = actor_of(annotator, floor)
            fields = annotator.fields(tile)
            for k, field in enumerate(fields):
                yield actor, k + 1, len(fields), annotator.segment_field(tile, field, floor)

        session.hand.keep()
        self._running = self._worker.submit(
            "Outlining nuclei",
            find,
            on_yield=lambda part: self._found(session, *part),
            on_done=lambda _: self._idle.add(self._end),
            on_error=self._failed,
            on_cancel=lambda: self._idle.add(self._end),
        )
        self._show(RunState(0, 1, 0))

    def cancel(self) -> None:
        """End the run after the part under way; what has arrived stays."""
        if self._running is not None:
            self._running.cancel()

    def flush(self) -> None:
        """Put all that has arrived into its session now."""
        self._idle.flush()

    def close(self) -> None:
        """Forget what is still to be put in; the worker is closed by its owner."""
        self._idle.clear()

    def _found(
        self,
        session: AnnotationSession,
        actor: Actor,
        done: int,
        total: int,
        found: list[FoundNucleus],
    ) -> None:
        """Put nuclei into the label map in portions, so that the window goes on.

        What an earlier run left goes only now: had the model failed, it would still be there.
        """
        if done == 1:
            self._keeping.begin_run(session, actor)
            self._idle.add(partial(self._by, session, actor, session.begin_automatic))
        for start in range(0, len(found), _ADDED_AT_ONCE):
            part = found[start : start + _ADDED_AT_ONCE]
            masks, boxes = [mask for mask, _ in part], [box for _, box in part]
            add = partial(session.add_automatic, masks, boxes)
            self._idle.add(partial(self._by, session, actor, add))
        self._idle.add(lambda: self._show(RunState(done, total, len(session.labels))))

    def _by(self, session: AnnotationSession, actor: Actor, change: Callable[[], object]) -> None:
        """Make a change that is the model's."""
        with self._keeping.by(session, actor):
            change()

    def _failed(self, problem: Exception) -> None:
        self._idle.add(self._end)
        self._on_problem(problem)

    def _end(self) -> None:
        self._running = None
        self._show(None)

    def _show(self, state: RunState | None) -> None:
        if state is None or self._running is not None:
            self.state = state
            self.changed.emit()


def lowest_score(annotator: Annotator) -> float:
    """Score down to which nuclei are found at all, so that the slider has something to show."""
    return max(0.1, annotator.card.score_threshold / 2)
