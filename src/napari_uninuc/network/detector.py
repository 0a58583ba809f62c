"""The nuclei detector: LW-DETR-style two-stage head that proposes boxes (paper sec. 2.4, fig. 3).

Differences from LW-DETR, each for crowded small nuclei: the first stage is supervised densely
and only local maxima of its score become queries; queries see each other inside blocks, so their
number grows with the area of the image and not with the number of images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_uninuc.network.config import DetectorConfig
from napari_uninuc.network.deformable import DeformableAttention


@dataclass(frozen=True, slots=True)
class DetectorOutput:
    """Raw predictions; boxes are cxcywh in input pixels of the whole input.

    Shapes
    ------
    layers     per decoder layer: logits (B, G, Q, classes), boxes (B, G, Q, 4)
    dense      first stage: logits (B, classes, h, w), boxes (B, 4, h, w) at the finest level
    valid      (B, G, Q) False where a block offered fewer peaks than queries
    stride     input pixels per cell of ``dense``
    """

    layers: list[tuple[Tensor, Tensor]]
    dense: tuple[Tensor, Tensor]
    valid: Tensor
    stride: int


@dataclass(frozen=True, slots=True)
class FirstStage:
    """What queries begin with; K of them in each block.

    Shapes
    ------
    levels   projected, finest first, (B, dim, H_l, W_l)
    dense    as in `DetectorOutput`
    seed     (B, blocks * K, dim)
    boxes    (B, blocks * K, 4) cxcywh, input pixels
    corner   (B, blocks * K, 2) xy of the block's first input pixel
    valid    (B, blocks, K) False where a block offered fewer peaks than queries
    """

    levels: list[Tensor]
    dense: tuple[Tensor, Tensor]
    seed: Tensor
    boxes: Tensor
    corner: Tensor
    valid: Tensor


class ChannelNorm(nn.Module):
    """Layer norm over the channels of a map."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, dim, H, W), every pixel by itself; the same shape comes back."""
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Projector(nn.Module):
    """Backbone maps -> one map of ``dim`` channels a level.

    With ``fuse``, each level reads all levels, resized and concatenated (LW-DETR's projector).
    """

    def __init__(self, channels: Sequence[int], dim: int, fuse: bool) -> None:
        super().__init__()
        self.fuse = fuse
        total = sum(channels)
        self.inputs = nn.ModuleList(
            nn.Sequential(nn.Conv2d(total if fuse else c, dim, 1), ChannelNorm(dim), nn.SiLU())
            for c in channels
        )
        self.mix = nn.ModuleList(
            nn.Sequential(nn.Conv2d(dim, dim, 3, padding=1), ChannelNorm(dim), nn.SiLU())
            if fuse
            else nn.Identity()
            for _ in channels
        )

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """Project (B, channels_l, H_l, W_l), finest first, to (B, dim, H_l, W_l) each."""
        outputs = []
        for k, level in enumerate(levels):
            x = level
            if self.fuse:
                x = torch.cat([_resize(other, level.shape[-2:]) for other in levels], dim=1)
            x = self.inputs[k](x)
            outputs.append(x + self.mix[k](x) if self.fuse else x)
        return outputs

    def finest(self, levels: Sequence[Tensor]) -> Tensor:
        """The first of what `forward` gives, alone."""
        return self(levels)[0] if self.fuse else self.inputs[0](levels[0])


class DecoderLayer(nn.Module):
    """Self-attention among the queries of a block (and text), deformable attention, MLP."""

    def __init__(self, config: DetectorConfig, levels: int) -> None:
        super().__init__()
        dim = config.dim
        self.self_attention = nn.MultiheadAttention(dim, config.heads, batch_first=True)
        self.cross_attention = DeformableAttention(dim, config.heads, levels, config.points)
        self.mlp = nn.Sequential(
            nn.Linear(dim, config.ffn_dim), nn.ReLU(), nn.Linear(config.ffn_dim, dim)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(3))

    def attend(self, query: Tensor, position: Tensor, text: Tensor | None, pad: Tensor) -> Tensor:
        """Self-attention; sets (S, Q, dim), text (S, T, dim) appended and dropped again."""
        q = query + position
        value = query
        if text is not None:
            q, value = torch.cat([q, text], dim=1), torch.cat([query, text], dim=1)
            pad = functional.pad(pad, (0, text.shape[1]), value=False)
        mixed, _ = self.self_attention(q, q, value, key_padding_mask=pad, need_weights=False)
        return self.norms[0](query + mixed[:, : query.shape[1]])


