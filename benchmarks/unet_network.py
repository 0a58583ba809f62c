"""A plain U-Net of about 8 million weights that maps a picture to three dense maps."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["STRIDE", "UNet"]

_WIDTHS = (32, 64, 128, 256, 320)
_BLOCKS = (1, 1, 1, 1, 2)
"""Channels and residual blocks at a half, a quarter, ... of the resolution."""
STRIDE = 2 ** len(_WIDTHS)
"""Sides of a picture must be multiples of it."""


class UNet(nn.Module):
    """Residual 3 x 3 blocks from a half to 1/32 of the resolution, skips, full at the end.

    Shapes
    ------
    images  (B, 3, H, W), normalised
    out     (B, 3, H, W) logits: nucleus, distance to the boundary, contact
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.PixelUnshuffle(2), _Convolution(12, _WIDTHS[0]))
        self.down = nn.ModuleList(
            _Stage(width, blocks) for width, blocks in zip(_WIDTHS, _BLOCKS, strict=True)
        )
        self.halve = nn.ModuleList(
            _Convolution(wide, wider, stride=2) for wide, wider in pairwise(_WIDTHS)
        )
        self.narrow = nn.ModuleList(
            _Convolution(wide + wider, wide, kernel=1) for wide, wider in pairwise(_WIDTHS)
        )
        self.up = nn.ModuleList(_Stage(width, blocks=1) for width in _WIDTHS[:-1])
        self.shuffle = nn.Sequential(_Convolution(_WIDTHS[0], 64, kernel=1), nn.PixelShuffle(2))
        self.refine = nn.Sequential(_Convolution(16 + 3, 16), nn.Conv2d(16, 3, 1))

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> logits (B, 3, H, W)."""
        here = self.stem(images)
        skips = []
        for index, stage in enumerate(self.down):
            if index:
                here = self.halve[index - 1](here)
            here = stage(here)
            skips.append(here)
        for index in reversed(range(len(self.up))):
            larger = functional.interpolate(here, scale_factor=2.0, mode="nearest")
            here = self.up[index](self.narrow[index](torch.cat([skips[index], larger], dim=1)))
        return self.refine(torch.cat([self.shuffle(here), images], dim=1))


class _Convolution(nn.Sequential):
    """Convolution, batch norm, ReLU."""

    def __init__(self, inside: int, outside: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inside, outside, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(outside),
            nn.ReLU(inplace=True),
        )


class _Stage(nn.Module):
    """Residual blocks of two 3 x 3 convolutions."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(
                _Convolution(width, width),
                nn.Conv2d(width, width, 3, padding=1, bias=False),
                nn.BatchNorm2d(width),
            )
            for _ in range(blocks)
        )

    def forward(self, here: Tensor) -> Tensor:
        for block in self.blocks:
            here = functional.relu(here + block(here))
        return here
