"""Prompts -> tokens and a dense map, for a window of any size (paper sec. 2.1)."""

from __future__ import annotations

import torch
from sam2.modeling.sam.prompt_encoder import PromptEncoder as Sam2PromptEncoder
from torch import Tensor

NEGATIVE, POSITIVE, BOX_TOP_LEFT, BOX_BOTTOM_RIGHT, PADDING = 0, 1, 2, 3, -1
"""Point labels; a box is its two corners, as in SAM 2's predictor."""


def has_click(labels: Tensor) -> Tensor:
    """Which prompts (N,) bool have a click, by the labels (N, P) of their points."""
    return ((labels == POSITIVE) | (labels == NEGATIVE)).any(dim=1)


class PromptEncoder(Sam2PromptEncoder):
    """SAM 2's prompt encoder, whose window size is an argument instead of an attribute.

    Parameter names and values are SAM 2's, so its checkpoints load unchanged.
    """

    def __init__(self, dim: int, mask_channels: int = 16) -> None:
        super().__init__(
            embed_dim=dim,
            image_embedding_size=(64, 64),
            input_image_size=(1024, 1024),
            mask_in_chans=mask_channels,
        )

    def tokens(self, points_xy: Tensor, labels: Tensor, window_hw: tuple[int, int]) -> Tensor:
        """Embed points and box corners.

        Shapes
        ------
        points_xy  (N, P, 2) input pixels of the window, pixel centres at integers
        labels     (N, P) NEGATIVE, POSITIVE, BOX_TOP_LEFT, BOX_BOTTOM_RIGHT or PADDING
        returns    (N, P, dim)
        """
        position = self.pe_layer.forward_with_coords(points_xy + 0.5, window_hw)  # (N, P, dim)
        kinds = torch.cat(
            [self.not_a_point_embed.weight, *[e.weight for e in self.point_embeddings]]
        )  # (5, dim)
        real = (labels != PADDING).unsqueeze(-1)
        return position * real + kinds[labels.long() + 1]

    def dense(self, masks: Tensor | None, n: int, grid_hw: tuple[int, int]) -> Tensor:
        """Embed mask prompts (N, 1, 4 h, 4 w) of logits, or the absence of one; (N, dim, h, w)."""
        if masks is None:
            return self.no_mask_embed.weight.reshape(1, -1, 1, 1).expand(n, -1, *grid_hw)
        return self.mask_downscaling(masks)

    def grid_position(self, grid_hw: tuple[int, int]) -> Tensor:
        """Positional encoding of a window's coarse grid, (1, dim, h, w)."""
        return self.pe_layer(grid_hw).unsqueeze(0)
