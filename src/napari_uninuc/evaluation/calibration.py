"""Whether the IoU that a model expects of its masks is the one they have."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from napari_uninuc.core.overlaps import Overlaps

Floats = Sequence[float] | np.ndarray

N_BINS = 10
"""Bins of predicted IoU, of equal width over [0, 1]."""


@dataclass(frozen=True, slots=True)
class Reliability:
    """Masks counted by the IoU that was predicted of them; sums, so that images can be added.

    Attributes
    ----------
    n : masks in each of `N_BINS` bins of predicted IoU
    predicted, true : sums of predicted and of true IoU over the masks of each bin
    """

    n: tuple[int, ...]
    predicted: tuple[float, ...]
    true: tuple[float, ...]

    @classmethod
    def of(cls, predicted: Floats, true: Floats) -> Reliability:
        """Sort N masks into bins.

        Parameters
        ----------
        predicted, true : (N,) IoU; predictions outside [0, 1] count in the first or last bin
        """
        expected, actual = np.asarray(predicted, float), np.asarray(true, float)
        bins = np.clip((expected * N_BINS).astype(int), 0, N_BINS - 1)
        sums = [np.bincount(bins, values, N_BINS).tolist() for values in (expected, actual)]
        return cls(tuple(np.bincount(bins, minlength=N_BINS).tolist()), *map(tuple, sums))


@dataclass(frozen=True, slots=True)
class CalibrationRow:
    """Predicted against true IoU of a data set's masks.

    Attributes
    ----------
    prompt, with_mask, iteration : as in `evaluation.summary.SummaryRow`
    n_masks : of all images together; each counts the same
    predicted, true : mean predicted and mean true IoU
    error : expected calibration error: mean over masks of the distance between mean predicted
        and mean true IoU of their bin
    bins : reliability table, one (masks, mean predicted, mean true) for each bin from 0 up;
        means are NaN where a bin is empty
    """

    dataset: str
    prompt: str
    with_mask: bool
    iteration: int
    n_masks: int
    predicted: float
    true: float
    error: float
    bins: tuple[tuple[int, float, float], ...]


Key = tuple[str, str, bool, int]
"""Data set, prompt, masks fed back, corrections."""


def calibration_of(counted: Iterable[tuple[Key, Reliability]]) -> list[CalibrationRow]:
    """Add up images by data set and protocol, in the order they come; none without masks."""
    groups: dict[Key, list[Reliability]] = {}
    for key, one in counted:
        groups.setdefault(key, []).append(one)
    rows = []
    for key, parts in groups.items():
        n = np.sum([part.n for part in parts], axis=0)
        sums = [np.sum([getattr(part, name) for part in parts], axis=0) for name in _SUMS]
        total = int(n.sum())
        if total == 0:
            continue
        means = [np.divide(s, n, out=np.full(N_BINS, np.nan), where=n > 0) for s in sums]
        rows.append(
            CalibrationRow(
                *key,
                n_masks=total,
                predicted=float(sums[0].sum() / total),
                true=float(sums[1].sum() / total),
                error=float(np.abs(sums[0] - sums[1]).sum() / total),
                bins=tuple(zip(n.tolist(), means[0].tolist(), means[1].tolist(), strict=True)),
            )
        )
    return rows


_SUMS = ("predicted", "true")


def best_ious(overlaps: Overlaps) -> np.ndarray:
    """IoU of each predicted nucleus (P,) with the true one it fits best; 0 where it has none."""
    best = np.zeros(len(overlaps.second_ids))
    np.maximum.at(best, overlaps.second_index, overlaps.ious)
    return best
