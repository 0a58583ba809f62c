"""Learning from corrections in a process of its own, so that the window and its model go on."""

import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic

from psygnal import Signal
from qtpy.QtCore import QProcess

__all__ = ["LearningProcess", "LearningState", "Order"]

_NO_BETTER = 3
_WORDS_AT_MOST = 2000


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be learnt.

    Attributes
    ----------
    sessions : folders of saved sessions
    model : id or path of the model, in the weights as they are
    output : where the learnt state is written, or beside it where another window was quicker
    """

    sessions: tuple[Path, ...]
    model: str
    output: Path


@dataclass(frozen=True, slots=True)
class LearningState:
    """How far it is: steps done, of all, what is being done, and the seconds it may still take.

    Attributes
    ----------
    seconds_left : None as long as that cannot be told
    """

    done: int
    total: int
    what: str
    seconds_left: float | None
    paused: bool


class LearningProcess:
    """At most one `uninuc learn` at a time, at low priority.

    It ends with the window, and leaves nothing half-made. What was encoded is kept, so that the
    same order is quicker the next time.

    Attributes
    ----------
    changed : it began, went on, was paused or ended; see `state`
    command : words of the process, before ``learn``
    state : None where nothing is learnt
    """

    changed = Signal()

    def __init__(
        self,
        *,
        on_done: Callable[[Order, bool, str], object],
        on_problem: Callable[[str], object],
        command: Sequence[str] = (sys.executable, "-m", "napari_uninuc.cli.app"),
    ) -> None:
        self._on_done, self._on_problem = on_done, on_problem
        self.command = tuple(command)
        self._process: QProcess | None = None
        self._order: Order | None = None
        self._heard = ""
        self._said = ""
        self._began = 0.0
        self._rested = 0.0
        self._paused_at: float | None = None
        self.state: LearningState | None = None

    def start(self, order: Order) -> None:
        """Begin, unless something is being learnt."""
        if self._process is not None:
            return
        self._order, self._heard, self._said = order, "", ""
        self._began, self._rested, self._paused_at = monotonic(), 0.0, None
        process = self._process = QProcess()
        process.readyReadStandardOutput.connect(self._on_output)
        process.finished.connect(self._on_finished)
        process.errorOccurred.connect(self._on_error)
        program, *words = self.command
        sessions = [str(each) for each in order.sessions]
        output = ["--output", str(order.output), "--model", order.model, "--driven"]
        process.start(program, [*words, "learn", *sessions, *output])
        self._show(LearningState(0, 0, "starting", None, False))

    def pause(self) -> None:
        """Let it rest after the step under way."""
        if self._paused_at is None:
            self._paused_at = monotonic()
            self._say("pause")

    def go_on(self) -> None:
        """Let it go on."""
        if self._paused_at is not None:
            self._rested += monotonic() - self._paused_at
            self._paused_at = None
            self._say("go")

    def cancel(self) -> None:
        """End it; nothing is learnt and nothing changes."""
        process, self._process = self._process, None
        if process is not None:
            process.finished.disconnect(self._on_finished)
            process.errorOccurred.disconnect(self._on_error)
            process.readyReadStandardOutput.disconnect(self._on_output)
            process.kill()
            process.waitForFinished(2000)
            process.deleteLater()
            self._show(None)

    def _say(self, word: str) -> None:
        if self._process is not None and self.state is not None:
            self._process.write(f"{word}{os.linesep}".encode())
            now = self.state
            self._show(
                LearningState(
                    now.done, now.total, now.what, now.seconds_left, self._paused_at is not None
                )
            )

    def _on_output(self) -> None:
        process = self._process
        if process is None:
            return
        self._heard += bytes(process.readAllStandardOutput().data()).decode("utf-8", "replace")
        *lines, self._heard = self._heard.split("\n")
        latest = None
        for line in lines:
            word, *rest = line.strip().split(" ", 3)
            if word == "step" and len(rest) == 3 and rest[0].isdigit() and rest[1].isdigit():
                latest = int(rest[0]), int(rest[1]), rest[2]
            elif line.strip():
                self._said = line.strip()[:_WORDS_AT_MOST]
        if latest is not None:
            done, total, what = latest
            if done == 0:
                self._began, self._rested = monotonic(), 0.0  # what came before is no step
            self._show(
                LearningState(
                    done, total, what, self._left(done, total), self._paused_at is not None
                )
            )

    def _left(self, done: int, total: int) -> float | None:
        """Seconds that it may still take: as long for each step as the ones before."""
        if done == 0:
            return None
        resting = 0.0 if self._paused_at is None else monotonic() - self._paused_at
        return (monotonic() - self._began - self._rested - resting) / done * (total - done)

    def _on_finished(self, code: int, _: object) -> None:
        self._on_output()
        process, self._process = self._process, None
        order = self._order
        if process is None or order is None:
            return
        crashed = process.exitStatus() != QProcess.ExitStatus.NormalExit
        problems = bytes(process.readAllStandardError().data()).decode("utf-8", "replace")
        process.deleteLater()
        self._show(None)
        if not crashed and code in (0, _NO_BETTER):
            written = re.search(r" -> (.+\.safetensors): ", self._said)
            if code == 0 and written is not None:
                order = replace(order, output=Path(written[1]))
            self._on_done(order, code == 0, self._said)
            return
        last = [line for line in problems.splitlines() if line.strip()][-1:]
        why = last[0].removeprefix("uninuc: error: ")[:500] if last else "it was ended"
        self._on_problem(f"Nothing was learnt, and nothing has changed: {why}")

    def _on_error(self, error: QProcess.ProcessError) -> None:
        """Tell where it could not be started; every other end is `finished`."""
        if error == QProcess.ProcessError.FailedToStart and self._process is not None:
            process, self._process = self._process, None
            process.deleteLater()
            self._show(None)
            self._on_problem(
                f"Nothing was learnt: {self.command[0]} cannot be started; run uninuc learn on "
                "the command line instead"
            )

    def _show(self, state: LearningState | None) -> None:
        self.state = state
        self.changed.emit()
