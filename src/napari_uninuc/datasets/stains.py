"""Amounts of haematoxylin, eosin and DAB in a picture, and back (Ruifrok and Johnston 2001)."""

from __future__ import annotations

import math

import torch
from skimage.color import rgb_from_hed
from torch import Tensor

__all__ = ["RGB_FROM_HED", "amounts_of", "shown"]

RGB_FROM_HED = torch.tensor(rgb_from_hed, dtype=torch.float32)
"""(3, 3) optical density in red, green and blue of one unit of each stain; rows H, E, DAB."""

_HED_FROM_RGB = torch.linalg.inv(RGB_FROM_HED)


def amounts_of(image: Tensor) -> Tensor:
    """Stains of an image.

    Shapes
    ------
    image    (3, H, W) float32 in [0, 1]
    returns  (3, H, W) float32, amounts of haematoxylin, eosin, DAB; a little below 0 is possible
    """
    density = -torch.log(image.clamp(min=1 / 255)) / math.log(10.0)
    return torch.einsum("sr,rhw->shw", _HED_FROM_RGB.T, density)


def shown(amounts: Tensor, vectors: Tensor = RGB_FROM_HED) -> Tensor:
    """The image (3, H, W) in [0, 1] of some amounts, of stains of any colours (3, 3)."""
    density = torch.einsum("sr,shw->rhw", vectors, amounts)
    return torch.pow(10.0, -density).clamp(0, 1)
