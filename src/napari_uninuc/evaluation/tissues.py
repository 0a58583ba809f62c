"""Automatic scores averaged over tissues: over the pictures of each, then over tissues.

PanNuke's protocol, and that of the paper's tables 1 and 7 (facts 4.4): a tissue with many pictures
counts no more than one with few.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_uninuc.evaluation.automatic import AutomaticRow
from napari_uninuc.evaluation.summary import AUTOMATIC_METRICS, interval_of_groups

_SCORES = tuple(metric for metric in AUTOMATIC_METRICS if metric != "seconds")


@dataclass(frozen=True, slots=True)
class TissueRow:
    """One metric over the pictures of one tissue.

    Attributes
    ----------
    dataset, metric : as in `evaluation.summary.SummaryRow`
    tissue : as the data set calls it
    mean : over pictures where the metric is not NaN
    n_images : pictures that count
    """

    dataset: str
    tissue: str
    metric: str
    mean: float
    n_images: int


@dataclass(frozen=True, slots=True)
class TissueMean:
    """One metric over the tissues of a data set.

    Attributes
    ----------
    mean : of the tissues' means, each counting the same
    low, high : bootstrap 95 % interval, pictures drawn with replacement within each tissue
    n_tissues, n_images : tissues and pictures that count
    """

    dataset: str
    metric: str
    mean: float
    low: float
    high: float
    n_tissues: int
    n_images: int


def by_tissue(rows: Sequence[AutomaticRow]) -> tuple[list[TissueRow], list[TissueMean]]:
    """Average the rows of data sets that say of which tissue a picture is.

    Pictures without a tissue are left out, and so is a tissue on none of whose pictures a metric
    has a meaning.

    Returns
    -------
    tissues, means : by data set in the order they come; tissues by name
    """
    tissues: list[TissueRow] = []
    means: list[TissueMean] = []
    for dataset in dict.fromkeys(row.dataset for row in rows):
        ours = [row for row in rows if row.dataset == dataset and row.tissue]
        for metric in _SCORES:
            groups = _groups(ours, metric)
            found = [
                TissueRow(dataset, name, metric, float(values.mean()), len(values))
                for name, values in groups.items()
            ]
            if found:
                tissues += found
                low, high = interval_of_groups(list(groups.values()))
                mean = float(np.mean([row.mean for row in found]))
                counted = sum(row.n_images for row in found)
                means.append(TissueMean(dataset, metric, mean, low, high, len(found), counted))
    return tissues, means


def _groups(rows: Sequence[AutomaticRow], metric: str) -> dict[str, np.ndarray]:
    """Values of a metric that are not NaN, by tissue; none empty."""
    groups: dict[str, list[float]] = {}
    for row in sorted(rows, key=lambda one: one.tissue):
        value: float = getattr(row, metric)
        if not np.isnan(value):
            groups.setdefault(row.tissue, []).append(value)
    return {name: np.array(values) for name, values in groups.items()}
