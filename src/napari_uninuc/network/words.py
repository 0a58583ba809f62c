"""Texts become vectors that paint: learnable queries read the picture, then the text.

PathSegmentor's joint feature interaction (sec. 4.2) at our size. Each query looks at the coarse
pixels (cross-attention), then queries and the tokens of the text look at each other
(self-attention); a mask projection makes of each query a vector that paints, a class projection
says how well that candidate fits the text, and the best one is taken.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Candidates", "Words", "WordsConfig"]


@dataclass(frozen=True, slots=True)
class WordsConfig:
    """Size of what reads words.

    Attributes
    ----------
    text_dim : of the vectors that a text encoder gives
    queries : candidates for each text, the paper's n
    heads, layers : of the attention
    """

    text_dim: int
    queries: int = 4
    heads: int = 4
    layers: int = 2


@dataclass(frozen=True, slots=True)
class Candidates:
    """What P texts, each on one of B inputs, ask for.

    Shapes
    ------
    vectors   (P, n, V), each paints a mask
    fit       (P, n), cosine of the class embedding and the text, in [-1, 1]
    """

    vectors: Tensor
    fit: Tensor

    def best(self) -> Tensor:
        """The vector that fits its text best, (P, V)."""
        row = torch.arange(len(self.fit), device=self.fit.device)
        return self.vectors[row, self.fit.argmax(dim=1)]


class Words(nn.Module):
    """Queries that read pixels and text.

    Parameters
    ----------
    width : of the pixels, and of everything inside
    vector : length of a vector that paints
    """

    def __init__(self, config: WordsConfig, width: int, vector: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(config.queries, width) * 0.02)
        self.text = nn.Linear(config.text_dim, width)
        self.layers = nn.ModuleList(_Layer(width, config.heads) for _ in range(config.layers))
        self.mask = nn.Sequential(
            *(nn.Linear(width, width), nn.GELU()),
            *(nn.Linear(width, width), nn.GELU()),
            nn.Linear(width, vector),
        )
        self.fits = nn.Linear(width, width)

    def forward(self, coarse: Tensor, texts: Tensor, index: Tensor) -> Candidates:
        """Ask for P texts.

        Shapes
        ------
        coarse  (B, width, h, w)
        texts   (P, L, D), the tokens of each text; the last stands for the whole of it
        index   (P,) which input each is asked of
        """
        seen = coarse.flatten(2).transpose(1, 2)[index]  # (P, h w, width)
        text = self.text(texts)  # (P, L, width)
        n = len(self.queries)
        queries = self.queries.expand(len(texts), -1, -1)
        for layer in self.layers:
            queries, text = layer(queries, text, seen)
        whole = text[:, -1:]  # the paper's global embedding
        fit = functional.cosine_similarity(self.fits(queries), whole, dim=-1)
        return Candidates(self.mask(queries).reshape(len(texts), n, -1), fit)


class _Layer(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.look = nn.MultiheadAttention(width, heads, batch_first=True)
        self.meet = nn.MultiheadAttention(width, heads, batch_first=True)
        self.think = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))

    def forward(self, queries: Tensor, text: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        looked, _ = self.look(queries, seen, seen, need_weights=False)
        joint = torch.cat([self.norms[0](queries + looked), text], dim=1)
        met, _ = self.meet(joint, joint, joint, need_weights=False)
        joint = self.norms[1](joint + met)
        joint = self.norms[2](joint + self.think(joint))
        n = queries.shape[1]
        return joint[:, :n], joint[:, n:]
