"""How well readers agree, in numbers that add up over the squares of a picture.

Every figure is a function of sums. A square's row of sums gives its own figures, all rows added
give those of the picture, and rows drawn with replacement give the bootstrap intervals: squares
are drawn and not nuclei, for neighbours are judged alike.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["THRESHOLDS", "Figure", "Figures", "Sums", "fleiss", "fleiss_sums"]

THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
"""IoU from which on a pair counts as found by both."""

_RESAMPLES = 2000
_SEED = 0

Table = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure and its bootstrap 95 % interval; NaN where there is nothing to tell it from.

    The interval is NaN where nuclei lie in fewer than two squares.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Figures:
    """The agreement of two readers.

    Attributes
    ----------
    f1 : by threshold, see `THRESHOLDS`: 2 x pairs / nuclei of both, pairs one to one
    mean_iou : of the matched nuclei
    kappa : Cohen's, of the classes of matched nuclei where both name one; NaN where they do not,
        or name but one class
    """

    f1: tuple[Figure, ...]
    mean_iou: Figure
    kappa: Figure


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """What the figures are made of, a row a square; R squares, T thresholds, C classes.

    Attributes
    ----------
    nuclei : (R,) of both readers together
    pairs : (R, T) one to one with at least that IoU
    matched, iou : (R,) matched nuclei, and the sum of their IoU
    classes : (R, C, C) matched nuclei by class of the first and of the second reader
    """

    nuclei: Table
    pairs: Table
    matched: Table
    iou: Table
    classes: Table

    def figures(self) -> Figures:
        """Figures of all squares together, with intervals."""
        drawn = _weights(self.nuclei > 0)
        return self._figures(np.concatenate([np.ones((1, len(self.nuclei))), drawn]))

    def of_square(self, row: int) -> Figures:
        """Figures of one square, without intervals."""
        weights = np.zeros((1, len(self.nuclei)))
        weights[0, row] = 1
        return self._figures(weights)

    def _figures(self, weights: Table) -> Figures:
        figures = [_figure(column) for column in self._values(weights).T]
        return Figures(tuple(figures[:-2]), figures[-2], figures[-1])

    def _values(self, weights: Table) -> Table:
        """Compute (W, T + 2) figures with each square counted (W, R) times."""
        f1 = _ratio(2 * (weights @ self.pairs), (weights @ self.nuclei)[:, None])
        iou = _ratio(weights @ self.iou, weights @ self.matched)
        count = self.classes.shape[1]
        flat = self.classes.reshape(len(self.nuclei), count * count)
        tables = (weights @ flat).reshape(len(weights), count, count)
        return np.column_stack([f1, iou, cohen(tables)])


def cohen(tables: Table) -> Table:
    """Compute Cohen's kappa of (W, C, C) tables; NaN for an empty one or a single class."""
    total = tables.sum(axis=(1, 2))
    agreed = _ratio(np.trace(tables, axis1=1, axis2=2), total)
    by_chance = _ratio((tables.sum(axis=1) * tables.sum(axis=2)).sum(axis=1), total**2)
    return _ratio(agreed - by_chance, 1 - by_chance)


def fleiss_sums(ratings: npt.NDArray[np.int64], squares: npt.NDArray[np.intp], count: int) -> Table:
    """Add up what Fleiss' kappa is made of, square by square.

    Parameters
    ----------
    ratings : (N, C) how many readers gave nucleus i class j; each row adds up to as many
    squares : (N,) of each nucleus
    count : of squares

    Returns
    -------
    sums : (R, 2 + C) nuclei, agreement of pairs of readers, and ratings by class
    """
    readers = max(int(ratings.sum(axis=1).max(initial=0)), 2)
    agreed = (ratings * (ratings - 1)).sum(axis=1) / (readers * (readers - 1))
    columns = np.column_stack([np.ones(len(ratings)), agreed, ratings])
    sums = np.zeros((count, columns.shape[1]))
    np.add.at(sums, squares, columns)
    return sums


def fleiss(sums: Table) -> Figure:
    """Compute Fleiss' kappa from `fleiss_sums`, with its interval; NaN for a single class."""
    weights = np.concatenate([np.ones((1, len(sums))), _weights(sums[:, 0] > 0)])
    totals = weights @ sums
    shares = _ratio(totals[:, 2:], totals[:, 2:].sum(axis=1, keepdims=True))
    by_chance = (shares**2).sum(axis=1)
    return _figure(_ratio(_ratio(totals[:, 1], totals[:, 0]) - by_chance, 1 - by_chance))


def _weights(counts: npt.NDArray[np.bool_]) -> Table:
    """How often each square is drawn: (2000, R); no row where fewer than two have nuclei."""
    chosen = np.flatnonzero(counts)
    if len(chosen) < 2:
        return np.zeros((0, len(counts)))
    drawn = np.random.default_rng(_SEED).multinomial(
        len(chosen), np.full(len(chosen), 1 / len(chosen)), _RESAMPLES
    )
    weights = np.zeros((_RESAMPLES, len(counts)))
    weights[:, chosen] = drawn
    return weights


def _figure(values: Table) -> Figure:
    """Make a figure of its value and of what the resamples gave, which may be nothing."""
    known = values[1:][np.isfinite(values[1:])]
    if not len(known) or not np.isfinite(values[0]):
        return Figure(float(values[0]), float("nan"), float("nan"))
    low, high = np.percentile(known, [2.5, 97.5])
    return Figure(float(values[0]), float(low), float(high))


def _ratio(part: Table, whole: Table) -> Table:
    """Divide; NaN where there is nothing to divide by."""
    part, whole = np.broadcast_arrays(part, whole)
    ratios: Table = np.full(part.shape, np.nan)
    np.divide(part, whole, out=ratios, where=np.abs(whole) > 1e-12)
    return ratios
