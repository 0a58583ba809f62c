"""Prompts drawn on the logit grid, for the convolutions that read them."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_uninuc.network.prompt_encoder import (
    BOX_BOTTOM_RIGHT,
    BOX_TOP_LEFT,
    NEGATIVE,
    POSITIVE,
    has_click,
)

CLICK_RADIUS = 6.0
"""Input pixels at which a click's influence has fallen to 1/e."""


def draw_hints(
    points_xy: Tensor, labels: Tensor, masks: Tensor | None, grid_hw: tuple[int, int], stride: int
) -> Tensor:
    """Draw clicks, box and previous mask.

    Shapes
    ------
    points_xy  (N, P, 2) input pixels of the window
    labels     (N, P) as in the prompt encoder
    masks      (N, 1, H, W) logits of the previous mask on the logit grid, or None
    returns    (N, 4, H, W) float32 in [0, 1], or [-1, 1] for the box (signed, soft edge)
    """
    box = draw_box(points_xy, labels, grid_hw, stride)
    clicks = [torch.zeros_like(box)] * 2
    if has_click(labels).any():
        squared = click_distances(points_xy, grid_hw, stride)
        clicks = [
            torch.exp(-_distance_map(squared, labels == kind) / CLICK_RADIUS)
            for kind in (POSITIVE, NEGATIVE)
        ]
    previous = torch.zeros_like(box) if masks is None else torch.sigmoid(masks.float()).squeeze(1)
    return torch.stack([*clicks, box, previous], dim=1)


def click_distances(points_xy: Tensor, grid_hw: tuple[int, int], stride: int) -> Tensor:
    """Squared distances (N, P, H, W), input pixels, of cells from points; see `draw_hints`."""
    ys, xs = _centres(grid_hw, stride, points_xy.device)
    dy2 = (ys[None, None] - points_xy[..., 1:]).square()  # (N, P, H)
    dx2 = (xs[None, None] - points_xy[..., :1]).square()  # (N, P, W)
    return dy2.unsqueeze(-1) + dx2.unsqueeze(-2)


def _distance_map(squared: Tensor, chosen: Tensor) -> Tensor:
    """Distance (N, H, W) from the nearest of the chosen points (N, P); infinite without one."""
    return squared.masked_fill(~chosen[..., None, None], torch.inf).amin(dim=1).sqrt()


def _centres(grid_hw: tuple[int, int], stride: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Rows and columns of the cells' centres, in input pixels."""
    ys, xs = ((torch.arange(n, device=device) + 0.5) * stride - 0.5 for n in grid_hw)
    return ys, xs


def draw_box(points_xy: Tensor, labels: Tensor, grid_hw: tuple[int, int], stride: int) -> Tensor:
    """Signed distance to the box, squashed to [-1, 1] over a few pixels; 0 without a box.

    Shapes as in `draw_hints`; returns (N, H, W) float32.
    """
    ys, xs = _centres(grid_hw, stride, points_xy.device)
    corner = labels == BOX_TOP_LEFT
    has_box = corner.any(dim=1)  # (N,)
    first = (points_xy * corner.unsqueeze(-1)).sum(dim=1)  # (N, 2)
    last = (points_xy * (labels == BOX_BOTTOM_RIGHT).unsqueeze(-1)).sum(dim=1)
    in_x = torch.minimum(xs - first[:, :1], last[:, :1] - 1 - xs)  # (N, W)
    in_y = torch.minimum(ys - first[:, 1:], last[:, 1:] - 1 - ys)  # (N, H)
    inside = torch.minimum(in_y.unsqueeze(-1), in_x.unsqueeze(-2)) + 0.5
    return torch.tanh(inside / 3.0) * has_box[:, None, None]
