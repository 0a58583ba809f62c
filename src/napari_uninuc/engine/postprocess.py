"""Logits -> masks in pixels of the picture."""

import math

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.engine.frame import Frame
from napari_uninuc.engine.requests import DecodedMasks
from napari_uninuc.engine.windows import Window

__all__ = ["instances_of", "logits_at_picture"]


def logits_at_picture(
    logits: Tensor, corners_yx: Tensor, window: Window, frame: Frame
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Resample window logits at the centres of the picture's pixels.

    Parameters
    ----------
    logits : (N, K, h, w) on the logit grid of the window
    corners_yx : (N, 2) first input px of each window

    Returns
    -------
    origins_yx : (N, 2) int64, first pixel of each crop, px of the picture
    logits : (N, K, H, W) float32; crops of one size, which may reach past the picture
    """
    scale = torch.from_numpy(frame.scale_yx)
    corners = corners_yx.cpu()
    # The first pixel whose centre the window holds; the last may lie half a step past its end.
    first = torch.ceil(corners / scale - 0.5 - 1e-9).long()  # (N, 2) px of the field
    count = [math.ceil(side / s) for side, s in zip(window.side_hw, scale.tolist(), strict=True)]
    if window.whole:
        first, count = torch.zeros_like(corners), list(frame.shape_hw)
    axes = []
    for axis in (0, 1):
        pixel = first[:, axis, None] + torch.arange(count[axis])  # (N, count)
        position = (pixel + 0.5) * scale[axis] - corners[:, axis, None]
        axes.append((2 * position / window.side_hw[axis] - 1).float().to(logits.device))
    ys, xs = axes
    grid = torch.stack(
        [xs[:, None, :].expand(-1, count[0], -1), ys[:, :, None].expand(-1, -1, count[1])], dim=-1
    )
    full = functional.grid_sample(logits, grid, padding_mode="border", align_corners=False)
    origins = first.numpy() + np.array(frame.origin_yx, np.int64)
    return origins, full.cpu().numpy()


def instances_of(
    masks: DecodedMasks, scores: npt.NDArray[np.float32], classes: npt.NDArray[np.int64]
) -> list[InstanceMask]:
    """The first mask of each answer, without holes and stray pieces; empty ones are left out."""
    instances = []
    for k in range(len(masks)):
        mask = _one_piece(masks.logits[k, 0] > 0)
        if mask is None:
            continue
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        y, x = int(rows[0]), int(columns[0])
        crop = mask[y : rows[-1] + 1, x : columns[-1] + 1]
        origin = (int(masks.origins_yx[k, 0]) + y, int(masks.origins_yx[k, 1]) + x)
        iou = float(masks.ious[k, 0])
        instances.append(InstanceMask(origin, crop.copy(), float(scores[k]), int(classes[k]), iou))
    return instances


def _one_piece(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_] | None:
    pieces, count = ndimage.label(mask)
    if count == 0:
        return None
    if count > 1:
        mask = pieces == 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
    filled: npt.NDArray[np.bool_] = ndimage.binary_fill_holes(mask)
    return filled
