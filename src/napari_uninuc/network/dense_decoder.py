"""One decoder of maps on a model's cached features: distances, classes of pixels, and words.

The features of a field become *pixels*: vectors of a quarter of its resolution and, beside them,
what the finest cached level says. Everything that is painted is a product of pixels with a vector:
those of maps (PathoSAM, sec. 2.2) and of classes (sec. 2.4) are learnt as they are; those of words
(PathSegmentor, sec. 4.2) are made of a text and the picture, see `napari_uninuc.network.words`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_uninuc.network.config import PyramidConfig
from napari_uninuc.network.dense_head import MAPS
from napari_uninuc.network.uninuc import Embedding, UniNuc
from napari_uninuc.network.words import Words, WordsConfig

__all__ = [
    "BACKGROUND",
    "KNOWN_MAPS",
    "DenseConfig",
    "DenseDecoder",
    "DensePixels",
    "Painted",
    "config_for",
    "levels_of",
]

BACKGROUND = "background"
"""Channel 0 of the classes."""
KNOWN_MAPS = ("nucleus", "centre", "boundary", "distance", "contact")
"""Maps that can be taught, in [0, 1]: 1 inside nuclei; distances to the centre and to the deepest
pixel of a nucleus, 1 far from them; depth, 1 at the deepest pixel; where two nuclei touch."""

_CLAMP = 8.0
"""Logits of the model's own maps, beyond which they say no more."""


@dataclass(frozen=True, slots=True)
class DenseConfig:
    """Which features are read, and what is painted of them.

    Attributes
    ----------
    channels : of the levels that are read, finest first, two or more
    auxiliary : the model's own maps are read beside the finest level
    width : channels of the pixels
    maps : names of maps in [0, 1], some of `KNOWN_MAPS`
    classes : names of classes of nuclei; background comes before them
    words : how texts become vectors; None reads none
    """

    channels: tuple[int, ...]
    auxiliary: int = 0
    width: int = 64
    maps: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    words: WordsConfig | None = field(default=None)

    @property
    def fine(self) -> int:
        """Channels of the finest level, with the model's own maps."""
        return self.channels[0] + self.auxiliary

    @property
    def vector(self) -> int:
        """Length of a vector that paints: pixels, finest level, and a constant."""
        return self.width + self.fine + 1


class DensePixels(NamedTuple):
    """What vectors are multiplied with.

    Shapes
    ------
    deep    (B, width, h, w), of the second finest level
    fine    (B, fine, H, W), of the finest level
    coarse  (B, width, h', w'), of the coarsest level: what words look at
    scale   (fine,), what channels of ``fine`` are to be multiplied with before all else
    shift   (fine,), and what is to be added then; part of the vectors, so that no map is changed
    """

    deep: Tensor
    fine: Tensor
    coarse: Tensor
    scale: Tensor
    shift: Tensor

    def take(self, index: Tensor) -> DensePixels:
        """Pixels of some inputs, or of some several times."""
        deep, fine, coarse = self.deep[index], self.fine[index], self.coarse[index]
        return self._replace(deep=deep, fine=fine, coarse=coarse)


class Painted(NamedTuple):
    """Logits of all that a decoder paints without words; without channels where it paints none.

    Shapes
    ------
    maps     (B, M, H, W), for a sigmoid
    classes  (B, 1 + C, H, W), for a softmax; background first
    """

    maps: Tensor
    classes: Tensor


class DenseDecoder(nn.Module):
    """U-shaped decoder of cached levels, and the vectors of what it paints."""

    def __init__(self, config: DenseConfig) -> None:
        super().__init__()
        self.config = config
        width, deeper = config.width, config.channels[1:]
        self.laterals = nn.ModuleList(_Mixing(channels, width) for channels in deeper)
        self.blocks = nn.ModuleList(_Block(width) for _ in deeper)
        self.around = _Block(width)
        self.fine_norm = nn.BatchNorm2d(config.fine)
        self.maps = nn.Parameter(torch.zeros(len(config.maps), config.vector))
        outputs = 1 + len(config.classes) if config.classes else 0
        self.classes = nn.Parameter(torch.zeros(outputs, config.vector))
        for vectors in (self.maps, self.classes):
            if len(vectors):
                nn.init.normal_(vectors, std=0.05)
        self.words = None
        if config.words is not None:
            self.words = Words(config.words, width, config.vector)

    def pixels(self, levels: Sequence[Tensor], auxiliary: Tensor | None) -> DensePixels:
        """Read the levels of B inputs, see `levels_of`.

        Shapes
        ------
        levels     (B, C, H, W) each, finest first, each half of the one before
        auxiliary  (B, A, H, W) logits of the model's own maps, or None where none are read
        """
        finest = levels[0].float()
        if self.config.auxiliary and auxiliary is not None:
            finest = torch.cat([finest, auxiliary.float().clamp(-_CLAMP, _CLAMP)], dim=1)
        *finer, last = [
            lateral(level.float()) for lateral, level in zip(self.laterals, levels[1:], strict=True)
        ]
        *blocks, block = self.blocks
        # What lies around: a quarter of the coarsest resolution sees some 100 um.
        small = functional.avg_pool2d(last, 4, ceil_mode=True, count_include_pad=False)
        coarse = deep = block(_resized(self.around(small), last).add_(last))
        for here, block in zip(reversed(finer), reversed(blocks), strict=True):
            deep = block(_resized(deep, here).add_(here))
        norm = self.fine_norm
        if self.training:
            fixed = finest.new_ones(finest.shape[1])
            return DensePixels(deep, norm(finest), coarse, fixed, torch.zeros_like(fixed))
        scale, shift = _folded(norm)
        return DensePixels(deep, finest, coarse, scale, shift)

    def forward(self, levels: Sequence[Tensor], auxiliary: Tensor | None) -> Painted:
        """Paint all maps and classes."""
        return self.painted(self.pixels(levels, auxiliary))

    def painted(self, pixels: DensePixels) -> Painted:
        """Maps and classes of pixels, in one product."""
        logits = paint(pixels, torch.cat([self.maps, self.classes]))
        count = len(self.config.maps)
        return Painted(logits[:, :count], logits[:, count:])


