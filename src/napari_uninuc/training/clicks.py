"""Simulated users: first prompts and corrections, in window pixels (paper sec. 2.1).

Chance is always drawn on the CPU and then moved: a seed is the same run on every device.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from napari_uninuc.core.clicking import correction_regions, deepest_pixel, near_box
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


def protocol_clicks(
    predicted: Tensor, truth: Tensor, boxes_xyxy: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """`corrections`, but always two clicks, as `napari_uninuc.core.clicking` has them.

    Shapes
    ------
    predicted, truth  (N, H, W) bool
    boxes_xyxy        (N, 4) true boxes in pixels of the same window
    returns           xy (N, 2, 2), labels (N, 2)
    """
    regions = []
    masks = predicted.cpu().numpy(), truth.cpu().numpy()
    for shown, nucleus, (x0, y0, x1, y1) in zip(*masks, boxes_xyxy.long().tolist(), strict=True):
        near = near_box((y0, x0, y1, x1), nucleus.shape)
        regions.append(np.stack(correction_regions(nucleus, shown, near)))
    inside, outside = torch.from_numpy(np.stack(regions, axis=1)).to(truth.device)
    positive, _ = random_pixels(inside, generator)
    negative, there = random_pixels(outside, generator)
    negative = torch.where(there[:, None], negative, positive)
    kinds = torch.where(there, NEGATIVE, POSITIVE)
    return (
        torch.stack([positive, negative], dim=1),
        torch.stack([torch.full_like(kinds, POSITIVE), kinds], dim=1),
    )


def deepest_pixels(region: Tensor) -> Tensor:
    """The pixel of each region (N, H, W) that is farthest from its border: xy (N, 2) float32."""
    found = [deepest_pixel(mask)[::-1] for mask in region.cpu().numpy()]
    return torch.tensor(found, dtype=torch.float32, device=region.device)


def point_prompt(points_xy: Tensor) -> tuple[Tensor, Tensor]:
    """One click each (N, 2) -> the tokens of a first click, as many as a box has."""
    n = len(points_xy)
    points = torch.cat([points_xy[:, None], points_xy.new_zeros(n, 2, 2)], dim=1)
    kinds = torch.tensor([POSITIVE, PADDING, PADDING], device=points_xy.device)
    return points, kinds.expand(n, -1)


def box_prompt(boxes_xyxy: Tensor) -> tuple[Tensor, Tensor]:
    """Boxes (N, 4) -> SAM 2's three tokens: both corners and a padding point."""
    n = boxes_xyxy.shape[0]
    points = torch.cat([boxes_xyxy.reshape(n, 2, 2), boxes_xyxy.new_zeros(n, 1, 2)], dim=1)
    kinds = torch.tensor([BOX_TOP_LEFT, BOX_BOTTOM_RIGHT, PADDING], device=boxes_xyxy.device)
    return points, kinds.expand(n, -1)


def jitter_boxes(boxes_xyxy: Tensor, relative: float, generator: torch.Generator) -> Tensor:
    """Move each edge by a normal error of ``relative`` times the side, by twice that at most.

    Shapes
    ------
    boxes_xyxy  (N, 4) px
    returns     (N, 4) px; sides of 1 px or more
    """
    size = (boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]).repeat(1, 2)
    noise = torch.randn(boxes_xyxy.shape, generator=generator).to(boxes_xyxy.device)
    moved = boxes_xyxy + noise.clamp(-2, 2) * relative * size
    return torch.cat([moved[:, :2], torch.maximum(moved[:, 2:], moved[:, :2] + 1)], dim=1)
