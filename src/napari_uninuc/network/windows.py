"""Cutting windows out of an embedding: the price of a prompt must not depend on the tile."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from napari_uninuc.network.mask_decoder import WindowFeatures

FILL = 0.72
"""Longest extent of a nucleus, as a share of the side of the window it is decoded in."""


def cut_windows(
    maps: WindowFeatures, image_index: Tensor, corners_yx: Tensor, cells_hw: tuple[int, int]
) -> WindowFeatures:
    """Crop N windows of equal size, aligned to the coarse grid.

    Shapes
    ------
    maps         features of B whole inputs
    image_index  (N,) which input
    corners_yx   (N, 2) first coarse cell of the window
    cells_hw     window size in coarse cells
    returns      features of N windows
    """
    return WindowFeatures(
        *[
            cut_level(
                level, image_index, corners_yx * scale, (cells_hw[0] * scale, cells_hw[1] * scale)
            )
            for level, scale in zip(maps, (1, 2, 4, 4), strict=True)
        ]
    )


def cut_level(level: Tensor, image_index: Tensor, corners: Tensor, size: tuple[int, int]) -> Tensor:
    """Crop N windows from one map: a look-up, for the gradient of N slices costs N whole maps.

    One window of which no gradient is asked is a slice, on a CPU: elsewhere to ask where it lies
    would wait for the device.

    Shapes
    ------
    level        (B, C, H, W)
    image_index  (N,)
    corners      (N, 2) first cell of each window
    size         rows and columns of a window
    returns      (N, C, rows, columns)
    """
    b, c, h, w = level.shape
    if len(corners) == 1 and level.device.type == "cpu" and not torch.is_grad_enabled():
        (y, x), image = corners[0].tolist(), int(image_index[0])
        return level[image : image + 1, :, y : y + size[0], x : x + size[1]]
    ys = corners[:, :1] + torch.arange(size[0], device=level.device)  # (N, h)
    xs = corners[:, 1:] + torch.arange(size[1], device=level.device)  # (N, w)
    rows = (image_index[:, None, None] * h + ys[:, :, None]) * w + xs[:, None, :]
    table = level.permute(0, 2, 3, 1).reshape(b * h * w, c)  # c may be 0: no such level
    return functional.embedding(rows, table).permute(0, 3, 1, 2)  # (N, C, h, w)


def place_windows(centres_yx: Tensor, side: int, input_hw: tuple[int, int], stride: int) -> Tensor:
    """First coarse cells (N, 2) of square windows around centres, moved to lie inside the input.

    Parameters
    ----------
    centres_yx : (N, 2) input pixels
    side : window side in input pixels, a multiple of ``stride``
    input_hw : at least ``side`` each, multiples of ``stride``
    """
    corner = torch.round((centres_yx - side / 2) / stride).long()
    limit = torch.tensor([(extent - side) // stride for extent in input_hw], device=corner.device)
    return torch.minimum(corner.clamp(min=0), limit.clamp(min=0))