def paint(pixels: DensePixels, vectors: Tensor) -> Tensor:
    """Products of pixels with vectors.

    Shapes
    ------
    vectors  (N, V), the same for all inputs, or (B, N, V)
    returns  (B, N, H, W) logits
    """
    if vectors.ndim == 2:
        vectors = vectors.expand(len(pixels.deep), -1, -1)
    size, n = pixels.fine.shape[-2:], vectors.shape[1]
    if n == 0:  # nothing is to be painted, and nothing cannot be enlarged
        return pixels.fine.new_zeros(len(pixels.fine), 0, *size)
    width, fine = pixels.deep.shape[1], pixels.fine.shape[1]
    beside = vectors[..., width : width + fine]
    constant = vectors[..., -1] + beside @ pixels.shift  # (B, N)
    deep = torch.bmm(vectors[..., :width], pixels.deep.flatten(2))  # (B, N, h w)
    near = torch.bmm(beside * pixels.scale, pixels.fine.flatten(2))  # (B, N, H W)
    deep = functional.interpolate(
        deep.reshape(len(deep), n, *pixels.deep.shape[-2:]),
        (int(size[0]), int(size[1])),
        mode="bilinear",
        align_corners=False,
    )
    return deep.add_(near.reshape(deep.shape)).add_(constant[..., None, None])


class _Mixing(nn.Module):
    """Another number of channels; (B, C, H, W) -> (B, width, H, W)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(channels, width, 1, bias=False)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        """Mix the channels of each cell."""
        return _mixed(self.mix, self.norm, x).relu_()


class _Block(nn.Module):
    """Residual: each channel with its 3 x 3 neighbours, then channels of a cell with each other."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.near = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)
        self.near_norm = nn.BatchNorm2d(width)
        self.mix = nn.Conv2d(width, width, 1, bias=False)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        """Add what is found, and cut below 0; (B, width, H, W) -> the same."""
        if self.training:
            found = functional.relu(self.near_norm(self.near(x)))
        else:
            scale, shift = _folded(self.near_norm)
            weight = self.near.weight * scale[:, None, None, None]
            found = functional.conv2d(x, weight, shift, padding=1, groups=len(weight)).relu_()
        return _mixed(self.mix, self.norm, found).add_(x).relu_()


def _mixed(mix: nn.Conv2d, norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """Convolution of one cell and its norm; in use as one product, far faster on CPUs."""
    if mix.training:
        mixed: Tensor = norm(mix(x))
        return mixed
    scale, shift = _folded(norm)
    weight = mix.weight.flatten(1) * scale[:, None]
    return functional.linear(x.permute(0, 2, 3, 1), weight, shift).permute(0, 3, 1, 2)


def _folded(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """What a norm that learns no more multiplies and adds, (C,) both."""
    scale = norm.weight * torch.rsqrt(norm.get_buffer("running_var") + norm.eps)
    return scale, norm.bias - norm.get_buffer("running_mean") * scale


def _resized(x: Tensor, like: Tensor) -> Tensor:
    size = (int(like.shape[-2]), int(like.shape[-1]))
    return functional.interpolate(x, size, mode="bilinear", align_corners=False)


def levels_of(embedding: Embedding) -> list[Tensor]:
    """The levels of an embedding that a dense decoder reads, finest first: (B, C, H, W) each.

    Those that the detector reads where it shares a pyramid with the masks, else what the mask
    decoder reads. Encode without detection where the detector has a backbone of its own.
    """
    maps, levels = embedding.maps, embedding.detection
    if not levels or levels[0].shape[-1] == maps.fine.shape[-1]:
        levels = maps.middle, maps.coarse
    return [maps.fine, *levels]


def config_for(
    model: UniNuc,
    *,
    width: int = 64,
    maps: tuple[str, ...] = (),
    classes: tuple[str, ...] = (),
    words: WordsConfig | None = None,
) -> DenseConfig:
    """The decoder that reads a model's features; of SAM's encoders, and of ours."""
    dim = model.config.mask.dim
    deeper: tuple[int, ...] = (dim // 4, dim)
    if isinstance(model.config.encoder, PyramidConfig) and model.detector_backbone is None:
        deeper = tuple(model.image_encoder.detection_channels)
    auxiliary = 0 if model.dense_head is None else len(MAPS)
    return DenseConfig((dim // 8, *deeper), auxiliary, width, maps, classes, words)
