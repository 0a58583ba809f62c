"""More than two evaluations of the same images: who wins against whom, and how often by chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from napari_uninuc.errors import DatasetError
from napari_uninuc.evaluation.compare import ComparisonRow, compare_reports

__all__ = ["SIGNIFICANT", "Standing", "compare_many", "standings_text"]

SIGNIFICANT = 0.05
"""Below this p a difference of two reports counts as a win and a loss, else as a draw."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One report among others by one metric: a row of APG's appendix D.

    Attributes
    ----------
    dataset, prompt, with_mask, iteration, metric : as in `evaluation.summary.SummaryRow`
    report : position among the reports
    mean : over the images that it shares with the first other report that has the metric
    wins, losses, draws : against the other reports, by Wilcoxon's signed-rank test of images, its p
        multiplied by the number of pairs (Bonferroni)
    """

    dataset: str
    prompt: str
    with_mask: bool
    iteration: int
    metric: str
    report: int
    mean: float
    wins: int
    losses: int
    draws: int


def compare_many(reports: Sequence[str | Path]) -> list[Standing]:
    """Compare every pair of ``report.json`` image by image.

    Returns
    -------
    standings : by data set and metric in the order of the first pair, then most wins less losses
        first, then the better mean

    Raises
    ------
    DatasetError
        Fewer than two reports, a file that is not one, or two without an image in common.
    """
    if len(reports) < 2:
        raise DatasetError(f"expected two reports or more, got {len(reports)}; name another")
    count = len(reports) * (len(reports) - 1) // 2
    found: dict[tuple[str, str, bool, int, str], dict[int, list[float]]] = {}
    for one, other in combinations(range(len(reports)), 2):
        for row in compare_reports(reports[one], reports[other]):
            key = (row.dataset, row.prompt, row.with_mask, row.iteration, row.metric)
            table = found.setdefault(key, {})
            sign = _sign(row, count)
            for index, mean, won in ((one, row.first, -sign), (other, row.second, sign)):
                tally = table.setdefault(index, [mean, 0, 0, 0])
                tally[1] += won > 0
                tally[2] += won < 0
                tally[3] += won == 0
    return [
        Standing(*key, index, mean, int(wins), int(losses), int(draws))
        for key, table in found.items()
        for index, (mean, wins, losses, draws) in sorted(
            table.items(), key=lambda item: (item[1][2] - item[1][1], -item[1][0])
        )
    ]


def standings_text(standings: Sequence[Standing], reports: Sequence[str]) -> str:
    """Lay standings out in columns for a terminal."""
    header = (
        *("data set", "prompt", "mask fed back", "corrections", "metric"),
        *("report", "mean", "wins", "losses", "draws"),
    )
    cells = [
        (
            *(row.dataset, row.prompt, "yes" if row.with_mask else "no", str(row.iteration)),
            *(row.metric, str(row.report + 1), f"{row.mean:.4f}"),
            *(str(row.wins), str(row.losses), str(row.draws)),
        )
        for row in standings
    ]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in (header, *cells)
    ]
    names = [f"report {k}  {name}" for k, name in enumerate(reports, start=1)]
    rule = (
        f"Wilcoxon signed-rank test over images, two-sided; a win where p times the pairs is "
        f"below {SIGNIFICANT:g}\n"
    )
    return "\n".join([*names, rule, *lines]) + "\n"


def _sign(row: ComparisonRow, pairs: int) -> int:
    """1 where the second report of a pair wins, -1 where the first does, 0 for a draw."""
    if row.p * pairs >= SIGNIFICANT or row.difference == 0:
        return 0
    return 1 if row.difference > 0 else -1
