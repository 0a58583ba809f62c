"""Where a simulated annotator clicks (micro-sam's protocol, as PathoSAM and UniNuc report it)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from napari_uninuc.core.geometry import label_boxes

_NEAR_PX = 3
"""A negative click without an error to fix falls in the true box grown by this (micro-sam)."""


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """One true nucleus to be outlined.

    Attributes
    ----------
    box_yxyx : tight half-open box in image px
    mask : (y1 - y0, x1 - x0) bool
    """

    box_yxyx: tuple[int, int, int, int]
    mask: np.ndarray


def targets_of(labels: np.ndarray) -> list[Target]:
    """Cut every nucleus out of an (H, W) label image, ids ascending."""
    ids, boxes = label_boxes(labels)
    return [
        Target((y0, x0, y1, x1), labels[y0:y1, x0:x1] == nucleus)
        for nucleus, (y0, x0, y1, x1) in zip(ids.tolist(), boxes.tolist(), strict=True)
    ]


def centre_click(target: Target) -> tuple[int, int]:
    """Find the pixel farthest from the nucleus' border, (y, x) in image px.

    Always inside. The border of the image counts as a border of the nucleus; of several
    pixels equally far the first in reading order is taken.
    """
    depth = ndimage.distance_transform_edt(np.pad(target.mask, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return target.box_yxyx[0] + int(row), target.box_yxyx[1] + int(column)


def correction_clicks(
    target: Target, predicted: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the next two clicks on a predicted mask: one to add, one to remove.

    Parameters
    ----------
    target : the true nucleus
    predicted : (H, W) bool, the whole image
    rng : source of the two draws

    Returns
    -------
    points_yx : (2, 2) int64 in image px
    labels : (2,) int64, [1, 0]
        The positive is uniform over missed pixels or, when none is missed, over the nucleus.
        The negative is uniform over wrong pixels or, when none is wrong, over what is near the
        nucleus but not in it. A nucleus that fills the image has no outside: [1, 1].
    """
    window, truth = _window(target, predicted)
    y0, x0, y1, x1 = window
    shown = predicted[y0:y1, x0:x1]
    missed, wrong = truth & ~shown, shown & ~truth
    positive = _draw(missed if missed.any() else truth, rng)
    outside = wrong if wrong.any() else _near(target, window) & ~truth
    negative = _draw(outside, rng) if outside.any() else positive
    points = np.array([positive, negative]) + np.array([y0, x0])
    return points, np.array([1, int(not outside.any())])


def mask_box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Find the tight half-open yxyx box of an (H, W) bool mask; all zeros where it is empty."""
    rows = np.flatnonzero(mask.any(axis=1))
    if not len(rows):
        return 0, 0, 0, 0
    y0, y1 = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(mask[y0:y1].any(axis=0))
    return y0, int(columns[0]), y1, int(columns[-1]) + 1


def _window(target: Target, predicted: np.ndarray) -> tuple[tuple[int, int, int, int], np.ndarray]:
    """Box that holds the prediction and the target's surroundings, and the truth within it."""
    y0, x0, y1, x1 = _grown(target, predicted.shape)
    shown = mask_box(predicted)
    if shown[2]:
        y0, x0 = min(y0, shown[0]), min(x0, shown[1])
        y1, x1 = max(y1, shown[2]), max(x1, shown[3])
    truth = np.zeros((y1 - y0, x1 - x0), dtype=bool)
    ty0, tx0, ty1, tx1 = target.box_yxyx
    truth[ty0 - y0 : ty1 - y0, tx0 - x0 : tx1 - x0] = target.mask
    return (y0, x0, y1, x1), truth


def _grown(target: Target, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    y0, x0, y1, x1 = target.box_yxyx
    return (
        max(y0 - _NEAR_PX, 0),
        max(x0 - _NEAR_PX, 0),
        min(y1 + _NEAR_PX, shape[0]),
        min(x1 + _NEAR_PX, shape[1]),
    )


def _near(target: Target, window: tuple[int, int, int, int]) -> np.ndarray:
    """Mark the grown box of the target inside a window that holds it."""
    near = np.zeros((window[2] - window[0], window[3] - window[1]), dtype=bool)
    y0, x0, y1, x1 = target.box_yxyx
    near[
        max(y0 - _NEAR_PX - window[0], 0) : y1 + _NEAR_PX - window[0],
        max(x0 - _NEAR_PX - window[1], 0) : x1 + _NEAR_PX - window[1],
    ] = True
    return near


def _draw(region: np.ndarray, rng: np.random.Generator) -> tuple[int, int]:
    """Draw one marked pixel, all alike; `region` must hold one."""
    marked = np.flatnonzero(region)
    return divmod(int(marked[rng.integers(len(marked))]), region.shape[1])
