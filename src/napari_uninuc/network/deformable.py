"""Multi-scale deformable attention in plain PyTorch (Deformable DETR; used by LW-DETR)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


def sample_levels(values: Sequence[Tensor], locations: Tensor, weights: Tensor) -> Tensor:
    """Weighted sum of bilinear samples over levels and points.

    Shapes
    ------
    values     per level (B * heads, c, H_l, W_l)
    locations  (B, Q, heads, levels, points, 2) xy in [0, 1], pixel corners at the borders
    weights    (B, Q, heads, levels * points)
    returns    (B, Q, heads * c)
    """
    b, q, heads = locations.shape[:3]
    grid = (2 * locations - 1).permute(0, 2, 3, 1, 4, 5).flatten(0, 1)  # (B*h, L, Q, P, 2)
    sampled = torch.cat(
        [
            functional.grid_sample(
                value.float(),
                grid[:, level].float(),  # bfloat16 would move places by up to 2 px in 1,024
                mode="bilinear",
                padding_mode="zeros",
                align_corners=False,
            )
            for level, value in enumerate(values)
        ],
        dim=-1,
    ).to(values[0].dtype)  # (B*h, c, Q, L*P)
    weights = weights.transpose(1, 2).reshape(b * heads, 1, q, -1)
    return (sampled * weights).sum(-1).reshape(b, -1, q).transpose(1, 2)


class DeformableAttention(nn.Module):
    """Each query reads a few points around its box on every level.

    Shapes
    ------
    query      (B, Q, dim)
    boxes      (B, Q, 4) cxcywh in units of the whole map
    levels     per level (B, dim, H_l, W_l)
    returns    (B, Q, dim)
    """

    def __init__(self, dim: int, heads: int, levels: int, points: int) -> None:
        super().__init__()
        self.heads, self.levels, self.points = heads, levels, points
        self.offsets = nn.Linear(dim, heads * levels * points * 2)
        self.weights = nn.Linear(dim, heads * levels * points)
        self.value = nn.Linear(dim, dim)
        self.output = nn.Linear(dim, dim)
        self._start_on_rays()

    def _start_on_rays(self) -> None:
        """Offsets start on one ray per head, one ring per point, as in Deformable DETR."""
        angles = torch.arange(self.heads) * (2.0 * math.pi / self.heads)
        rays = torch.stack([angles.cos(), angles.sin()], dim=-1)
        rays = rays / rays.abs().amax(-1, keepdim=True)
        rings = torch.arange(1, self.points + 1).view(1, 1, -1, 1)
        start = rays.view(self.heads, 1, 1, 2) * rings
        nn.init.zeros_(self.offsets.weight)
        nn.init.zeros_(self.weights.weight)
        nn.init.zeros_(self.weights.bias)
        with torch.no_grad():
            self.offsets.bias.copy_(start.expand(-1, self.levels, -1, -1).flatten())

    def forward(self, query: Tensor, boxes: Tensor, levels: Sequence[Tensor]) -> Tensor:
        """Read the levels for each query; shapes are those of the class."""
        b, q = query.shape[:2]
        shape = (b, q, self.heads, self.levels, self.points)
        offsets = self.offsets(query).view(*shape, 2)
        weights = self.weights(query).view(b, q, self.heads, -1).softmax(-1)
        centre, size = boxes[:, :, None, None, None, :2], boxes[:, :, None, None, None, 2:]
        locations = centre + offsets * size * (0.5 / self.points)
        values = []
        for level in levels:
            value = self.value(level.flatten(2).transpose(1, 2))  # (B, H*W, dim)
            value = value.transpose(1, 2).reshape(b * self.heads, -1, *level.shape[-2:])
            values.append(value)
        return self.output(sample_levels(values, locations, weights))
