"""Where a simulated annotator clicks (micro-sam's protocol, as PathoSAM and UniNuc report it)."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from napari_uninuc.evaluation.crops import Box, Crop

_NEAR_PX = 3
"""A negative click without an error to fix falls in the true box grown by this (micro-sam)."""


def centre_click(target: Crop) -> tuple[int, int]:
    """Find the pixel farthest from the nucleus' border, (y, x) in image px.

    Always inside. The border of the image counts as a border of the nucleus; of several
    pixels equally far the first in reading order is taken.
    """
    depth = ndimage.distance_transform_edt(np.pad(target.mask, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return target.box_yxyx[0] + int(row), target.box_yxyx[1] + int(column)


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
    near = _grown(target.box_yxyx, shape)
    window = _hull(near, predicted.box_yxyx) if predicted.area else near
    truth, shown = target.within(window), predicted.within(window)
    missed, wrong = truth & ~shown, shown & ~truth
    positive = _draw(missed if missed.any() else truth, rng)
    outside = wrong if wrong.any() else _marked(near, window) & ~truth
    negative = _draw(outside, rng) if outside.any() else positive
    points = np.array([positive, negative]) + np.array(window[:2])
    return points, np.array([1, int(not outside.any())])


def _grown(box: Box, shape: tuple[int, int]) -> Box:
    y0, x0, y1, x1 = box
    return (
        max(y0 - _NEAR_PX, 0),
        max(x0 - _NEAR_PX, 0),
        min(y1 + _NEAR_PX, shape[0]),
        min(x1 + _NEAR_PX, shape[1]),
    )


def _hull(first: Box, second: Box) -> Box:
    return (
        min(first[0], second[0]),
        min(first[1], second[1]),
        max(first[2], second[2]),
        max(first[3], second[3]),
    )


def _marked(box: Box, window: Box) -> np.ndarray:
    """Mark a box inside a window that holds it."""
    marked = np.zeros((window[2] - window[0], window[3] - window[1]), dtype=bool)
    marked[box[0] - window[0] : box[2] - window[0], box[1] - window[1] : box[3] - window[1]] = True
    return marked


def _draw(region: np.ndarray, rng: np.random.Generator) -> tuple[int, int]:
    """Draw one marked pixel, all alike; `region` must hold one."""
    marked = np.flatnonzero(region)
    return divmod(int(marked[rng.integers(len(marked))]), region.shape[1])
