"""Two evaluations of the same images, side by side: is one better, or is it chance?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import wilcoxon

from napari_uninuc.errors import DatasetError
from napari_uninuc.evaluation.stored import reading_report
from napari_uninuc.evaluation.summary import bootstrap_interval

_METRICS = {
    "automatic": ("msa", "bpq", "mpq", "weighted_dice", "aji", "f1_iou"),
    "interactive": ("msa", "mean_iou"),
}
Key = tuple[str, str, bool, int, str]
"""Data set, prompt, masks fed back, corrections, metric."""


@dataclass(frozen=True, slots=True)
class ComparisonRow:
    """One metric of two reports over the images that both have.

    Attributes
    ----------
    prompt, with_mask, iteration, metric : as in `evaluation.summary.SummaryRow`
    n_images : pairs; images where either is unknown are left out
    first, second : means over those images
    difference : second - first
    low, high : bootstrap 95 % interval of the difference, images drawn with replacement
    p : Wilcoxon signed-rank test, two-sided, of the paired differences; 1 where all are 0
        Five images cannot give less than 0.06, however they differ.
    """

    dataset: str
    prompt: str
    with_mask: bool
    iteration: int
    metric: str
    n_images: int
    first: float
    second: float
    difference: float
    low: float
    high: float
    p: float


def compare_reports(first: str | Path, second: str | Path) -> list[ComparisonRow]:
    """Compare two ``report.json`` image by image.

    Returns
    -------
    rows : in the order of the first report; what only one of them has is left out

    Raises
    ------
    DatasetError
        A file that is not a report, or two without a single image in common.
    """
    one, other = _scores(Path(first)), _scores(Path(second))
    rows = []
    for key, images in one.items():
        shared = [name for name in images if name in other.get(key, {})]
        pairs = np.array([(images[name], other[key][name]) for name in shared], float)
        if len(pairs):
            rows.append(_compared(key, pairs))
    if not rows:
        raise DatasetError(
            f"{second}: expected images that {first} has too, got none with a score in both; "
            "compare two evaluations of the same data"
        )
    return rows


def comparison_text(rows: list[ComparisonRow], first: str, second: str) -> str:
    """Lay a comparison out in columns for a terminal."""
    header = (
        *("data set", "prompt", "mask fed back", "corrections", "metric", "images"),
        *("first", "second", "difference", "95 % interval", "p"),
    )
    cells = [
        (
            *(row.dataset, row.prompt, "yes" if row.with_mask else "no", str(row.iteration)),
            *(row.metric, str(row.n_images), f"{row.first:.4f}", f"{row.second:.4f}"),
            *(f"{row.difference:+.4f}", f"[{row.low:+.4f}, {row.high:+.4f}]", f"{row.p:.2g}"),
        )
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in (header, *cells)
    ]
    title = f"first  {first}\nsecond {second}\nWilcoxon signed-rank test over images, two-sided\n"
    return "\n".join([title, *lines]) + "\n"


def _compared(key: Key, pairs: np.ndarray) -> ComparisonRow:
    differences = pairs[:, 1] - pairs[:, 0]
    low, high = bootstrap_interval(differences)
    p = float(wilcoxon(differences).pvalue) if np.any(differences) else 1.0
    first, second = pairs.mean(axis=0).tolist()
    return ComparisonRow(*key, len(pairs), first, second, float(differences.mean()), low, high, p)


def _scores(path: Path) -> dict[Key, dict[str, float]]:
    """Read each metric of a report by protocol and image; unknown scores are left out."""
    found: dict[Key, dict[str, float]] = {}
    with reading_report(path) as stored:
        for key, image, value in _entries(stored):
            if value is not None:
                found.setdefault(key, {})[image] = float(value)
    return found


def _entries(stored: Mapping[str, Any]) -> Iterator[tuple[Key, str, Any]]:
    for part, metrics in _METRICS.items():
        for row in stored[part]:
            protocol = (
                row.get("prompt", "automatic"),
                bool(row.get("with_mask", False)),
                int(row.get("iteration", 0)),
            )
            for metric in metrics:
                yield (str(row["dataset"]), *protocol, metric), str(row["image"]), row.get(metric)
