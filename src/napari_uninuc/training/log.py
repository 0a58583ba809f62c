"""The log of a run: one CSV line every few steps, each step at most once."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

LOG_NAME = "log.csv"

Progress = Callable[[int, int, dict[str, float]], None]
"""Called after each step with (steps done, steps in all, smoothed log values)."""


@dataclass(slots=True)
class RunLog:
    """Smooths what each step says, tells it, and writes a line every 20 steps.

    Attributes
    ----------
    path : of the file; None writes none
    steps : of the run in all
    progress : told after each step
    """

    path: Path | None
    steps: int
    progress: Progress | None
    _smooth: dict[str, float] = field(default_factory=dict)

    def note(self, step: int, seconds: float, values: Mapping[str, float]) -> None:
        """Take what step number ``step``, from 1, has said after so many seconds."""
        smooth = self._smooth
        for key, value in values.items():
            smooth[key] = 0.95 * smooth.get(key, value) + 0.05 * value
        if self.progress is not None:
            self.progress(step, self.steps, smooth)
        if self.path is not None and (step % 20 == 0 or step == self.steps):
            append_to_log(self.path, step, seconds, smooth)


def append_to_log(path: Path, step: int, seconds: float, values: Mapping[str, float]) -> None:
    """Add a line; the first one of a log names its columns, later ones follow it.

    Parameters
    ----------
    step : steps done
    seconds : of training so far, over all sittings
    values : a name without a column is left out, a column without a value stays empty
    """
    known = _columns(path)
    row = {"step": str(step), "seconds": f"{seconds:.1f}"}
    row |= {name: f"{value:.5g}" for name, value in values.items()}
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, known or list(row), restval="", extrasaction="ignore")
        if not known:
            writer.writeheader()
        writer.writerow(row)


def forget_after(path: Path, step: int) -> None:
    """Drop what a log says of later steps, which are made again; and the log if that is all.

    A line that was cut off when the run was stopped is dropped too.
    """
    if not path.exists():
        return
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = file.read().splitlines(keepends=True) or [""]
    kept = [row for row in rows if row.endswith("\n") and _step_of(row) <= step]
    if not kept:
        path.unlink()
    elif kept != rows:
        partial = path.with_name(f"{path.name}.partial")
        partial.write_text("".join([header, *kept]), encoding="utf-8", newline="")
        partial.replace(path)


def _step_of(row: str) -> float:
    first = row.split(",")[0]
    return int(first) if first.isdecimal() else float("inf")


def _columns(path: Path) -> list[str]:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return next(csv.reader(file), [])
