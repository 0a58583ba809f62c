"""Simulated users: first prompts and corrections, in window pixels (paper sec. 2.1).

Chance is always drawn on the CPU and then moved: a seed is the same run on every device.
"""

from __future__ import annotations

import torch
from torch import Tensor

from napari_uninuc.network.prompt_encoder import (
    BOX_BOTTOM_RIGHT,
    BOX_TOP_LEFT,
    NEGATIVE,
    PADDING,
    POSITIVE,
)


def random_pixels(region: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """One uniformly random pixel of each region.

    Shapes
    ------
    region   (N, H, W) bool
    returns  xy (N, 2) float32, found (N,) bool; xy is arbitrary where the region is empty
    """
    n, _, width = region.shape
    noise = torch.rand(region.shape, generator=generator).to(region.device)
    flat = (noise * region).reshape(n, -1).argmax(1)
    xy = torch.stack([flat % width, flat // width], dim=1).float()
    return xy, region.reshape(n, -1).any(1)


def corrections(
    predicted: Tensor, truth: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """A positive click in what was missed and a negative one in what was added, if any.

    Shapes
    ------
    predicted, truth  (N, H, W) bool
    returns           xy (N, 2, 2), labels (N, 2); PADDING where there is nothing to correct
    """
    positive, missed = random_pixels(truth & ~predicted, generator)
    negative, added = random_pixels(predicted & ~truth, generator)
    labels = torch.stack(
        [torch.where(missed, POSITIVE, PADDING), torch.where(added, NEGATIVE, PADDING)], dim=1
    )
    return torch.stack([positive, negative], dim=1), labels


def box_prompt(boxes_xyxy: Tensor) -> tuple[Tensor, Tensor]:
    """Boxes (N, 4) -> SAM 2's three tokens: both corners and a padding point."""
    n = boxes_xyxy.shape[0]
    points = torch.cat([boxes_xyxy.reshape(n, 2, 2), boxes_xyxy.new_zeros(n, 1, 2)], dim=1)
    kinds = torch.tensor([BOX_TOP_LEFT, BOX_BOTTOM_RIGHT, PADDING], device=boxes_xyxy.device)
    return points, kinds.expand(n, -1)


def jitter_boxes(boxes_xyxy: Tensor, relative: float, generator: torch.Generator) -> Tensor:
    """Move each edge by a normal error of ``relative`` times the side; sides stay positive."""
    size = (boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]).repeat(1, 2)
    noise = torch.randn(boxes_xyxy.shape, generator=generator).to(boxes_xyxy.device)
    moved = boxes_xyxy + noise.clamp(-2, 2) * relative * size
    return torch.cat([moved[:, :2], torch.maximum(moved[:, 2:], moved[:, :2] + 1)], dim=1)