class Detector(nn.Module):
    """Two-stage detector on three levels.

    Shapes
    ------
    levels   finest first, (B, channels_l, H_l, W_l)
    text     (T, text_dim) embeddings of class names (appendix A.1); None takes those that the
             weights carry, if any
    returns  DetectorOutput
    """

    prior: Tensor | None

    def __init__(
        self, config: DetectorConfig, channels: Sequence[int], stride: int, classes: int
    ) -> None:
        super().__init__()
        self.config, self.stride = config, stride
        dim = config.dim
        self.projector = Projector(channels, dim, config.fuse_levels)
        self.dense_tower = nn.Sequential(nn.Conv2d(dim, dim, 1), ChannelNorm(dim), nn.SiLU())
        self.dense_class = nn.Conv2d(dim, classes, 1)
        self.dense_box = nn.Conv2d(dim, 4, 1)
        self.content = nn.Parameter(torch.randn(config.groups, dim) * 0.02)
        self.seed = nn.Sequential(nn.Linear(dim, dim), nn.LayerNorm(dim))
        self.position = nn.Sequential(nn.Linear(2 * dim, dim), nn.ReLU(), nn.Linear(dim, dim))
        self.layers = nn.ModuleList(
            DecoderLayer(config, len(channels)) for _ in range(config.layers)
        )
        self.class_heads = nn.ModuleList(nn.Linear(dim, classes) for _ in range(config.layers))
        self.box_heads = nn.ModuleList(
            nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, 4))
            for _ in range(config.layers)
        )
        self.text = nn.Linear(config.text_dim, dim) if config.text_dim else None
        prior = None  # is no tensor of the weights
        if config.text_dim and config.text_tokens:
            prior = torch.zeros(config.text_tokens, config.text_dim)
        self.register_buffer("prior", prior)
        self._start()

    def _start(self) -> None:
        prior = -math.log((1 - 0.01) / 0.01)
        for head in [self.dense_class, *self.class_heads]:
            nn.init.constant_(head.bias, prior)
        for box in [self.dense_box, *[head[-1] for head in self.box_heads]]:
            nn.init.zeros_(box.weight)
            nn.init.zeros_(box.bias)

    def forward(
        self, features: Sequence[Tensor], text: Tensor | None = None, groups: int = 1
    ) -> DetectorOutput:
        """Propose boxes from levels and text, of the shapes that the class gives.

        Parameters
        ----------
        features : the levels, finest first
        text : stands in for the prior of the weights
        groups : sets of queries that see only their own, 1 to ``DetectorConfig.groups``: more
            than 1 only in training (group DETR)
        """
        return self.settle(self.look(features), text, groups)

    def look(self, features: Sequence[Tensor]) -> FirstStage:
        """The first stage: where queries are, and what each begins with."""
        levels = self.projector(features)
        tower, dense = self._first_stage(levels[0])
        index, valid = self._peaks(dense[0])  # (B, blocks, K)
        flat = index.flatten(1)  # (B, blocks*K)
        boxes = _gather(dense[1], flat).detach()
        seed = self.seed(_gather(tower, flat).detach())  # (B, blocks*K, dim)
        corner = self._block_corners(flat, dense[0].shape[-1])  # (B, blocks*K, 2)
        return FirstStage(levels, dense, seed, boxes, corner, valid)

    def settle(
        self, first: FirstStage, text: Tensor | None = None, groups: int = 1
    ) -> DetectorOutput:
        """The second stage: queries look at each other and at the picture; see `forward`."""
        b, blocks, k = first.valid.shape
        query = first.seed.unsqueeze(1) + self.content[:groups, None]  # (B, G, blocks*K, dim)
        query = query.reshape(b * groups * blocks, k, -1)
        boxes = first.boxes.unsqueeze(1).expand(-1, groups, -1, -1)
        valid = first.valid.flatten(1).unsqueeze(1).expand(-1, groups, -1)
        corner = first.corner.unsqueeze(1).expand(-1, groups, -1, -1)
        sizes = (b, groups, blocks, k)
        outputs = self._decode(query, boxes, corner, valid, first.levels, text, sizes)
        return DetectorOutput(outputs, first.dense, valid, self.stride)

    def boxes_of_cells(self, features: Sequence[Tensor]) -> Tensor:
        """The box that every cell of the finest level would give its nucleus: the first stage's.

        Shapes
        ------
        features  the levels, finest first
        returns   (B, 4, h, w) cxcywh, input px of the whole input
        """
        return self._first_stage(self.projector.finest(features))[1][1]

    def boxes_at(self, features: Sequence[Tensor], rows: Tensor, columns: Tensor) -> Tensor:
        """Some of `boxes_of_cells` of one input, for less: each cell is asked by itself.

        Shapes
        ------
        features       the levels, finest first, of one input
        rows, columns  (N,) int64 cells of the finest level
        returns        (N, 4) cxcywh, input px of the whole input
        """
        seen = self.projector.finest(features)[:, :, rows, columns].unsqueeze(3)  # (1, C, N, 1)
        delta = self.dense_box(self.dense_tower(seen))[0, :, :, 0].t().float()
        size = torch.full_like(rows, self.config.base_size, dtype=torch.float32)
        middle = (torch.stack([columns, rows], 1) + 0.5) * self.stride
        return apply_box_delta(torch.cat([middle, size[:, None].expand(-1, 2)], 1), delta)

    def _first_stage(self, finest: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Tower, and logits and boxes of all cells."""
        tower = self.dense_tower(finest)
        return tower, (self.dense_class(tower).float(), self._dense_boxes(self.dense_box(tower)))

    def _decode(
        self,
        query: Tensor,
        boxes: Tensor,
        corner: Tensor,
        valid: Tensor,
        levels: list[Tensor],
        text: Tensor | None,
        sizes: tuple[int, int, int, int],
    ) -> list[tuple[Tensor, Tensor]]:
        b, groups, blocks, k = sizes
        extent = boxes.new_tensor([levels[0].shape[-1], levels[0].shape[-2]] * 2) * self.stride
        pad = ~valid.reshape(b * groups * blocks, k)
        pad = pad & valid.reshape(b * groups * blocks, k).any(dim=1, keepdim=True)
        words = None
        text = self.prior if text is None else text
        if text is not None and self.text is not None:
            words = self.text(text).unsqueeze(0).expand(query.shape[0], -1, -1)
        outputs = []
        for layer, class_head, box_head in zip(
            self.layers, self.class_heads, self.box_heads, strict=True
        ):
            position = self._position(boxes, corner).reshape(query.shape)
            query = layer.attend(query, position, words, pad)
            flat = query.reshape(b, groups * blocks * k, -1)
            reference = (boxes.detach() / extent).reshape(b, groups * blocks * k, 4)
            read = layer.cross_attention(flat + position.reshape(flat.shape), reference, levels)
            flat = layer.norms[1](flat + read)
            flat = layer.norms[2](flat + layer.mlp(flat))
            boxes = apply_box_delta(boxes.detach(), box_head(flat).reshape(boxes.shape))
            logits = class_head(flat).reshape(b, groups, blocks * k, -1)
            outputs.append((logits.float(), boxes))
            query = flat.reshape(query.shape)
        return outputs

    def _position(self, boxes: Tensor, corner: Tensor) -> Tensor:
        """Sine embedding of boxes in units of, and relative to, their block; (..., dim)."""
        local = torch.cat([boxes[..., :2] - corner, boxes[..., 2:]], dim=-1) / self.config.block
        return self.position(sine_embedding(local, self.config.dim // 2))

    def _block_corners(self, index: Tensor, width: int) -> Tensor:
        """xy input pixels of the first pixel of the block each flat index lies in."""
        cell = torch.stack([index % width, index // width], dim=-1) * self.stride
        return cell // self.config.block * self.config.block

    def _dense_boxes(self, delta: Tensor) -> Tensor:
        """Deltas (B, 4, h, w) from every cell's prior box -> cxcywh input pixels."""
        h, w = delta.shape[-2:]
        ys = (torch.arange(h, device=delta.device) + 0.5) * self.stride
        xs = (torch.arange(w, device=delta.device) + 0.5) * self.stride
        size = torch.full((h, w), self.config.base_size, device=delta.device)
        prior = torch.stack([xs.expand(h, w), ys[:, None].expand(h, w), size, size])
        moved = apply_box_delta(
            prior.permute(1, 2, 0), delta.float().permute(0, 2, 3, 1)
        )  # (B, h, w, 4)
        return moved.permute(0, 3, 1, 2)

    def _peaks(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """The best K local maxima of the first stage in every block.

        Returns indices into the flattened map (B, blocks, K), and which of them are peaks.
        """
        score = logits.detach().float().amax(dim=1, keepdim=True)  # (B, 1, h, w)
        peak = score >= functional.max_pool2d(score, 3, stride=1, padding=1)
        score = score.masked_fill(~peak, -torch.inf)
        b, _, h, w = score.shape
        side = max(1, self.config.block // self.stride)
        rows, columns = -(-h // side), -(-w // side)
        padding = (0, columns * side - w, 0, rows * side - h)
        score = functional.pad(score, padding, value=-torch.inf)
        index = torch.arange(h * w, device=score.device).reshape(1, 1, h, w)
        index = functional.pad(index, padding, value=0).expand(b, -1, -1, -1)
        blocks = [_to_blocks(x, rows, columns, side) for x in (score, index)]
        k = min(self.config.queries, side * side)
        best, where = blocks[0].topk(k, dim=-1)
        return blocks[1].gather(-1, where), torch.isfinite(best)


def apply_box_delta(boxes: Tensor, delta: Tensor) -> Tensor:
    """LW-DETR's box reparameterisation: centre moves by sizes, sides scale by exponentials.

    Shapes
    ------
    boxes    (..., 4) cxcywh, in any unit
    delta    (..., 4); those of the sides count from -4 to 4 at most
    returns  (..., 4) cxcywh float32, in the unit of ``boxes``
    """
    centre = boxes[..., :2] + delta[..., :2].float() * boxes[..., 2:]
    sides = boxes[..., 2:] * delta[..., 2:].float().clamp(-4.0, 4.0).exp()
    return torch.cat([centre, sides], dim=-1)


def sine_embedding(boxes: Tensor, width: int) -> Tensor:
    """(..., 4) in [0, 1] -> (..., 4 * width) sines and cosines, temperature 20 as in DAB-DETR."""
    steps = torch.arange(width // 2, device=boxes.device)
    frequency = 2 * math.pi / (20.0 ** (steps / (width // 2)))
    angles = boxes.float().unsqueeze(-1) * frequency * 8.0
    return torch.cat([angles.sin(), angles.cos()], dim=-1).flatten(-2)


def _resize(x: Tensor, size: torch.Size) -> Tensor:
    if x.shape[-2:] == size:
        return x
    if x.shape[-1] > size[-1]:
        return functional.adaptive_avg_pool2d(x, (size[0], size[1]))
    return functional.interpolate(x, size=size, mode="nearest")


def _gather(maps: Tensor, index: Tensor) -> Tensor:
    """Columns of (B, C, h, w) at flat indices (B, Q) -> (B, Q, C)."""
    flat = maps.flatten(2)
    return flat.gather(2, index.unsqueeze(1).expand(-1, flat.shape[1], -1)).transpose(1, 2)


def _to_blocks(x: Tensor, rows: int, columns: int, side: int) -> Tensor:
    """(B, 1, rows*side, columns*side) -> (B, rows*columns, side*side)."""
    b = x.shape[0]
    x = x.reshape(b, rows, side, columns, side).permute(0, 1, 3, 2, 4)
    return x.reshape(b, rows * columns, side * side)
