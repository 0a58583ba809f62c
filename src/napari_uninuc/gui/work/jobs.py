"""One long-lived thread that does all computing, so that the window never waits.

Two kinds of work share it. A *live prompt* is the newest question about the nucleus in hand:
one that still waits is replaced by the next. A *task* (load a model, encode, outline
everything, export) waits its turn. A task given as a generator is asked for its results one by
one; between two of them live prompts and urgent tasks are served and a cancellation is obeyed.
"""

import atexit
import contextlib
import threading
import weakref
from collections.abc import Callable, Container
from functools import partial
from typing import Any

from qtpy.QtCore import QObject, Qt, Signal

from napari_uninuc.gui.work.work_queue import STARTED, Prompt, Task, TaskState, WorkQueue, serve

__all__ = ["Task", "TaskState", "Worker"]

_LONGEST_STEP_S = 60.0
"""At exit of Python: how long to wait for the step under way. Torch must not be cut off."""

_open_workers: "weakref.WeakSet[Worker]" = weakref.WeakSet()


class Worker(QObject):
    """The thread, its queue, and the way back to the thread the worker was made in.

    All methods but one are for the window's thread, and none of them waits. All signals and
    callbacks arrive there. An exception in the work arrives as such; the thread goes on.

    Attributes
    ----------
    answered : (generation, answer) of a live prompt. The receiver drops what is stale
    unanswered : (generation, exception) of a live prompt
    changed : a task was queued, started or ended; see `tasks`
    """

    answered = Signal(int, object)
    unanswered = Signal(int, object)
    changed = Signal()
    _delivered = Signal(object)

    def __init__(self, parent: QObject | None = None):
        super().__init__(parent)
        self._queue = WorkQueue()
        self._tasks: list[Task] = []
        self._delivered.connect(_open_letter, Qt.ConnectionType.QueuedConnection)
        self._post = _Post(self)
        # A daemon, so that a step that never ends cannot keep Python from ending; `_wait_for_all`
        # gives every other step the time it needs.
        self._thread = threading.Thread(
            target=serve, args=(self._queue, self._post), name="uninuc-worker", daemon=True
        )
        self._thread.start()
        self.destroyed.connect(partial(_abandon, self._queue, self._post))
        _open_workers.add(self)

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Tasks that run or wait, in order."""
        return tuple(self._tasks)

    @property
    def is_open(self) -> bool:
        """Whether `close` was not called yet."""
        return not self._queue.closed

    def ask(self, generation: int, work: Callable[[], Any]) -> None:
        """Answer a live prompt as soon as possible; one that still waits is forgotten.

        Parameters
        ----------
        generation : comes back with the answer
        work : runs in the thread; must touch neither Qt nor layers
        """
        self._queue.put_prompt(Prompt(generation, work))

    def keep_prompt(self, generation: int) -> None:
        """Let no later prompt replace this one: its answer is wanted although work went on.

        Nothing to do where it is not the one that waits: then it runs, or was answered.
        """
        self._queue.keep_prompt(generation)

    def forget_prompt(self, generations: Container[int]) -> None:
        """Drop the live prompt that waits, if it has one of these numbers.

        One that runs goes on and is answered.
        """
        self._queue.drop_prompt(generations)

    def submit(
        self,
        name: str,
        work: Callable[[], Any],
        *,
        on_yield: Callable[[Any], None] | None = None,
        on_done: Callable[[Any], None] | None = None,
        on_error: Callable[[Exception], None] | None = None,
        on_cancel: Callable[[], None] | None = None,
        holds_live: bool = False,
        urgent: bool = False,
    ) -> Task:
        """Queue a task, first in first out save the urgent ones.

        Parameters
        ----------
        name : what to call it in the window
        work : runs in the thread. A generator is run step by step: each yield reaches
            `on_yield`, its return value `on_done`; when it is cancelled its ``finally`` runs
        on_yield, on_done, on_error, on_cancel : called in the window's thread; exactly one of
            the last three, once, unless the worker was closed before
        holds_live : live prompts wait until this task has ended (it makes the model they need)
        urgent : a person waits for it: it is done before other tasks, and between the steps of
            one, but not before one that holds live prompts
        """
        task = Task(name, work, on_yield, on_done, on_error, on_cancel, holds_live)
        self._tasks.append(task)
        self._queue.put_task(task, urgent=urgent)
        self.changed.emit()
        return task

    def call_in_window(self, call: Callable[[], object]) -> None:
        """Make a call in the window's thread, soon; the one method for any thread."""
        self._post.call(call)

    def cancel_all(self) -> None:
        """Cancel every task that runs or waits, and forget all prompts."""
        self._queue.forget_prompts()
        for task in self._tasks:
            task.cancel()

    def close(self) -> None:
        """Drop all work and let the thread end after the step under way; returns at once.

        Nothing is delivered any more, so receivers may be destroyed. May be called twice.
        """
        self._post.stop()
        self.cancel_all()
        self._tasks.clear()
        self._queue.close()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread to end; for tests and for the end of Python. True if it has."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _advance(self, task: Task, state: TaskState, payload: Any) -> None:
        """Tell of a step of a task: a yield while it runs, or its end."""
        started = task.state is TaskState.WAITING
        task.state = state
        if state is not TaskState.RUNNING:
            self._tasks.remove(task)
        if started or state is not TaskState.RUNNING:
            self.changed.emit()
        if state is TaskState.CANCELLED:
            if task.on_cancel is not None:
                task.on_cancel()
            return
        callback = {
            TaskState.RUNNING: None if payload is STARTED else task.on_yield,
            TaskState.DONE: task.on_done,
            TaskState.FAILED: task.on_error,
        }[state]
        if callback is not None:
            callback(payload)


class _Post:
    """Carries reports from the thread to the worker, until it is stopped.

    The lock makes sure that no signal of a worker being closed is emitted: Qt may destroy the
    worker at any time after that.
    """

    def __init__(self, worker: Worker):
        self._lock = threading.Lock()
        self._worker: Worker | None = worker

    def answered(self, generation: int, answer: Any) -> None:
        self._send(lambda worker: worker.answered.emit(generation, answer))

    def unanswered(self, generation: int, problem: Exception) -> None:
        self._send(lambda worker: worker.unanswered.emit(generation, problem))

    def advanced(self, task: Task, state: TaskState, payload: Any) -> None:
        self._send(lambda worker: worker._advance(task, state, payload))

    def call(self, call: Callable[[], object]) -> None:
        self._send(lambda _worker: call())

    def stop(self) -> None:
        with self._lock:
            self._worker = None

    def deliver(self, letter: Callable[[Worker], object]) -> None:
        """Open a letter in the window's thread, unless the worker was closed meanwhile."""
        worker = self._worker
        if worker is not None:
            letter(worker)

    def _send(self, letter: Callable[[Worker], object]) -> None:
        with self._lock:
            if self._worker is not None:
                # Raised while Qt is taking the worker down, before it says so by `destroyed`.
                with contextlib.suppress(RuntimeError):
                    self._worker._delivered.emit(partial(self.deliver, letter))


def _open_letter(deliver: Callable[[], None]) -> None:
    deliver()


def _abandon(queue: WorkQueue, post: _Post) -> None:
    """Let the thread end although nobody called `close`: Qt destroyed the worker."""
    post.stop()
    queue.close()


@atexit.register
def _wait_for_all() -> None:
    """End all threads before Python takes their interpreter away."""
    for worker in list(_open_workers):
        worker.close()
        worker.join(_LONGEST_STEP_S)
