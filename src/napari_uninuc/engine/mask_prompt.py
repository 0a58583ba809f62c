"""The mask a person sees, as the mask prompt a network takes: tile px -> logit grid of a field."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_uninuc.engine.frame import Frame
from napari_uninuc.engine.requests import OUTSIDE, MaskWindows

__all__ = ["mask_window"]


def mask_window(
    logits: npt.NDArray[np.floating[Any]],
    origin_yx: tuple[int, int],
    frame: Frame,
    grid_hw: tuple[int, int],
) -> MaskWindows:
    """Resample a crop of logits onto the logit grid of a field.

    Where a cell covers more than a pixel it gets the average of the area it covers, so that thin
    parts fade instead of vanishing; where it covers less, neighbours are blended linearly.

    Parameters
    ----------
    logits : (h, w), px of the tile
    origin_yx : first pixel of the crop, px of the tile; the crop may reach past the field
    frame : where the field lies
    grid_hw : cells of the field's logit grid

    Returns
    -------
    window : one, of the cells that the crop can reach; `OUTSIDE` where it does not
    """
    corner, weights = [], []
    for axis in (0, 1):
        cell = frame.input_hw[axis] / grid_hw[axis] / float(frame.scale_yx[axis])
        first = origin_yx[axis] - frame.origin_yx[axis]
        span = _touched(first, logits.shape[axis], cell, grid_hw[axis])
        corner.append(span.start)
        weights.append(_weights(span, cell, first, logits.shape[axis]))
    above = logits.astype(np.float64) - OUTSIDE
    window = (OUTSIDE + weights[0] @ above @ weights[1].T).astype(np.float32)
    return MaskWindows((window,), np.array([corner], np.int64), grid_hw)


def _touched(first: int, length: int, cell: float, n_cells: int) -> range:
    """Cells that pixels ``first .. first + length`` of the field can reach."""
    low = min(max(math.floor(first / cell) - 1, 0), n_cells)
    high = min(math.ceil((first + length) / cell) + 1, n_cells)
    return range(low, max(low, high))


def _weights(cells: range, cell: float, first: int, length: int) -> npt.NDArray[np.float64]:
    """What each pixel adds to each cell, (cells, pixels); rows inside the crop add up to 1."""
    number = np.arange(cells.start, cells.stop, dtype=np.float64)[:, None]
    pixel = first + np.arange(length, dtype=np.float64)[None]
    if cell >= 1:  # shared length of [cell] and [pixel], as a share of the cell
        shared = np.minimum((number + 1) * cell, pixel + 1) - np.maximum(number * cell, pixel)
    else:
        centre = (number + 0.5) * cell - 0.5
        shared, cell = 1 - np.abs(centre - pixel), 1.0
    weights: npt.NDArray[np.float64] = np.clip(shared, 0, None) / cell
    return weights
