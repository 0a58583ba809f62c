"""Windows of crops for a decoder of next points: what is in them, and what is drawn at points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from napari_uninuc.network.point_tokens import PAD, PointGrammar
from napari_uninuc.network.uninuc import Embedding, UniNuc, WindowPrompts
from napari_uninuc.network.windows import place_windows
from napari_uninuc.training.clicks import box_prompt

__all__ = ["Windows", "centroids_of", "masks_at", "stacked", "token_hits"]


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows of a batch of crops, and what is in them.

    Attributes
    ----------
    image_index : (N,) int64
    corners_yx : (N, 2) int64, first cell; may lie outside the crop
    points_yx : of each window (n, 2) float32 centroids, px of the window
    """

    image_index: Tensor
    corners_yx: Tensor
    points_yx: list[Tensor]


def masks_at(
    model: UniNuc, embedding: Embedding, image: int, places_yx: Tensor, boxes: Tensor
) -> Tensor:
    """Masks of points of one crop: the box that the detector gives their cell, decoded.

    Shapes
    ------
    places_yx  (n, 2) input px of the crop
    boxes      (B, 4, h, w) of `Detector.boxes_of_cells`
    returns    (n, H, W) bool on the crop's grid of logits
    """
    config = model.config
    height, width = embedding.size_hw
    stride = config.logit_stride
    painted = torch.zeros(
        len(places_yx), height // stride, width // stride, dtype=torch.bool, device=boxes.device
    )
    if len(places_yx) == 0:
        return painted
    cell = width // boxes.shape[-1]
    rows, columns = (places_yx / cell).long().unbind(1)
    centre, size = boxes[image][:, rows, columns].t().split(2, dim=1)
    side = config.mask.window or width
    corners = place_windows(centre.flip(1), side, (height, width), config.coarse_stride)
    origin = corners.flip(1) * config.coarse_stride  # xy
    centre = centre - origin
    points, kinds = box_prompt(torch.cat([centre - size / 2, centre + size / 2], dim=1).float())
    whose = torch.full((len(places_yx),), image, device=boxes.device)
    prompts = WindowPrompts(whose, corners, (side // config.coarse_stride,) * 2, points, kinds)
    logits, _ = model.decode_uncorrected(embedding, prompts)
    for k, (y, x) in enumerate((corners * config.coarse_stride // stride).tolist()):
        h, w = logits.shape[-2:]
        painted[k, y : y + h, x : x + w] = logits[k, 0] > 0
    return painted


def centroids_of(labels: Tensor) -> Tensor:
    """Mean positions (n, 2) float32, yx px, of ids 1..n of a crop (H, W)."""
    flat = labels.flatten()
    n = int(flat.max()) if len(flat) else 0
    width = labels.shape[1]
    at = torch.arange(len(flat), device=labels.device)
    places = torch.stack([at // width, at % width], dim=1).float()
    sums = torch.zeros(n + 1, 2, device=labels.device).index_add_(0, flat, places)
    counts = torch.bincount(flat, minlength=n + 1)[:, None]
    return (sums / counts.clamp(min=1))[1:]


def token_hits(hits: np.ndarray, length: int) -> Tensor:
    """Which tokens of a well-formed sequence belong to true (1) and false (-1) points.

    Coordinates alone do; start, separators and end belong to none (0).

    Returns
    -------
    hits : (length,) int64
    """
    told = torch.zeros(length, dtype=torch.long)
    for k, hit in enumerate(hits.tolist()):
        told[1 + 3 * k : 3 + 3 * k] = 1 if hit else -1
    return told


def stacked(grammar: PointGrammar, points_yx: Sequence[Tensor], device: torch.device) -> Tensor:
    """Sequences (N, L) of windows, `PAD` after their ends."""
    said = [grammar.tokens_of(points) for points in points_yx]
    tokens = torch.full((len(said), max(map(len, said))), PAD, dtype=torch.long)
    for row, sequence in zip(tokens, said, strict=True):
        row[: len(sequence)] = torch.tensor(sequence)
    return tokens.to(device)
