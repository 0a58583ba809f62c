"""The log of a run: one CSV line every few steps, each step at most once."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from pathlib import Path

LOG_NAME = "log.csv"

Progress = Callable[[int, int, dict[str, float]], None]
"""Called after each step with (steps done, steps in all, smoothed log values)."""


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
