"""The score threshold, chosen on pictures that are neither trained on nor tested on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.datasets.folder import LabelledTile
from napari_uninuc.errors import DatasetError
from napari_uninuc.evaluation.automatic import ClassNames, score_automatic

ChosenBy = Literal["msa", "bpq", "mpq"]
THRESHOLDS = tuple(round(0.1 + 0.05 * k, 2) for k in range(13))
"""Tried by default: 0.1 to 0.7."""


@dataclass(frozen=True, slots=True)
class ThresholdChoice:
    """What was tried.

    Attributes
    ----------
    threshold : the best; of equal ones the lowest
    metric : what was made best, a field of `AutomaticRow`
    tried : thresholds and the metric's mean over the pictures
    n_tested : how many of the pictures are tested on as well
    """

    threshold: float
    metric: str
    tried: tuple[tuple[float, float], ...]
    n_tested: int = 0


def above(found: Segmentation, threshold: float) -> Segmentation:
    """Drop nuclei of less than a score; what is left is as if it had been segmented so.

    Better scores are given their pixels first, so a worse nucleus takes none from a better.
    """
    dropped = found.table["score"] < threshold
    ids = found.table["id"][dropped].to_numpy()
    labels = np.where(np.isin(found.labels, ids), np.int32(0), found.labels)
    return replace(found, labels=labels, table=found.table[~dropped].reset_index(drop=True))


def choose_threshold(
    segmented: Iterable[tuple[LabelledTile, Segmentation]],
    metric: ChosenBy = "msa",
    candidates: Iterable[float] = THRESHOLDS,
    step: Callable[[], None] | None = None,
    known: Collection[str] | None = None,
) -> ThresholdChoice:
    """Find the threshold that scores best.

    Parameters
    ----------
    segmented : pictures and their nuclei, segmented with the lowest candidate or below
    metric : pictures on which it has no meaning are passed over
    step : called after every picture
    known : names of classes that the model may give, see `ClassNames`

    Raises
    ------
    DatasetError
        No picture on which the metric has a meaning.
    """
    thresholds = sorted(candidates)
    scores = []
    names = ClassNames(known)
    for labelled, found in segmented:
        names.see(labelled, found)
        rows = [score_automatic(labelled, above(found, t), 0.0) for t in thresholds]
        scores.append([getattr(row, metric) for row in rows])
        if step is not None:
            step()
    # Whether a score has a meaning is a matter of the picture, never of the threshold.
    usable = [row for row in scores if not np.isnan(row).any()]
    if not usable or (metric == "mpq" and not names.shared):
        raise DatasetError(
            f"a threshold is chosen by {metric}, got no picture on which it has a meaning; name "
            "pictures with nuclei and, for mpq, with the model's classes"
        )
    means = np.array(usable).mean(axis=0)
    best = thresholds[int(means.argmax())]
    return ThresholdChoice(best, metric, tuple(zip(thresholds, means.tolist(), strict=True)))
