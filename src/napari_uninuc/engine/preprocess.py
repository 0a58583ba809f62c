"""Picture -> normalised input tensor."""

import torch
from torch import Tensor
from torch.nn import functional

from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.frame import Frame

__all__ = ["PREPROCESS_VERSION", "make_input"]

PREPROCESS_VERSION = 1
"""Part of every cache key; raise it when the same picture gives another tensor."""


def make_input(
    tile: Tile,
    frame: Frame,
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
    device: torch.device,
) -> Tensor:
    """Crop, resize, normalise and pad a field.

    Returns
    -------
    image : (1, 3, H, W) float32, channels last, ``frame.input_hw``
        Padding repeats the border, which no batch norm mistakes for tissue's end.
    """
    y0, x0 = frame.origin_yx
    height, width = frame.shape_hw
    crop = torch.tensor(tile.rgb[y0 : y0 + height, x0 : x0 + width], device=device)
    image = crop.permute(2, 0, 1)[None].float() / 255
    if frame.content_hw != frame.shape_hw:
        image = functional.interpolate(
            image, size=frame.content_hw, mode="bilinear", align_corners=False, antialias=True
        )
    scale = torch.tensor(std, device=device).view(1, 3, 1, 1)
    image = (image - torch.tensor(mean, device=device).view(1, 3, 1, 1)) / scale
    bottom, right = (
        frame.input_hw[0] - frame.content_hw[0],
        frame.input_hw[1] - frame.content_hw[1],
    )
    if bottom or right:
        image = functional.pad(image, (0, right, 0, bottom), mode="replicate")
    return image.contiguous(memory_format=torch.channels_last)
