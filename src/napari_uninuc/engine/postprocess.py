"""Logits -> masks in pixels of the picture."""

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch import Tensor

from napari_uninuc.core.instances import InstanceMask, cut_to_picture, largest_piece
from napari_uninuc.core.outline import keep_meant, tight_crop
from napari_uninuc.engine.frame import Frame
from napari_uninuc.engine.requests import DecodedMasks, PromptBatch
from napari_uninuc.engine.windows import Window
from napari_uninuc.network.sampling import sample_at

__all__ = ["cut_to_tile", "instances_of", "logits_at_picture", "without_crumbs"]

_BARELY = np.float32(0.1)
"""Logit of what is moved to the other side of the outline."""


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
    scale = frame.scale_yx
    corners = corners_yx.cpu().numpy()
    # The first pixel whose centre the window holds; the last may lie half a step past its end.
    first = np.ceil(corners / scale - 0.5 - 1e-9).astype(np.int64)  # (N, 2) px of the field
    count = [math.ceil(side / s) for side, s in zip(window.side_hw, scale.tolist(), strict=True)]
    if window.whole:
        first, count = np.zeros_like(corners), list(frame.shape_hw)
    axes = []
    for axis in (0, 1):
        pixel = first[:, axis, None] + np.arange(count[axis])  # (N, count)
        position = (pixel + 0.5) * scale[axis] - corners[:, axis, None]
        axes.append((2 * position / window.side_hw[axis] - 1).astype(np.float32))
    grid = np.empty((len(first), *count, 2), np.float32)
    grid[..., 0], grid[..., 1] = axes[1][:, None, :], axes[0][:, :, None]
    full = sample_at(logits, torch.from_numpy(grid).to(logits.device))
    origins = first + np.array(frame.origin_yx, np.int64)
    return origins, full.cpu().numpy()


def without_crumbs(answers: DecodedMasks, prompts: PromptBatch) -> DecodedMasks:
    """Drop the pieces and fill the holes of answers that no click of their prompt asked for."""
    logits = answers.logits.copy()
    for k, origin in enumerate(answers.origins_yx):
        places = prompts.points_yx[k] - origin
        inside, outside = (places[prompts.labels[k] == kind].tolist() for kind in (1, 0))
        for layer in logits[k]:
            raw = layer > 0
            meant = keep_meant(raw, inside, outside)
            layer[raw & ~meant] = -_BARELY
            layer[meant & ~raw] = _BARELY
    return replace(answers, logits=logits)


def instances_of(
    masks: DecodedMasks, scores: npt.NDArray[np.float32], classes: npt.NDArray[np.int64]
) -> list[InstanceMask]:
    """The first mask of each answer, without holes and stray pieces; empty ones are left out.

    Parameters
    ----------
    masks : answers to N prompts, px of the picture
    scores : (N,) float32 in [0, 1]
    classes : (N,) int64, from 0

    Returns
    -------
    instances : tight crops in px of the picture, in the order of the answers
    """
    instances = []
    for k, corner in enumerate(masks.origins_yx.tolist()):
        origin, crop = tight_crop(masks.logits[k, 0] > 0, (corner[0], corner[1]))
        if crop.size:
            piece = ndimage.binary_fill_holes(largest_piece(crop))
            origin, crop = tight_crop(piece, origin)
            iou = float(masks.ious[k, 0])
            instances.append(InstanceMask(origin, crop, float(scores[k]), int(classes[k]), iou))
    return instances


def cut_to_tile(mask: InstanceMask, shape: tuple[int, int]) -> InstanceMask:
    """What of a mask lies inside a tile (H, W) px, in a tight crop; it may be empty."""
    (rows, columns), inside = cut_to_picture(mask, shape)
    origin, crop = tight_crop(inside, (rows.start, columns.start))
    return replace(mask, origin_yx=origin, mask=crop)
