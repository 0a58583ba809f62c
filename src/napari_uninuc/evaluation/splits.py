"""The mean of several evaluations: folds of a data set taken in turn, or seeds of training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_uninuc.errors import DatasetError
from napari_uninuc.evaluation.stored import reading_report

PICTURES, TISSUES = "pictures", "tissues"

Key = tuple[str, str, bool, int, str, str]
"""Data set, prompt, masks fed back, corrections, averaged over, metric."""


@dataclass(frozen=True, slots=True)
class SplitMean:
    """One figure of several reports.

    Attributes
    ----------
    prompt, with_mask, iteration, metric : as in `evaluation.summary.SummaryRow`
    over : what each report averaged over: "pictures", "tissues", or the one tissue named here
    values : the figure of each report that has it, in their order
    mean : of `values`, each counting the same
    std : sample standard deviation (n - 1), NaN of a single value
    """

    dataset: str
    prompt: str
    with_mask: bool
    iteration: int
    over: str
    metric: str
    values: tuple[float, ...]
    mean: float
    std: float


def mean_of_reports(paths: Sequence[str | Path]) -> list[SplitMean]:
    """Average each figure of two or more ``report.json`` over the reports.

    Returns
    -------
    rows : over pictures, over tissues, then each tissue, in the order of the reports

    Raises
    ------
    DatasetError
        Fewer than two reports, one named twice, a file that is not a report, or reports of other
        data sets.
    """
    files = [Path(path) for path in paths]
    if len(files) < 2 or len({file.resolve() for file in files}) < len(files):
        raise DatasetError(
            f"a mean needs two reports or more, each once, got "
            f"{', '.join(map(str, files)) or 'none'}; name report.json files"
        )
    figures = [_figures(file) for file in files]
    _require_same_sets(files, figures)
    keys = dict.fromkeys(key for one in figures for key in one)
    rows = []
    for key in sorted(keys, key=lambda key: (key[4] == TISSUES) + 2 * (key[4] not in _WHOLE)):
        values = [one[key] for one in figures if key in one]
        std = float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
        rows.append(SplitMean(*key, tuple(values), float(np.mean(values)), std))
    return rows


def split_text(rows: Sequence[SplitMean], paths: Sequence[str | Path]) -> str:
    """Lay the means out in columns for a terminal."""
    header = (
        *("data set", "prompt", "mask fed back", "corrections", "mean over", "metric", "reports"),
        *("mean", "std", "of each"),
    )
    cells = [
        (
            *(row.dataset, row.prompt, "yes" if row.with_mask else "no", str(row.iteration)),
            *(row.over, row.metric, str(len(row.values)), f"{row.mean:.4f}"),
            *("-" if np.isnan(row.std) else f"{row.std:.4f}",),
            " ".join(f"{value:.4f}" for value in row.values),
        )
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in (header, *cells)
    ]
    titles = [f"report {number}  {path}" for number, path in enumerate(paths, start=1)]
    return "\n".join([*titles, "std: sample standard deviation over reports", "", *lines]) + "\n"


_WHOLE = (PICTURES, TISSUES)


def _require_same_sets(files: Sequence[Path], figures: Sequence[Mapping[Key, float]]) -> None:
    """Figures of other data sets have no mean; folds of one are named alike in their recipes."""
    names = [sorted({key[0] for key in one}) for one in figures]
    for file, others in zip(files, names, strict=True):
        if others != names[0] or not others:
            raise DatasetError(
                f"{file}: expected the data sets of {files[0]} "
                f"({', '.join(names[0]) or 'none'}), got {', '.join(others) or 'none'}; give the "
                "folds of a data set one name in their recipes"
            )


def _figures(path: Path) -> dict[Key, float]:
    with reading_report(path) as stored:
        return {key: float(value) for key, value in _entries(stored) if value is not None}


def _entries(stored: Mapping[str, Any]) -> Iterator[tuple[Key, Any]]:
    """Figures of a report; one of before there were tissues has none of those."""
    for row in stored["summary"]:
        if row["metric"] != "seconds":
            protocol = (str(row["prompt"]), bool(row["with_mask"]), int(row["iteration"]))
            yield (str(row["dataset"]), *protocol, PICTURES, str(row["metric"])), row["mean"]
    for row in (*stored.get("over_tissues", ()), *stored.get("tissues", ())):
        over = str(row.get("tissue", TISSUES))
        yield (str(row["dataset"]), "automatic", False, 0, over, str(row["metric"])), row["mean"]
