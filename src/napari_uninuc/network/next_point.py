"""A small decoder that writes nuclei down one after the other (NuNext, sec. 3, at our size).

The paper's language model of 3 billion weights is here a causal transformer that reads the
features which are cached for a click: tokens of a window, each with the code of its place. Two
things help so small a network, and are ours. Coordinate tokens and places share their codes, so
that "beside the last point" is a scalar product; and what the last look at the window says, summed
over rows or columns, is added to the logits of the coordinates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_uninuc.network.point_tokens import PointGrammar
from napari_uninuc.network.windows import cut_level

__all__ = ["Memory", "NextPointConfig", "PointDecoder", "PointLayer"]

_AUXILIARY = 3
"""Maps of `napari_uninuc.network.uninuc.DenseHead`."""


@dataclass(frozen=True, slots=True)
class NextPointConfig:
    """Size of the decoder, and how a field is cut for it.

    Attributes
    ----------
    channels : of the three maps the detector reads, finest first
    stride : input px a cell of the middle one of them
    window : side of what is seen and written down at once, input px; a multiple of ``stride``
    margin : outermost px of a window whose points its neighbours write; a multiple of ``stride``
    bins : coordinate tokens, the paper's K
    dim, heads, layers, mlp_dim : of the transformer
    latents : tokens before the first point, the paper's chain of visual thought; 0 has none
    prompt_dim : width of the mask decoder's tokens, which latents are turned into
    """

    channels: tuple[int, int, int] = (64, 128, 128)
    stride: int = 8
    window: int = 160
    margin: int = 16
    bins: int = 80
    dim: int = 256
    heads: int = 8
    layers: int = 4
    mlp_dim: int = 1024
    latents: int = 8
    prompt_dim: int = 128

    @property
    def cells(self) -> int:
        """Side of a window in cells."""
        return self.window // self.stride

    @property
    def grammar(self) -> PointGrammar:
        """Tokens of a window."""
        return PointGrammar(self.window, self.bins)


@dataclass(frozen=True, slots=True)
class Memory:
    """What every step reads of N windows.

    Shapes
    ------
    keys, values  (N, heads, cells ** 2, dim / heads), the same for every layer
    places        (N, cells ** 2, dim), keys of the last look
    """

    keys: Tensor
    values: Tensor
    places: Tensor

    def take(self, index: Tensor) -> Memory:
        """Some of the windows, or some of them several times."""
        return Memory(self.keys[index], self.values[index], self.places[index])


class _Mixing(nn.Conv2d):
    """A convolution of one cell, as a product: on CPUs PyTorch takes a slow way for it."""

    def forward(self, x: Tensor) -> Tensor:
        mixed = functional.linear(x.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias)
        return mixed.permute(0, 3, 1, 2)


class PointLayer(nn.Module):
    """Sees what was said, then what there is to see, then thinks; the same memory in each."""

    def __init__(self, config: NextPointConfig) -> None:
        super().__init__()
        dim = config.dim
        self.heads = config.heads
        self.own = nn.Linear(dim, 3 * dim)
        self.own_out = nn.Linear(dim, dim)
        self.ask = nn.Linear(dim, dim)
        self.read_out = nn.Linear(dim, dim)
        self.mlp = nn.Sequential(
            nn.Linear(dim, config.mlp_dim), nn.GELU(), nn.Linear(config.mlp_dim, dim)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(3))

    def split(self, x: Tensor) -> Tensor:
        """(N, T, dim) -> (N, heads, T, dim / heads)."""
        n, t, _ = x.shape
        return x.reshape(n, t, self.heads, -1).transpose(1, 2)

    def forward(self, x: Tensor, bias: Tensor, memory: Memory) -> Tensor:
        """Take states (N, L, dim) one layer on; ``bias`` is that of `PointDecoder.nearness`."""
        query, key, value = (self.split(part) for part in self.own(self.norms[0](x)).chunk(3, -1))
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        x = x + self.own_out(_joined(mixed))
        # Sequences of one window ask together: their memory is not copied.
        windows = len(memory.keys)
        asked = self.split(self.ask(self.norms[1](x)).reshape(windows, -1, x.shape[-1]))
        seen = functional.scaled_dot_product_attention(asked, memory.keys, memory.values)
        x = x + self.read_out(_joined(seen).reshape(x.shape))
        written: Tensor = x + self.mlp(self.norms[2](x))
        return written


class PointDecoder(nn.Module):
    """Writes the nuclei of windows of an embedding as tokens, see `PointGrammar`."""

    slopes: Tensor

    def __init__(self, config: NextPointConfig) -> None:
        super().__init__()
        self.config, self.grammar = config, config.grammar
        dim, half = config.dim, config.dim // 2
        fine, middle, deep = config.channels
        self.reads = nn.ModuleList(
            _Mixing(width, dim, 1)
            for width in (4 * fine, middle, deep, _AUXILIARY * (config.stride // 2) ** 2)
        )
        self.read_norm = nn.LayerNorm(dim)
        self.codes = nn.Parameter(_sines(config.bins, half))
        self.kinds = nn.Embedding(4, dim)  # start, row, column, separator
        self.latents = nn.Parameter(torch.randn(config.latents, dim) * 0.02)
        self.memory = nn.Linear(dim, 2 * dim)
        self.layers = nn.ModuleList(PointLayer(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, config.bins + 2)
        self.look = nn.Linear(dim, dim)
        self.place = nn.Linear(dim, dim)
        self.trust = nn.Parameter(torch.ones(()))
        self.thought = nn.Linear(dim, config.prompt_dim)
        slopes = 2.0 ** (-8.0 * torch.arange(1, config.heads + 1) / config.heads)
        self.register_buffer("slopes", slopes, persistent=False)

    # What is seen

    def project(self, levels: Sequence[Tensor], maps: Tensor | None) -> Tensor:
        """Tokens of B whole inputs, without places.

        Shapes
        ------
        levels   what the detector reads, finest first: (B, C, H, W) each
        maps     (B, 3, H, W) logits of the dense maps, or None
        returns  (B, dim, h, w) at ``stride``
        """
        fine, middle, deep = levels
        size = middle.shape[-2:]
        total = self.reads[0](functional.pixel_unshuffle(fine.float(), 2))
        total = total + self.reads[1](middle.float())
        deeper = self.reads[2](deep.float())
        total = total + functional.interpolate(deeper, size, mode="nearest")
        if maps is not None:
            squashed = torch.sigmoid(maps.float())
            squashed = functional.pixel_unshuffle(squashed, maps.shape[-1] // size[1])
            total = total + self.reads[3](squashed)
        return total

    def remember(self, projected: Tensor, image_index: Tensor, corners_yx: Tensor) -> Memory:
        """Prepare N windows.

        Shapes
        ------
        projected    (B, dim, h, w) as `project` gives it
        image_index  (N,)
        corners_yx   (N, 2) first cell; may lie outside, where there is nothing to see
        """
        cells = self.config.cells
        padded = functional.pad(projected, (cells, cells, cells, cells))
        seen = cut_level(padded, image_index, corners_yx + cells, (cells, cells))
        tokens = self.read_norm(seen.flatten(2).transpose(1, 2))  # (N, cells ** 2, dim)
        place = self._places(cells).to(tokens)
        keyed = tokens + place
        keys, values = (self.layers[0].split(part) for part in self.memory(keyed).chunk(2, -1))
        # In one piece, each head's: all of it is read for every token.
        return Memory(keys.contiguous(), values.contiguous(), self.place(keyed))

    def _places(self, cells: int) -> Tensor:
        """Codes of cells, from those of the bins in their middle; (1, cells ** 2, dim)."""
        codes = self.codes.t().unsqueeze(0)  # (1, dim / 2, bins)
        codes = functional.interpolate(codes, cells, mode="linear", align_corners=False)[0].t()
        rows = codes[:, None].expand(-1, cells, -1)
        columns = codes[None].expand(cells, -1, -1)
        return torch.cat([rows, columns], -1).reshape(1, cells * cells, -1)

    # What is written

    def forward(self, tokens: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Logits of the token after each, all at once.

        Shapes
        ------
        tokens   (N, L) int64, `PAD` after the end; or (N G, L), G sequences of each window in turn
        returns  logits (N, L, bins + 2) of what follows, and latents (N, latents, prompt_dim)
        """
        x = torch.cat([self._latents(len(tokens)), self._embed(tokens)], 1)
        bias = self.nearness(x.shape[1])
        for layer in self.layers:
            x = layer(x, bias, memory)
        x = self.norm(x)
        n = self.config.latents
        return self._logits(x[:, n:], memory), self.thought(x[:, :n])

    def opening(self, n: int) -> Tensor:
        """What the first point of N sequences follows: (N, latents + 1, dim)."""
        start = self.kinds.weight[:1].expand(n, 1, -1)
        return torch.cat([self._latents(n), start], 1)

    def said(self, y: Tensor, x: Tensor | None, kind: int) -> Tensor:
        """Code (N, dim) of a row (1), a column (2) or a separator (3) after it.

        Parameters
        ----------
        y, x : (N, dim / 2) of `coded`, the point's as far as it is known
        """
        return torch.cat([y, torch.zeros_like(y) if x is None else x], 1) + self.kinds.weight[kind]

    def coded(self, tokens: Tensor) -> Tensor:
        """Codes of coordinates; nothing for other tokens, where a free sequence has those."""
        known = (tokens >= 0) & (tokens < self.config.bins)
        return self.codes[tokens.clamp(0, self.config.bins - 1)] * known.unsqueeze(-1)

    def nearness(self, length: int) -> Tensor:
        """Causal mask and nearness (heads, L, L): the later a token, the more it counts.

        Latents are as near to every token as the one before it.
        """
        at = torch.arange(length, device=self.slopes.device)
        distance = (at[:, None] - at).clamp(min=0).float()
        distance = torch.where(at < self.config.latents, distance.clamp(max=1), distance)
        bias = -self.slopes[:, None, None] * distance
        return bias.masked_fill(at > at[:, None], -torch.inf)

    def _latents(self, n: int) -> Tensor:
        return self.latents.unsqueeze(0).expand(n, -1, -1)

    def _embed(self, tokens: Tensor) -> Tensor:
        """Codes of tokens, each with what of its point is known by then."""
        at = torch.arange(tokens.shape[1], device=tokens.device)
        kind = torch.where(at == 0, 0, (at - 1) % 3 + 1)
        back_y = torch.where(kind == 1, 0, torch.where(kind == 2, 1, 2))
        back_x = torch.where(kind == 3, 1, 0)
        y = self.coded(tokens[:, (at - back_y).clamp(min=0)]) * (kind > 0)[:, None]
        x = self.coded(tokens[:, (at - back_x).clamp(min=0)]) * (kind > 1)[:, None]
        return torch.cat([y, x], -1) + self.kinds(kind)

    def _logits(self, x: Tensor, memory: Memory) -> Tensor:
        """What follows each token: states (N, L, dim) -> (N, L, bins + 2)."""
        logits = self.head(x)
        cells, bins = self.config.cells, self.config.bins
        asked = self.look(x).reshape(len(memory.places), -1, x.shape[-1])
        seen = asked @ memory.places.transpose(1, 2) / math.sqrt(x.shape[-1])
        seen = seen.reshape(*x.shape[:2], cells, cells)
        tells_row = torch.arange(x.shape[1], device=x.device) % 3 == 0
        rows, columns = seen.logsumexp(-1), seen.logsumexp(-2)
        marginal = torch.where(tells_row[:, None], rows, columns)  # (N, L, cells)
        marginal = functional.interpolate(marginal, bins, mode="linear", align_corners=False)
        return torch.cat([logits[..., :bins] + self.trust * marginal, logits[..., bins:]], -1)


def _joined(x: Tensor) -> Tensor:
    """(N, heads, T, dim / heads) -> (N, T, dim)."""
    return x.transpose(1, 2).flatten(2)


def _sines(bins: int, width: int) -> Tensor:
    """Codes (bins, width) of places: sines and cosines, from one wave a window to one in 4 bins."""
    waves = torch.logspace(0, math.log10(bins / 4), width // 2)
    at = (torch.arange(bins) + 0.5) / bins
    angles = 2 * math.pi * at[:, None] * waves
    return torch.cat([angles.sin(), angles.cos()], -1)
