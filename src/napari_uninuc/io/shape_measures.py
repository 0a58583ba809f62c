"""What the pixels of nuclei measure, thousands of nuclei at once; each measure is one function.

Nuclei lie side by side on a canvas (`io.outlines.Canvas`) with background between and around them,
so that what is asked of a pixel's neighbours is asked of all pixels at once.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["eccentricities", "outline_lengths", "perimeters"]

_STEPS = np.zeros(50)
"""Length of outline that a border pixel stands for, by its neighbours (Benkrid and Crookes
2000, the perimeter of scikit-image)."""
_STEPS[[5, 7, 15, 17, 25, 27]] = 1
_STEPS[[21, 33]] = np.sqrt(2)
_STEPS[[13, 23]] = (1 + np.sqrt(2)) / 2


def perimeters(
    inside: npt.NDArray[np.bool_],
    pixels: npt.NDArray[np.int64],
    owner: npt.NDArray[Any],
    count: int,
) -> npt.NDArray[np.float64]:
    """Measure perimeters as scikit-image does, px.

    Parameters
    ----------
    inside : (h, w), the canvas; its rim is background
    pixels : (N,) flat places of the nuclei's pixels on it, row by row for each nucleus
    owner : (N,) the nucleus of each, 0 to count - 1
    """
    width, flat = inside.shape[1], inside.ravel()
    size = flat.size
    beyond = width + 1  # of any neighbour; so far the rim reaches at least

    def seen(of: npt.NDArray[Any], step: int) -> npt.NDArray[Any]:
        return of[beyond + step : size - beyond + step]

    border = np.zeros(size, np.uint8)
    core = seen(flat, -1) & seen(flat, 1) & seen(flat, -width) & seen(flat, width)
    border[beyond : size - beyond] = seen(flat, 0) & ~core
    straight = seen(border, -1) + seen(border, 1) + seen(border, -width) + seen(border, width)
    corners = sum(seen(border, step) for step in (-width - 1, 1 - width, width - 1, width + 1))
    kinds = np.zeros(size, np.uint8)
    kinds[beyond : size - beyond] = seen(border, 0) + 2 * straight + 10 * corners
    on_border = border[pixels] > 0
    steps = _STEPS[np.minimum(kinds[pixels[on_border]], 49)]
    lengths: npt.NDArray[Any] = np.bincount(owner[on_border], steps, count)
    return lengths


def outline_lengths(owner: npt.NDArray[np.int32], count: int) -> npt.NDArray[np.float64]:
    """Count the sides of pixels at which a nucleus ends, px; its holes have such sides too.

    Parameters
    ----------
    owner : (h, w), the canvas: 0 background, k + 1 is a pixel of nucleus k
    """
    lengths = np.zeros(count + 1)
    for before, after in ((owner[:-1], owner[1:]), (owner[:, :-1], owner[:, 1:])):
        borders = before != after
        for side in (before, after):
            lengths += np.bincount(side[borders], minlength=len(lengths))
    return lengths[1:]


def eccentricities(
    owner: npt.NDArray[Any],
    dy: npt.NDArray[np.float64],
    dx: npt.NDArray[np.float64],
    area: npt.NDArray[np.int64],
) -> npt.NDArray[np.float64]:
    """Of the ellipse with the same second moments: 0 is a circle, towards 1 a line.

    Parameters
    ----------
    owner : (N,) the nucleus of each pixel
    dy, dx : (N,) px from its centroid
    area : (n,) px of each nucleus
    """
    count = len(area)
    yy, xx, xy = (np.bincount(owner, each, count) / area for each in (dy * dy, dx * dx, dx * dy))
    spread = np.sqrt((yy - xx) ** 2 + 4 * xy**2)
    longer, shorter = (yy + xx + spread) / 2, np.maximum((yy + xx - spread) / 2, 0)
    ratio = np.divide(shorter, longer, out=np.ones_like(longer), where=longer > 0)
    found: npt.NDArray[np.float64] = np.sqrt(1 - ratio)
    return found
