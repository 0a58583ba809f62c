"""A thread that does jobs in the order in which they were given."""

import threading
from collections.abc import Callable
from queue import SimpleQueue

__all__ = ["JobThread"]


class JobThread:
    """Jobs that never raise, done one after the other beside the thread that gives them.

    The thread begins with the first job, and does not keep the program from ending.

    Parameters
    ----------
    name : of the thread
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._given = self._done = 0
        self._moved = threading.Condition()
        self._thread: threading.Thread | None = None

    @property
    def busy(self) -> bool:
        """Whether a job waits or is being done."""
        return self._done != self._given

    def put(self, job: Callable[[], None]) -> None:
        """Give a job; comes back at once."""
        with self._moved:
            self._given += 1
        self._jobs.put(job)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()

    def drain(self, timeout_s: float) -> bool:
        """Wait until all jobs are done; False where that takes longer."""
        with self._moved:
            return self._moved.wait_for(lambda: not self.busy, timeout_s)

    def close(self, timeout_s: float) -> bool:
        """Do what was given and end the thread; False where that takes longer."""
        if self._thread is None:
            return True
        self._jobs.put(None)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            finally:
                with self._moved:
                    self._done += 1
                    self._moved.notify_all()
