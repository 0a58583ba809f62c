"""Convex hulls of nuclei, around the corners of their pixels, and what they measure."""

from itertools import pairwise

import numpy as np
import numpy.typing as npt

__all__ = ["hull_measures", "pixel_hulls"]

Point = tuple[int, int]

_MOST_PAIRS = 2**22
"""Pairs of hull corners looked at together."""


def pixel_hulls(
    owner: npt.NDArray[np.int32],
    y: npt.NDArray[np.int64],
    x: npt.NDArray[np.int64],
    count: int,
) -> list[list[Point]]:
    """Find the hull of each nucleus's pixels as squares.

    Parameters
    ----------
    owner : (N,) the nucleus of each pixel, 0 to count - 1
    y, x : (N,) px

    Returns
    -------
    hulls : for each nucleus its corners (x, y) in turn, none on a straight line between two
        others; empty for one without pixels
    """
    order = np.lexsort((x, y, owner))
    owner, y, x = owner[order], y[order], x[order]
    fresh = np.concatenate([[True], (np.diff(owner) != 0) | (np.diff(y) != 0)])[: len(y)]
    first = np.flatnonzero(fresh)
    last = np.append(first[1:], len(y)) - 1
    rows, left, right = y[first].tolist(), x[first].tolist(), (x[last] + 1).tolist()
    borders = np.searchsorted(owner[first], np.arange(count + 1)).tolist()
    return [_hull(rows[a:b], left[a:b], right[a:b]) for a, b in pairwise(borders)]


def _hull(rows: list[int], left: list[int], right: list[int]) -> list[Point]:
    """Go down the right side of rows of pixels, ascending, and up the left one."""
    down = _chain(rows, right, 1)
    up = [(-x, y) for x, y in _chain(rows, left, -1)]
    return down + up[::-1]


def _chain(rows: list[int], sides: list[int], sign: int) -> list[Point]:
    chain: list[Point] = []
    for row, side in zip(rows, sides, strict=True):
        for point in ((side * sign, row), (side * sign, row + 1)):
            while len(chain) > 1 and _turns_in(chain[-2], chain[-1], point):
                chain.pop()
            chain.append(point)
    return chain


def _turns_in(a: Point, b: Point, c: Point) -> bool:
    """Whether b lies on the line from a to c or on its inner, smaller side."""
    return (b[0] - a[0]) * (c[1] - a[1]) <= (c[0] - a[0]) * (b[1] - a[1])


def hull_measures(
    hulls: list[list[Point]],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Measure hulls of `pixel_hulls`.

    Returns
    -------
    areas : px^2
    longest : largest distance of two corners, px (Feret diameter)
    narrowest : smallest distance of two parallel lines around the hull, px; one of them runs
        along a side of it
    """
    counts = np.array([len(hull) for hull in hulls], dtype=np.int64)
    found = np.zeros((3, len(hulls)))
    order = np.argsort(counts, kind="stable")
    start = int(np.searchsorted(counts[order], 1))
    while start < len(order):
        most = int(counts[order[start]])
        step = max(1, _MOST_PAIRS // max(most, 1) ** 2)
        chosen = order[start : start + step]
        while counts[chosen[-1]] ** 2 * len(chosen) > 4 * _MOST_PAIRS and len(chosen) > 1:
            chosen = chosen[: (len(chosen) + 1) // 2]
        found[:, chosen] = _measured(_padded([hulls[k] for k in chosen.tolist()]))
        start += len(chosen)
    return found[0], found[1], found[2]


def _padded(hulls: list[list[Point]]) -> npt.NDArray[np.float64]:
    """Put hulls into one array (n, most corners, 2); the last corner is repeated."""
    most = max(map(len, hulls))
    return np.array([hull + hull[-1:] * (most - len(hull)) for hull in hulls], dtype=np.float64)


def _measured(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    following = np.roll(points, -1, axis=1)
    cross = points[..., 0] * following[..., 1] - following[..., 0] * points[..., 1]
    areas = np.abs(cross.sum(axis=1)) / 2
    between = points[:, :, None] - points[:, None]  # (n, k, k, 2)
    longest = np.sqrt((between**2).sum(axis=-1).max(axis=(1, 2)))
    sides = following - points
    lengths = np.hypot(sides[..., 0], sides[..., 1])
    # How far every corner lies from the line along each side.
    reach = np.abs(
        sides[:, :, None, 0] * between[..., 1] - sides[:, :, None, 1] * between[..., 0]
    ).max(axis=2)
    widths = np.divide(reach, lengths, out=np.full_like(reach, np.inf), where=lengths > 0)
    return np.stack([areas, longest, widths.min(axis=1)])
