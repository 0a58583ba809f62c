"""What the detector offers for a click: the box of a nucleus that was clicked near its middle.

A click says where a nucleus is and not how large it is; the detector has looked at that already.
Its box alone is no better than the click where the tissue is new to it, so it has a quarter of the
say, and none where it means something else than the click (docs/experiments.md).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_uninuc.core.detections import Detections
from napari_uninuc.engine.requests import PromptBatch

__all__ = ["first_clicks", "joined", "offered_boxes"]

_LEAST = 0.15
"""Root of the detector's score, less what the click lies off the middle: below it, no box."""
_OFF_CENTRE = 1.8
"""What each side's length off the middle takes away from 1."""
_SAY = 0.25
_AGREES = 0.3
"""IoU of both answers from which on they mean the same nucleus."""


def first_clicks(prompts: PromptBatch) -> npt.NDArray[np.float32]:
    """The one click of each of N prompts, (N, 2) px of the picture.

    NaN where more is known than one click inside: whatever else is asked beside a click, it is
    answered as alone.
    """
    clicks = np.full((len(prompts), 2), np.nan, np.float32)
    if prompts.boxes_yxyx is None and prompts.previous is None:
        told, inside = prompts.labels >= 0, prompts.labels == 1
        rows = np.flatnonzero((told.sum(axis=1) == 1) & inside.any(axis=1))
        clicks[rows] = prompts.points_yx[rows, inside[rows].argmax(axis=1)]
    return clicks


def offered_boxes(
    found: Detections, clicks_yx: npt.NDArray[np.floating]
) -> npt.NDArray[np.float32]:
    """The best box for each of N clicks, (N, 4) px of the picture; NaN where none will do.

    Parameters
    ----------
    found : all boxes of the field
    clicks_yx : (N, 2) px of the picture; NaN for what is no first click
    """
    offered = np.full((len(clicks_yx), 4), np.nan, np.float32)
    boxes = found.boxes_yxyx.astype(np.float64)
    if not len(boxes):
        return offered
    middles, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    roots = np.sqrt(found.scores.astype(np.float64))
    clicks = np.asarray(clicks_yx, np.float64) + 0.5
    for row in np.flatnonzero(np.isfinite(clicks).all(axis=1)).tolist():
        click = clicks[row]
        off = (np.abs(middles - click) / np.maximum(sides, 1e-6)).max(axis=1)
        worth = np.where(off <= 0.5, roots * (1 - _OFF_CENTRE * off), 0.0)
        best = int(worth.argmax())
        if worth[best] >= _LEAST:
            offered[row] = found.boxes_yxyx[best]
    return offered


def joined(logits: Tensor, other: Tensor) -> Tensor:
    """Answers to clicks, with the say of the detector's boxes where both mean the same.

    Shapes
    ------
    logits   (N, K, h, w), of the click
    other    (N, 1, h, w), of click and box
    returns  (N, K, h, w)
    """
    mine, its = logits > 0, other > 0
    both = (mine & its).sum(dim=(2, 3))
    either = (mine | its).sum(dim=(2, 3)).clamp(min=1)
    agrees = both >= _AGREES * either
    return torch.where(agrees[..., None, None], torch.lerp(logits, other, _SAY), logits)
