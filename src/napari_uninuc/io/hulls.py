"""Convex hulls of nuclei, around the corners of their pixels, and what they measure."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Hulls", "hull_areas", "hull_measures", "pixel_hulls"]

Ints = npt.NDArray[np.int64]

_MOST_PAIRS = 2**22
"""Pairs of hull corners looked at together."""


@dataclass(frozen=True, slots=True, eq=False)
class Hulls:
    """The hull of each nucleus's pixels as squares.

    Attributes
    ----------
    starts : (n + 1,); corners of nucleus k are ``starts[k]:starts[k + 1]``, none without pixels
    x, y : (m,) px, corners in turn, none on a straight line between two others
    """

    starts: Ints
    x: Ints
    y: Ints


def pixel_hulls(owner: Ints, y: Ints, left: Ints, right: Ints, count: int) -> Hulls:
    """Find the hull of each nucleus.

    Parameters
    ----------
    owner : (N,) the nucleus of each row of pixels, 0 to count - 1, ascending
    y : (N,) px, ascending for each nucleus
    left, right : (N,) px, where its first pixel there begins and its last one ends
    """
    down, up = _side(owner, y, right), _side(owner, y, -left)
    sides = [np.bincount(each[0], minlength=count) for each in (down, up)]
    starts = np.concatenate([[0], np.cumsum(sides[0] + sides[1])])
    # Down the right side, which lies in turn, and up the left one.
    ends = np.cumsum(sides[0]), np.cumsum(sides[1])
    at_down = np.arange(len(down[0])) + (starts[:-1] - ends[0] + sides[0])[down[0]]
    at_up = (starts[1:] - 1 + ends[1] - sides[1])[up[0]] - np.arange(len(up[0]))
    x, rows = np.empty((2, int(starts[-1])), np.int64)
    x[at_down], rows[at_down] = down[2], down[1]
    x[at_up], rows[at_up] = -up[2], up[1]
    return Hulls(starts, x, rows)


def _side(owner: Ints, y: Ints, side: Ints) -> tuple[Ints, Ints, Ints]:
    """Corners on the larger side of rows: owner, y, place, from the first row to the last.

    A corner at or inside the line between its neighbours is none of the hull, whether they are or
    not; so all such are dropped at once, and again among those that are left.
    """
    goes_on = np.zeros(len(y), np.bool_)  # the row above is the nucleus's own
    goes_on[1:] = (owner[1:] == owner[:-1]) & (y[1:] == y[:-1] + 1)
    first = side.copy()
    first[1:] = np.where(goes_on[1:], np.maximum(side[1:], side[:-1]), side[1:])
    kept = np.ones(2 * len(y), np.bool_)
    kept[1:-1:2] = ~goes_on[1:]  # where rows go on, one corner stands for both
    corners = [np.repeat(owner, 2)[kept], np.stack([y, y + 1], 1).ravel()[kept]]
    corners.append(np.stack([first, side], 1).ravel()[kept])
    while True:
        who, down, out = corners
        inner = np.zeros(len(who), np.bool_)
        inner[1:-1] = (
            (who[:-2] == who[2:])
            & ((out[1:-1] - out[:-2]) * (down[2:] - down[:-2])
               <= (out[2:] - out[:-2]) * (down[1:-1] - down[:-2]))
        )  # fmt: skip
        if not inner.any():
            return who, down, out
        corners = [each[~inner] for each in corners]


def hull_areas(hulls: Hulls) -> npt.NDArray[np.float64]:
    """Measure the area of each hull, px^2; 0 of one without corners."""
    following = _following(hulls)
    cross = hulls.x * hulls.y[following] - hulls.x[following] * hulls.y
    sums = np.concatenate([[0], np.cumsum(cross)])
    return np.asarray(np.abs(sums[hulls.starts[1:]] - sums[hulls.starts[:-1]]) / 2)


def _following(hulls: Hulls) -> Ints:
    """Place of the corner after each one."""
    following = np.arange(1, len(hulls.x) + 1)
    there = hulls.starts[1:] > hulls.starts[:-1]
    following[hulls.starts[1:][there] - 1] = hulls.starts[:-1][there]
    return following


def hull_measures(
    hulls: Hulls,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Measure hulls.

    Returns
    -------
    areas : px^2
    longest : largest distance of two corners, px (Feret diameter)
    narrowest : smallest distance of two parallel lines around the hull, px; one of them runs
        along a side of it
    """
    counts = np.diff(hulls.starts)
    found = np.zeros((2, len(counts)))
    order = np.argsort(counts, kind="stable")
    start = int(np.searchsorted(counts[order], 1))
    while start < len(order):
        most = int(counts[order[start]])
        step = max(1, _MOST_PAIRS // max(most, 1) ** 2)
        chosen = order[start : start + step]
        while counts[chosen[-1]] ** 2 * len(chosen) > 4 * _MOST_PAIRS and len(chosen) > 1:
            chosen = chosen[: (len(chosen) + 1) // 2]
        found[:, chosen] = _measured(_padded(hulls, chosen))
        start += len(chosen)
    return hull_areas(hulls), found[0], found[1]


def _padded(hulls: Hulls, chosen: Ints) -> npt.NDArray[np.float64]:
    """Put hulls into one array (n, most corners, 2); the last corner is repeated."""
    first, counts = hulls.starts[chosen], np.diff(hulls.starts)[chosen]
    at = first[:, None] + np.minimum(np.arange(counts.max()), counts[:, None] - 1)
    return np.stack([hulls.x[at], hulls.y[at]], axis=-1).astype(np.float64)


def _measured(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    following = np.roll(points, -1, axis=1)
    between = points[:, :, None] - points[:, None]  # (n, k, k, 2)
    longest = np.sqrt((between**2).sum(axis=-1).max(axis=(1, 2)))
    sides = following - points
    lengths = np.hypot(sides[..., 0], sides[..., 1])
    # How far every corner lies from the line along each side.
    reach = np.abs(
        sides[:, :, None, 0] * between[..., 1] - sides[:, :, None, 1] * between[..., 0]
    ).max(axis=2)
    widths = np.divide(reach, lengths, out=np.full_like(reach, np.inf), where=lengths > 0)
    return np.stack([longest, widths.min(axis=1)])
