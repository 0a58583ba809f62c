"""Work that must run in the window's thread, done in small portions between its events."""

import time
from collections import deque
from collections.abc import Callable

from qtpy.QtCore import QTimer

__all__ = ["IdleQueue"]

_PORTION_S = 0.008
"""Half a frame at 60 Hz: a click that comes in waits no longer than this."""


class IdleQueue:
    """A queue of short calls, run in order while the window has nothing else to do."""

    def __init__(self) -> None:
        self._calls: deque[Callable[[], None]] = deque()
        self._timer = QTimer()
        self._timer.setInterval(0)
        self._timer.timeout.connect(self._run_portion)

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, call: Callable[[], None]) -> None:
        """Queue a call that takes a few milliseconds at most."""
        self._calls.append(call)
        if not self._timer.isActive():
            self._timer.start()

    def flush(self) -> None:
        """Run all that waits now."""
        while self._calls:
            self._calls.popleft()()
        self._timer.stop()

    def clear(self) -> None:
        """Forget all that waits."""
        self._calls.clear()
        self._timer.stop()

    def _run_portion(self) -> None:
        began = time.perf_counter()
        while self._calls and time.perf_counter() - began < _PORTION_S:
            self._calls.popleft()()
        if not self._calls:
            self._timer.stop()
