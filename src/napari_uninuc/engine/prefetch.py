"""Fields beside the one shown are encoded while nothing else is asked for; a click ends it at once.

The detector looks at them too, for it has a say in first clicks.
Encoding a field takes half a second on a laptop. It is done by a thread of its own, on one core,
and looks before every layer whether somebody wants something: it ends within a layer's time. A GPU
works off what it was given in order, so it is given one layer at a time.
"""

import atexit
import logging
import weakref
from collections.abc import Callable, Sequence
from threading import Event, Thread, local
from typing import Any

import torch
from torch import nn

from napari_uninuc.core.geometry import Field
from napari_uninuc.engine.device import is_out_of_memory, wait_for

__all__ = ["Prefetcher", "interruptible", "neighbours_of"]

_log = logging.getLogger(__name__)
_QUIET_S = 0.5
"""Without a question for so long, a person is looking."""
_LONGEST_LAYER_S = 60.0
_of_thread = local()
_open: "weakref.WeakSet[Prefetcher]" = weakref.WeakSet()


class _InterruptedError(Exception):
    """Somebody wants something."""


def interruptible(part: nn.Module) -> None:
    """Let a `Prefetcher` end this part's work between two layers; others do not notice."""
    for module in part.modules():
        if not any(module.children()) and _look not in module._forward_pre_hooks.values():
            module.register_forward_pre_hook(_look)


def _look(module: nn.Module, inputs: Any) -> None:
    stop: Event | None = getattr(_of_thread, "stop", None)
    if stop is None:
        return
    for value in inputs:
        if isinstance(value, torch.Tensor):
            wait_for(value.device)
            break
    if stop.is_set():
        raise _InterruptedError


def neighbours_of(field: Field, fields: Sequence[Field]) -> list[Field]:
    """Fields whose inner part shares a border with a field's, the largest shared border first."""
    y0, x0, y1, x1 = field.inner_yxyx
    shared = []
    for other in fields:
        v0, u0, v1, u1 = other.inner_yxyx
        rows, columns = min(y1, v1) - max(y0, v0), min(x1, u1) - max(x0, u0)
        if other.index != field.index and min(rows, columns) == 0 < max(rows, columns):
            shared.append((-max(rows, columns), other.index, other))
    return [other for _, _, other in sorted(shared, key=lambda each: each[:2])]


class Prefetcher:
    """Does things one after the other when nobody asks for anything, and stops when told."""

    def __init__(self, quiet_s: float = _QUIET_S) -> None:
        self._quiet_s = quiet_s
        self._waiting: list[Callable[[], object]] = []
        self._stop = Event()
        self._thread: Thread | None = None
        _open.add(self)

    def plan(self, work: Sequence[Callable[[], object]]) -> None:
        """What to do from now on instead of what was planned; does not begin."""
        self.interrupt()
        self._waiting = list(work)

    def interrupt(self) -> None:
        """Stop before the next layer; what was begun is done again later. Does not wait."""
        self._stop.set()

    def go_on(self) -> None:
        """Begin, or go on, once it has been quiet for a while."""
        self.interrupt()
        if self._waiting:
            self._stop = Event()
            thread = Thread(
                target=self._run, args=(self._stop, self._thread), name="uninuc-ahead", daemon=True
            )
            self._thread = thread
            thread.start()

    def close(self) -> None:
        """Stop, and wait until the layer under way has ended."""
        self._waiting = []
        self.interrupt()
        if self._thread is not None:
            self._thread.join(_LONGEST_LAYER_S)

    def join(self) -> None:
        """Wait until all is done or stopped."""
        if self._thread is not None:
            self._thread.join()

    def _run(self, stop: Event, before: Thread | None) -> None:
        if before is not None:
            before.join()
        if stop.wait(self._quiet_s):
            return
        torch.set_num_threads(1)
        _of_thread.stop = stop
        waiting = self._waiting
        while waiting and not stop.is_set():
            try:
                waiting[0]()
            except _InterruptedError:
                return
            except Exception as problem:  # nobody asked for it: when somebody does, it is told
                _log.info("not encoded ahead: %s", problem)
                if is_out_of_memory(problem):
                    waiting.clear()  # what is asked for needs the room
                    return
            waiting.pop(0)


@atexit.register
def _close_all() -> None:
    """Torch must not be cut off when Python ends."""
    for each in list(_open):
        each.close()
