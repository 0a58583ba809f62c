"""From a draft that is not answered yet to the model, and back with its answer."""

from collections.abc import Callable

from qtpy.QtCore import QTimer

from napari_uninuc.engine.protocol import Annotator
from napari_uninuc.gui.work.jobs import Worker
from napari_uninuc.session import AnnotationSession, Draft

__all__ = ["Asker"]


class Asker:
    """Asks the model whenever the nucleus in hand has a prompt that nobody has answered.

    The newest prompt of the nucleus in hand replaces one that waits. A nucleus that was made
    final while its answer was still awaited is not forgotten: its prompt stays in the queue, and
    the answer is taken while another picture is worked at.

    Parameters
    ----------
    worker : where the model runs
    session : whose drafts are watched
    annotator : gives the model, called in the worker's thread; may be None there until a task
        that holds live prompts has loaded it, see `Worker.submit`
    on_problem : told in the window's thread what the model raised
    """

    def __init__(
        self,
        worker: Worker,
        session: AnnotationSession,
        annotator: Callable[[], Annotator],
        *,
        on_problem: Callable[[Exception], None],
    ):
        self._worker = worker
        self._session = session
        self._annotator = annotator
        self._on_problem = on_problem
        self._asked: set[int] = set()
        session.hand.changed.connect(self._on_draft)
        worker.answered.connect(self._on_answer)
        worker.unanswered.connect(self._on_failure)

    def close(self) -> None:
        """Stop watching; answers still to come are dropped."""
        self._session.hand.changed.disconnect(self._on_draft, missing_ok=True)
        self._forget()
        self._worker.answered.disconnect(self._on_answer)
        self._worker.unanswered.disconnect(self._on_failure)

    def _on_draft(self, draft: Draft | None) -> None:
        self._keep_prompts()
        if draft is None:
            # Whether it was dropped, or made final and is still to be answered, shows later.
            QTimer.singleShot(0, self._on_hand_empty)
        elif not draft.answered:
            tile, prompt, annotator = self._session.tile, draft.prompt, self._annotator
            self._asked.add(draft.generation)
            self._worker.ask(draft.generation, lambda: annotator().answer(tile, prompt))

    def _on_hand_empty(self) -> None:
        self._keep_prompts()
        if self._session.hand.draft is None:
            self._forget()

    def _forget(self) -> None:
        """Drop the prompt that waits, if it is one of ours."""
        self._worker.forget_prompt(self._asked)

    def _keep_prompts(self) -> None:
        for generation in self._session.hand.waiting:
            self._worker.keep_prompt(generation)

    def _on_answer(self, generation: int, answer: object) -> None:
        if generation in self._asked:
            self._asked.discard(generation)
            self._session.hand.show(generation, answer)  # type: ignore[arg-type]  # our lambda's

    def _on_failure(self, generation: int, problem: Exception) -> None:
        if generation in self._asked:
            self._asked.discard(generation)
            self._session.hand.fail(generation)
            self._on_problem(problem)
