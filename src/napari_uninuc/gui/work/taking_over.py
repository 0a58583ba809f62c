"""Taking over the nuclei of a layer: found in the worker, put in as one step of undo."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

from napari_uninuc.gui.layers.taking import Taken, TakenFrom
from napari_uninuc.gui.work.jobs import Task, Worker
from napari_uninuc.session import AnnotationSession
from napari_uninuc.session.adopting import Adoption

__all__ = ["TakingOver"]

_AT_ONCE_PX = 2**18
"""A picture of so many px is done where it is asked for: 15 ms, which needs no worker."""

_TRIES = 3
"""How often it is made ready anew for a session that was changed meanwhile; then it is done in
one piece, which keeps the window waiting but never fails to come.
"""


@dataclass(slots=True, eq=False)
class _Order:
    """Nuclei to be taken over.

    Attributes
    ----------
    name : of their layer
    take : reads them, once: they stay as they were then, whatever becomes of the layer
    tries : how often they were made ready
    """

    session: AnnotationSession
    name: str
    take: Callable[[], Taken]
    beside: bool
    on_done: Callable[[int], object]
    tries: int = 0

    def make_ready(self) -> Adoption:
        return self.session.make_adoption(self.take().nuclei, beside=self.beside)


class TakingOver:
    """Orders to take nuclei over, of any number of sessions, each done in full or refused.

    Parameters
    ----------
    worker : where nuclei are read and made ready
    on_problem : told why nuclei are not taken over; the session stays as it was
    """

    def __init__(self, worker: Worker, *, on_problem: Callable[[Exception], None]) -> None:
        self._worker, self._on_problem = worker, on_problem
        self._orders: dict[_Order, Task] = {}

    def start(
        self,
        session: AnnotationSession,
        source: TakenFrom,
        *,
        beside: bool,
        on_done: Callable[[int], object],
    ) -> None:
        """Take nuclei over: at once into a small picture, else as soon as the worker has them.

        Parameters
        ----------
        beside : the nuclei there are stay, see `AnnotationSession.adopt`
        on_done : told how many nuclei of the layer do not lie on the picture

        Raises
        ------
        LabelsError
            A small picture only: as `on_problem` is told else.
        """
        session.hand.keep()
        order = _Order(session, source.name, cache(source.read), beside, on_done)
        if source.shape[0] * source.shape[1] <= _AT_ONCE_PX:
            self._do_now(order)
        else:
            self._submit(order)

    def flush(self, session: AnnotationSession | None = None) -> None:
        """Do now what was ordered, for one session or for all."""
        for order in [each for each in self._orders if session in (None, each.session)]:
            self._orders.pop(order).cancel()
            try:
                self._do_now(order)
            except Exception as problem:  # told, like one of the worker
                self._on_problem(problem)

    def _submit(self, order: _Order) -> None:
        order.tries += 1
        self._orders[order] = self._worker.submit(
            f"Taking over {order.name}",
            order.make_ready,
            on_done=partial(self._ready, order),
            on_error=partial(self._failed, order),
            urgent=True,
        )

    def _ready(self, order: _Order, adoption: Adoption) -> None:
        """Put the nuclei in; where the session was changed meanwhile, begin with what it is now."""
        if order not in self._orders:
            return
        if order.session.adopt_ready(adoption):
            del self._orders[order]
            order.on_done(order.take().left_out)
        elif order.tries < _TRIES:
            self._submit(order)
        else:
            self.flush(order.session)

    def _do_now(self, order: _Order) -> None:
        order.session.adopt_ready(order.make_ready())
        order.on_done(order.take().left_out)

    def _failed(self, order: _Order, problem: Exception) -> None:
        if order in self._orders:
            del self._orders[order]
            self._on_problem(problem)
