"""Clicks of a simulated annotator in a picture, where `napari_uninuc.core.clicking` says."""

from __future__ import annotations

import numpy as np

from napari_uninuc.core.clicking import correction_regions, deepest_pixel, near_box
from napari_uninuc.evaluation.crops import Box, Crop


def centre_click(target: Crop) -> tuple[int, int]:
    """Find the pixel farthest from the nucleus' border, (y, x) in image px; always inside."""
    row, column = deepest_pixel(target.mask)
    return target.box_yxyx[0] + row, target.box_yxyx[1] + column


def correction_clicks(
    target: Crop, predicted: Crop, shape: tuple[int, int], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the next two clicks on a predicted mask: one to add, one to remove.

    Parameters
    ----------
    target : the true nucleus
    predicted : may be empty
    shape : (H, W) of the image
    rng : source of the two draws

    Returns
    -------
    points_yx : (2, 2) int64 in image px
    labels : (2,) int64, [1, 0]
        The positive is uniform over missed pixels or, when none is missed, over the nucleus.
        The negative is uniform over wrong pixels or, when none is wrong, over what is near the
        nucleus but not in it. A nucleus that fills the image has no outside: [1, 1].
    """
    near = near_box(target.box_yxyx, shape)
    window = _hull(near, predicted.box_yxyx) if predicted.area else near
    y, x = window[:2]
    here = near[0] - y, near[1] - x, near[2] - y, near[3] - x
    inside, outside = correction_regions(target.within(window), predicted.within(window), here)
    positive = _draw(inside, rng)
    negative = _draw(outside, rng) if outside.any() else positive
    points = np.array([positive, negative]) + np.array(window[:2])
    return points, np.array([1, int(not outside.any())])


def _hull(first: Box, second: Box) -> Box:
    return (
        min(first[0], second[0]),
        min(first[1], second[1]),
        max(first[2], second[2]),
        max(first[3], second[3]),
    )


def _draw(region: np.ndarray, rng: np.random.Generator) -> tuple[int, int]:
    """Draw one marked pixel, all alike; `region` must hold one."""
    marked = np.flatnonzero(region)
    return divmod(int(marked[rng.integers(len(marked))]), region.shape[1])
