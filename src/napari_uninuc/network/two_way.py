"""SAM 2's two-way transformer, with the work of its decoder windows in mind.

The weights, their names and what comes out are SAM 2's. A window has some 64 image tokens and 10
others, for which attention by `scaled_dot_product_attention` costs more than all matrix products
around it.
"""

from __future__ import annotations

import torch
from sam2.modeling.sam.transformer import Attention, TwoWayAttentionBlock
from sam2.modeling.sam.transformer import TwoWayTransformer as Sam2TwoWayTransformer
from torch import Tensor
from torch.nn import functional

__all__ = ["TwoWayTransformer"]

_MANY = 4
"""So many queries a key, and all heads are computed in one product."""


class TwoWayTransformer(Sam2TwoWayTransformer):
    """Tokens attend to an image and the image to the tokens, layer by layer."""

    def forward(
        self, image_embedding: Tensor, image_pe: Tensor, point_embedding: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Update tokens and image.

        Shapes
        ------
        image_embedding  (N, C, h, w)
        image_pe         (1 or N, C, h, w)
        point_embedding  (N, T, C), added to the tokens wherever they attend
        returns          tokens (N, T, C), image (N, h w, C)
        """
        image = image_embedding.flatten(2).transpose(1, 2)  # (N, h w, C)
        position = image_pe.flatten(2).transpose(1, 2)
        tokens = point_embedding
        for layer in self.layers:
            tokens, image = _layer(layer, tokens, image, point_embedding, position)
        found = _attend(
            self.final_attn_token_to_image, tokens + point_embedding, image + position, image
        )
        return self.norm_final_attn(tokens + found), image


def _layer(
    of: TwoWayAttentionBlock, tokens: Tensor, image: Tensor, token_pe: Tensor, image_pe: Tensor
) -> tuple[Tensor, Tensor]:
    """Tokens among themselves, to the image, through the MLP; then the image to the tokens."""
    if of.skip_first_layer_pe:
        tokens = _attend(of.self_attn, tokens, tokens, tokens)
    else:
        placed = tokens + token_pe
        tokens = tokens + _attend(of.self_attn, placed, placed, tokens)
    tokens = of.norm1(tokens)
    placed_image = image + image_pe
    found = _attend(of.cross_attn_token_to_image, tokens + token_pe, placed_image, image)
    tokens = of.norm2(tokens + found)
    tokens = of.norm3(tokens + of.mlp(tokens))
    told = _attend(of.cross_attn_image_to_token, placed_image, tokens + token_pe, tokens)
    return tokens, of.norm4(image + told)


def _attend(of: Attention, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """One attention: (N, Q, C) of (N, K, C) -> (N, Q, C)."""
    q, k, v = of.q_proj(q), of.k_proj(k), of.v_proj(v)
    heads: int = of.num_heads
    if q.shape[1] >= _MANY * k.shape[1] and q.device.type == "cpu":
        return of.out_proj(_of_few_keys(q, k, v, heads))
    q, k, v = (x.unflatten(2, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    out = functional.scaled_dot_product_attention(q, k, v)
    return of.out_proj(out.transpose(1, 2).flatten(2))


def _of_few_keys(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """Attention to few keys, all heads in one product; on CPUs 3 to 6 times as fast.

    Keys and values of the heads lie in the blocks of a matrix that is zero elsewhere. The softmax
    runs over the middle axis: over a last axis of ten it costs ten times as much as the rest.
    """
    n, many, width = q.shape
    few = k.shape[1]
    scores = torch.bmm(_in_blocks(k * (width // heads) ** -0.5, heads), q.transpose(1, 2))
    shares = scores.view(n, heads, few, many).softmax(dim=2).view(n, heads * few, many)
    return torch.bmm(shares.transpose(1, 2), _in_blocks(v, heads))


def _in_blocks(x: Tensor, heads: int) -> Tensor:
    """(N, K, C) -> (N, heads K, C): the rows of each head, zero beside its own columns."""
    n, few, width = x.shape
    blocks = x.new_zeros(n, heads, few, heads, width // heads)
    own = blocks.diagonal(dim1=1, dim2=3)  # (N, K, C / heads, heads)
    own.copy_(x.view(n, few, heads, -1).transpose(2, 3))
    return blocks.view(n, heads * few, width)
