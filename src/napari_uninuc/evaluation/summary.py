"""From scores of images to means with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_uninuc.evaluation.automatic import AutomaticRow
from napari_uninuc.evaluation.interactive import InteractiveRow

AUTOMATIC_METRICS = (
    "msa",
    "bpq",
    "mpq",
    "weighted_dice",
    "aji",
    "f1_iou",
    "f1_centroid",
    "seconds",
)
INTERACTIVE_METRICS = ("msa", "mean_iou", "seconds")
_RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """One metric over the images of a data set.

    Attributes
    ----------
    prompt : "automatic", "point" or "box"
    with_mask : mask prompts were fed back; False for automatic
    iteration : corrections made; 0 for automatic
    metric : field of the image rows
    mean : over images where the metric is not NaN
    low, high : bootstrap 95 % interval of that mean, images drawn with replacement
        Says how the figure moves with the images, not with seeds of training.
    n_images : images that count
    """

    dataset: str
    prompt: str
    with_mask: bool
    iteration: int
    metric: str
    mean: float
    low: float
    high: float
    n_images: int


def summarise(
    automatic: Sequence[AutomaticRow], interactive: Sequence[InteractiveRow]
) -> list[SummaryRow]:
    """Average each metric by data set and protocol, in the order the rows come.

    A metric that is NaN on every image (mPQ without classes) gets no row.
    """
    groups: dict[tuple[str, str, bool, int, str], list[float]] = {}
    for automatic_row in automatic:
        for metric in AUTOMATIC_METRICS:
            key = (automatic_row.dataset, "automatic", False, 0, metric)
            groups.setdefault(key, []).append(getattr(automatic_row, metric))
    for row in interactive:
        for metric in INTERACTIVE_METRICS:
            key = (row.dataset, row.prompt, row.with_mask, row.iteration, metric)
            groups.setdefault(key, []).append(getattr(row, metric))
    rows = []
    for key, values in groups.items():
        kept = np.array([value for value in values if not np.isnan(value)])
        if len(kept):
            low, high = bootstrap_interval(kept)
            rows.append(SummaryRow(*key, float(kept.mean()), low, high, len(kept)))
    return rows


def bootstrap_interval(values: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """Compute the 95 % percentile interval of the mean, 2,000 resamples.

    Parameters
    ----------
    values : (N,) finite, N at least 1
        One value gives an interval of no width.
    """
    return interval_of_groups([values], seed)


def interval_of_groups(groups: Sequence[np.ndarray], seed: int = 0) -> tuple[float, float]:
    """Compute the interval of `bootstrap_interval` for the mean of the groups' means.

    Parameters
    ----------
    groups : (N,) finite each, N at least 1; each is drawn from by itself
    """
    rng = np.random.default_rng(seed)
    means = []
    for values in groups:
        drawn = rng.integers(len(values), size=(_RESAMPLES, len(values)))
        means.append(values[drawn].mean(axis=1))  # (resamples,)
    low, high = np.percentile(np.mean(means, axis=0), [2.5, 97.5])
    return float(low), float(high)
