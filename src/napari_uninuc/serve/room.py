"""The one thread that computes, and the queue before it: fair between clients, bounded.

A client's prompt comes before any client's run; runs go step by step, and each client in its turn.
While a run waits, no more than a few prompts go before its next step.
"""

import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Generator
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Condition, Thread
from typing import Any, TypeVar

from napari_uninuc.serve.refusals import Refusal

__all__ = ["EngineRoom", "Run"]

_log = logging.getLogger(__name__)
Result = TypeVar("Result")

_PROMPTS_A_CLIENT = 32
_RUNS_A_CLIENT = 4
_ALL_WAITING = 512
_PROMPTS_BEFORE_A_STEP = 8


@dataclass(slots=True, eq=False)
class _Prompt:
    work: Callable[[], Any]
    future: "Future[Any]"
    replaceable: bool


@dataclass(slots=True, eq=False)
class Run:
    """A run step by step; its future holds what the generator returns.

    Attributes
    ----------
    future : cancel it to end the run before its next step
    """

    steps: Generator[Any, None, Any]
    on_step: Callable[[Any], object]
    future: "Future[Any]" = field(default_factory=Future)
    begun: bool = False


@dataclass(slots=True, eq=False)
class _Client:
    prompts: deque[_Prompt] = field(default_factory=deque)
    runs: deque[Run] = field(default_factory=deque)


class EngineRoom:
    """Does what clients ask, one thing at a time, in a thread of its own.

    Methods may be called from any thread. Futures end with what the work gave or raised.
    """

    def __init__(self) -> None:
        self._changed = Condition()
        self._clients: OrderedDict[str, _Client] = OrderedDict()
        self._open = True
        self._prompts_in_a_row = 0
        self._thread = Thread(target=self._serve, name="uninuc-engine", daemon=True)
        self._thread.start()

    def ask(
        self, client: str, work: Callable[[], Result], *, latest: bool = False
    ) -> "Future[Result]":
        """Queue something short.

        Parameters
        ----------
        client : whose turn it takes
        latest : it replaces what this client asked so before and nobody has begun

        Raises
        ------
        Refusal
            429 or 503: too much waits already.
        """
        prompt = _Prompt(work, Future(), latest)
        with self._changed:
            queue = self._queue_of(client).prompts
            for gone in [each for each in queue if each.future.cancelled()]:
                queue.remove(gone)
            if latest:
                for old in [each for each in queue if each.replaceable]:
                    queue.remove(old)
                    newer = Refusal(409, "a newer prompt took the place of this one", usual=True)
                    _fail(old.future, newer)
            if len(queue) >= _PROMPTS_A_CLIENT:
                raise Refusal(429, f"{_PROMPTS_A_CLIENT} prompts of yours wait already; wait")
            queue.append(prompt)
            self._changed.notify()
        return prompt.future

    def run(
        self,
        client: str,
        steps: Generator[Any, None, Any],
        on_step: Callable[[Any], object] = lambda step: None,
    ) -> Run:
        """Queue something long.

        Parameters
        ----------
        on_step : called in the room's thread with what each step yields

        Raises
        ------
        Refusal
            429 or 503: too much waits already.
        """
        run = Run(steps, on_step)
        with self._changed:
            queue = self._queue_of(client).runs
            for gone in [each for each in queue if each.future.cancelled() and not each.begun]:
                queue.remove(gone)
            if len(queue) >= _RUNS_A_CLIENT:
                raise Refusal(429, f"{_RUNS_A_CLIENT} runs of yours are under way already; wait")
            queue.append(run)
            self._changed.notify()
        return run

    def close(self, timeout_s: float = 60.0) -> bool:
        """Begin nothing more, and wait for the step under way; whether it ended."""
        with self._changed:
            self._open = False
            for client in self._clients.values():
                futures = [each.future for each in client.prompts]
                for future in (*futures, *(each.future for each in client.runs)):
                    _fail(future, Refusal(503, "the server is closing"))
            self._clients.clear()
            self._changed.notify()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def waiting(self) -> int:
        """Prompts and runs that are not done."""
        with self._changed:
            return sum(len(each.prompts) + len(each.runs) for each in self._clients.values())

    def _queue_of(self, client: str) -> _Client:
        if not self._open:
            raise Refusal(503, "the server is closing")
        count = sum(len(each.prompts) + len(each.runs) for each in self._clients.values())
        if count >= _ALL_WAITING:
            raise Refusal(503, "too much waits already; ask again in a second")
        return self._clients.setdefault(client, _Client())

    def _serve(self) -> None:
        while (work := self._next()) is not None:
            if isinstance(work, _Prompt):
                self._do_prompt(work)
            else:
                client, run = work
                if not self._do_step(run):
                    self._end(client, run)
            del work  # what it refers to must not live on while the thread waits

    def _next(self) -> "_Prompt | tuple[str, Run] | None":
        """Wait for something to do; the client it belongs to goes to the end of the row."""
        with self._changed:
            while self._open:
                run = next((name for name, each in self._clients.items() if each.runs), None)
                prompt = next((name for name, each in self._clients.items() if each.prompts), None)
                if run is not None and (
                    prompt is None or self._prompts_in_a_row >= _PROMPTS_BEFORE_A_STEP
                ):
                    self._prompts_in_a_row = 0
                    self._clients.move_to_end(run)
                    first = self._clients[run].runs[0]
                    first.begun = True
                    return run, first
                if prompt is not None:
                    self._prompts_in_a_row += 1
                    found = self._clients[prompt].prompts.popleft()
                    self._clients.move_to_end(prompt)
                    self._forget_idle(prompt)
                    return found
                self._changed.wait()
            return None

    def _forget_idle(self, client: str) -> None:
        queue = self._clients.get(client)
        if queue is not None and not queue.prompts and not queue.runs:
            del self._clients[client]

    def _do_prompt(self, prompt: _Prompt) -> None:
        if not prompt.future.set_running_or_notify_cancel():
            return
        try:
            result = prompt.work()
        except BaseException as problem:  # goes to who asked, and the thread goes on
            prompt.future.set_exception(problem)
        else:
            prompt.future.set_result(result)

    def _do_step(self, run: Run) -> bool:
        """Do one step; False where that was the end."""
        if run.future.cancelled():
            _close(run.steps)
            return False
        try:
            run.on_step(next(run.steps))
        except StopIteration as end:
            _settle(run.future, end.value)
            return False
        except BaseException as problem:  # as above
            _fail(run.future, problem)
            return False
        return True

    def _end(self, client: str, run: Run) -> None:
        with self._changed:
            queue = self._clients.get(client)
            if queue is not None and run in queue.runs:
                queue.runs.remove(run)
            self._forget_idle(client)


def _settle(future: "Future[Any]", value: Any) -> None:
    if not future.done() and future.set_running_or_notify_cancel():
        future.set_result(value)


def _fail(future: "Future[Any]", problem: BaseException) -> None:
    if not future.done() and future.set_running_or_notify_cancel():
        future.set_exception(problem)


def _close(steps: Generator[Any, None, Any]) -> None:
    try:
        steps.close()
    except Exception as problem:  # nobody waits for it any more
        _log.info("a cancelled run ended with %s", type(problem).__name__)
