"""The worker's thread from inside: what waits, and how it is served. Holds no Qt object."""

import inspect
import threading
from collections import deque
from collections.abc import Callable, Container
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

__all__ = ["STARTED", "Prompt", "Reports", "Task", "TaskState", "WorkQueue", "serve"]

STARTED = object()
"""Reported with RUNNING when a task begins, before anything it yields."""

_STOPPED = object()


class TaskState(StrEnum):
    """Where a task stands, as the window's thread has been told so far."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(slots=True, eq=False)
class Task:
    """One piece of work in the queue; made by `jobs.Worker.submit`.

    Attributes
    ----------
    name : what to call it in the window
    state : changes only in the window's thread, just before the callback that tells of it
    """

    name: str
    work: Callable[[], Any]
    on_yield: Callable[[Any], None] | None
    on_done: Callable[[Any], None] | None
    on_error: Callable[[Exception], None] | None
    on_cancel: Callable[[], None] | None
    holds_live: bool
    state: TaskState = TaskState.WAITING
    _cancelled: threading.Event = field(default_factory=threading.Event)

    def cancel(self) -> None:
        """Stop before the next step; results already there are kept. Returns at once."""
        self._cancelled.set()

    @property
    def cancelling(self) -> bool:
        """Cancellation was asked for; the step under way may still be running."""
        return self._cancelled.is_set()


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """A live prompt: its number, and what answers it."""

    generation: int
    work: Callable[[], Any]


class WorkQueue:
    """What waits: at most one live prompt, prompts kept, urgent and other tasks."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._prompt: Prompt | None = None
        self._kept: deque[Prompt] = deque()
        self._tasks: deque[Task] = deque()
        self._urgent: deque[Task] = deque()
        self.closed = False

    def put_prompt(self, prompt: Prompt) -> None:
        """Replace the live prompt."""
        with self._changed:
            self._prompt = prompt
            self._changed.notify()

    def drop_prompt(self, generations: Container[int]) -> None:
        """Take the live prompt away, if it has one of these numbers."""
        with self._changed:
            if self._prompt is not None and self._prompt.generation in generations:
                self._prompt = None

    def keep_prompt(self, generation: int) -> None:
        """Put the live prompt out of reach of later ones, if it has this number."""
        with self._changed:
            if self._prompt is not None and self._prompt.generation == generation:
                self._kept.append(self._prompt)
                self._prompt = None

    def forget_prompts(self) -> None:
        """Take away all prompts."""
        with self._changed:
            self._prompt = None
            self._kept.clear()

    def put_task(self, task: Task, *, urgent: bool = False) -> None:
        """Add a task behind all others, or behind the urgent ones."""
        with self._changed:
            (self._urgent if urgent else self._tasks).append(task)
            self._changed.notify()

    def close(self) -> None:
        """Take everything away and let the thread end."""
        with self._changed:
            self.closed = True
            self._prompt = None
            self._kept.clear()
            self._tasks.clear()
            self._urgent.clear()
            self._changed.notify()

    def next(self) -> Prompt | Task | None:
        """Wait for something to do; None when closed."""
        with self._changed:
            while not self.closed:
                first = self._take_first()
                if first is not None:
                    return first
                if self._tasks:
                    return self._tasks.popleft()
                self._changed.wait()
            return None

    def first_now(self) -> Prompt | Task | None:
        """Take a prompt or an urgent task if one waits and none of the waiting tasks holds it."""
        with self._changed:
            return self._take_first()

    def _take_first(self) -> Prompt | Task | None:
        if any(task.holds_live for task in self._tasks):
            return None
        if self._kept:
            return self._kept.popleft()
        if self._prompt is not None:
            prompt, self._prompt = self._prompt, None
            return prompt
        return self._urgent.popleft() if self._urgent else None


class Reports(Protocol):
    """Where the thread tells what came of its work."""

    def answered(self, generation: int, answer: Any) -> None:
        """A live prompt has its answer."""

    def unanswered(self, generation: int, problem: Exception) -> None:
        """A live prompt ended in an exception."""

    def advanced(self, task: Task, state: TaskState, payload: Any) -> None:
        """A task started or yielded (RUNNING), or ended."""


def serve(queue: WorkQueue, reports: Reports) -> None:
    """Work until the queue is closed."""
    while (work := queue.next()) is not None:
        _serve_one(work, queue, reports)
        del work  # what it refers to must not live on while the thread waits


def _serve_one(work: Prompt | Task, queue: WorkQueue, reports: Reports) -> None:
    if isinstance(work, Prompt):
        _serve_prompt(work, reports)
    else:
        _serve_task(work, queue, reports)


def _serve_prompt(prompt: Prompt, reports: Reports) -> None:
    try:
        answer = prompt.work()
    except Exception as problem:  # whatever a model raises is shown, and the thread goes on
        reports.unanswered(prompt.generation, problem)
    else:
        reports.answered(prompt.generation, answer)


def _serve_task(task: Task, queue: WorkQueue, reports: Reports) -> None:
    if task.cancelling:
        reports.advanced(task, TaskState.CANCELLED, None)
        return
    reports.advanced(task, TaskState.RUNNING, STARTED)
    try:
        result = task.work()
        if inspect.isgenerator(result):
            result = _step_through(result, task, queue, reports)
    except Exception as problem:  # as above
        reports.advanced(task, TaskState.FAILED, problem)
        return
    ended = TaskState.CANCELLED if result is _STOPPED else TaskState.DONE
    reports.advanced(task, ended, None if result is _STOPPED else result)


def _step_through(steps: Any, task: Task, queue: WorkQueue, reports: Reports) -> Any:
    """Run a generator to its end; returns its return value, or _STOPPED when cancelled."""
    while True:
        if task.cancelling:
            steps.close()
            return _STOPPED
        try:
            result = next(steps)
        except StopIteration as end:
            return end.value
        reports.advanced(task, TaskState.RUNNING, result)
        del result
        if not task.holds_live:
            while (first := queue.first_now()) is not None:
                _serve_one(first, queue, reports)
                del first
