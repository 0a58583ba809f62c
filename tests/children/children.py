"""Processes of their own for tests, forked from one that has loaded torch: loading takes seconds.

A child is as new as one that was started with ``python -c``, but for the modules it already has:
nothing was computed in the process it comes from. Where there is no forking, it is started anew.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

__all__ = ["COMMAND", "run", "slowly", "start"]

COMMAND = "from napari_uninuc.cli.app import main; main()"
"""What `uninuc` does."""

_LOADED = ("napari_uninuc.engine.annotator", "napari_uninuc.engine.predictor")
_FORKS = sys.platform == "linux"


def start(code: str, *words: object, env: Mapping[str, str] | None = None):
    """Start Python code with words in ``sys.argv``; its streams are pipes of text.

    One thread computes. ``env`` is added to the environment. What comes back is used as a
    `subprocess.Popen` is.
    """
    argv = [str(word) for word in words]
    around = os.environ | {"OMP_NUM_THREADS": "1"} | dict(env or {})
    if _FORKS:
        return _Forked(code, argv, around)
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    command = [sys.executable, "-W", "ignore", "-c", code, *argv]
    return subprocess.Popen(command, **streams, text=True, env=around)


def run(code: str, *words: object, env: Mapping[str, str] | None = None, timeout: float = 1800):
    """Start it and wait for its end, as `subprocess.run` does."""
    with start(code, *words, env=env) as child:
        out, err = child.communicate(timeout=timeout)
    return subprocess.CompletedProcess(words, child.returncode, out, err)


def slowly(function, job):
    """Do something in 50 ms more: what workers do must stand where they can import it."""
    time.sleep(0.05)
    return function(job)


class _Forked:
    """What tests use of `subprocess.Popen`, for a forked process."""

    def __init__(self, code: str, argv: list[str], around: dict[str, str]) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(_LOADED))
        (his_in, my_in), (my_out, his_out), (my_err, his_err) = (os.pipe() for _ in range(3))
        ends = [_End(his_in), _End(his_out), _End(his_err)]
        target = (ends, around, str(Path.cwd()), code, argv)
        self._process = context.Process(target=_work, args=target)
        with mock.patch.dict(os.environ, {"OMP_NUM_THREADS": "1"}):  # of the one that is forked
            self._process.start()
        for fd in (his_in, his_out, his_err):
            os.close(fd)
        self.pid = self._process.pid
        self.stdin = os.fdopen(my_in, "w", encoding="utf-8")
        self.stdout = os.fdopen(my_out, encoding="utf-8")
        self.stderr = os.fdopen(my_err, encoding="utf-8")

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("a forked process", timeout)
        return self._process.exitcode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        self.stdin.close()
        with ThreadPoolExecutor(2) as readers:
            both = [readers.submit(stream.read) for stream in (self.stdout, self.stderr)]
            try:
                self.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
            return both[0].result(), both[1].result()

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self._process.kill()

    def __enter__(self):
        return self

    def __exit__(self, *_problem):
        for stream in (self.stdin, self.stdout, self.stderr):
            stream.close()
        self.wait()


class _End:
    """One end of a pipe, on its way into a child."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __reduce__(self):
        from multiprocessing.reduction import DupFd  # not on Windows, where nothing is forked

        return _arrived, (DupFd(self._fd),)


def _arrived(sent) -> int:
    return sent.detach()


def _work(ends: list[int], around: dict[str, str], folder: str, code: str, argv: list[str]):
    """What a child does: as ``python -c CODE ARGV`` in a folder."""
    for place, fd in enumerate(ends):
        os.dup2(fd, place)
        os.close(fd)
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = os.fdopen(1, "w", buffering=1, encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, encoding="utf-8", closefd=False)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(around)
    os.chdir(folder)
    sys.argv = ["-c", *argv]
    exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
