"""Outlines of nuclei that need no tracing: one piece, one run of pixels a row, so no holes."""

import numpy as np
import numpy.typing as npt

from napari_uninuc.core.runs import Runs

__all__ = ["plain_rings"]


def plain_rings(runs: Runs) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Outline nuclei of one piece with one run a row (`Runs.plain`), as `trace_nuclei` does.

    Returns
    -------
    points_xy : (N, 2) px, closed ring after closed ring
    ends : (n,) where each ring ends
    """
    y, x0, x1 = runs.y, runs.x0, runs.x1
    owner, first, last = runs.owner, runs.starts[:-1], runs.starts[1:] - 1
    inner = np.ones(len(y), np.bool_)
    inner[first] = False
    right, left = (  # rows whose end there is not that of the row above
        1 + np.flatnonzero(inner[1:] & (side[1:] != side[:-1])) for side in (x1, x0)
    )
    n_right, n_left = (np.bincount(owner[each], minlength=len(runs)) for each in (right, left))
    ends = np.cumsum(5 + 2 * (n_right + n_left))
    begin = np.concatenate([[0], ends[:-1]])
    points = np.empty((int(ends[-1]), 2), np.int64)
    for place, x, row in (
        (begin, x0[first], y[first]),
        (begin + 1, x1[first], y[first]),
        (begin + 2 + 2 * n_right, x1[last], y[last] + 1),
        (begin + 3 + 2 * n_right, x0[last], y[last] + 1),
        (ends - 1, x0[first], y[first]),
    ):
        points[place, 0], points[place, 1] = x, row
    down = (begin + 2)[owner[right]] + 2 * _rank(right, n_right)
    up = (ends - 2)[owner[left]] - 2 * _rank(left, n_left)
    for place, x, row in (
        (down, x1[right - 1], y[right]),
        (down + 1, x1[right], y[right]),
        (up, x0[left - 1], y[left]),
        (up - 1, x0[left], y[left]),
    ):
        points[place, 0], points[place, 1] = x, row
    return points, ends


def _rank(members: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Place of each among those of its nucleus."""
    return np.arange(len(members)) - np.repeat(np.cumsum(counts) - counts, counts)
