"""Bilinear samples of maps, the same on every device."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["sample_at"]


def sample_at(maps: Tensor, grid: Tensor) -> Tensor:
    """Sample maps at places; beyond their border they have the values of the border.

    Places stay in float32 whatever the precision of the maps: bfloat16 would move them by up to
    2 px on a field of 1,024. Apple's GPU has no such border in torch before 2.13, so there places
    are moved to the border themselves, which is the same to the last digits.

    Shapes
    ------
    maps     (N, C, H, W)
    grid     (N, h, w, 2) float32 xy in [-1, 1], the outer edges of the outer pixels
    returns  (N, C, h, w) of the maps' dtype
    """
    kind, maps = maps.dtype, maps.to(grid.dtype)
    if maps.device.type == "mps":
        return _at_moved_places(maps, grid).to(kind)
    found = functional.grid_sample(maps, grid, padding_mode="border", align_corners=False)
    return found.to(kind)


def _at_moved_places(maps: Tensor, grid: Tensor) -> Tensor:
    size = torch.tensor(maps.shape[:1:-1], dtype=grid.dtype, device=grid.device)  # W, H
    most = 1 - 1 / size
    return functional.grid_sample(
        maps, grid.clamp(-most, most), padding_mode="zeros", align_corners=False
    )
