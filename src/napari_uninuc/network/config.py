"""Architectures as frozen values: what to build, without building it.

Sizes follow the paper (UniNuc, table 4) for ``s``/``b``/``l``; ``n`` is ours.
All lengths are in *input pixels*: pixels of the image handed to the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from napari_uninuc.errors import ModelNotFoundError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class HieraConfig:
    """SAM 2's Hiera trunk and FPN neck (sam2_hiera_{s,b+,l}.yaml)."""

    embed_dim: int
    num_heads: int
    stages: tuple[int, ...]
    global_att_blocks: tuple[int, ...]
    background_grid: tuple[int, int]
    window_spec: tuple[int, ...]

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels at strides 4, 8, 16, 32."""
        return tuple(self.embed_dim * 2**k for k in range(4))


@dataclass(frozen=True, slots=True)
class PyramidConfig:
    """A convolutional timm backbone and a U-shaped neck, for laptops.

    The neck starts one octave finer than SAM's (strides 2, 4, 8 instead of 4, 8, 16), which is
    what SAM sees when the image is enlarged twice, without paying for the enlarged image.
    """

    backbone: str = "tf_efficientnet_lite0"
    widths: tuple[int, int, int] = (32, 64, 128)
    deep_width: int = 128


@dataclass(frozen=True, slots=True)
class MaskConfig:
    """Prompt encoder and MSHQ mask decoder (paper sec. 2.1-2.2)."""

    dim: int = 256
    heads: int = 8
    mlp_dim: int = 2048
    depth: int = 2
    mshq: bool = True
    window: int | None = None
    """Side of the smallest decoding window in input pixels; None decodes the whole input."""
    refine_width: int | None = None
    """Width of the local refinement that sees clicks and box drawn on the logit grid; ours."""
    correction: bool = False
    """Whether clicks on an outline are answered by `network.correction`; needs ``refine_width``."""


@dataclass(frozen=True, slots=True)
class DetectorConfig:
    """LW-DETR-style head (paper sec. 2.4) on its own backbone, or on the mask trunk's features.

    ``backbone`` None shares the mask trunk (single-branch row of the paper's table 3).
    ``block`` is the side of the square in which queries are chosen and see each other; boxes are
    normalised by it. ``base_size`` is the prior side of a proposal.
    """

    backbone: str | None
    dim: int = 256
    heads: int = 8
    points: int = 4
    layers: int = 3
    ffn_dim: int = 2048
    queries: int = 300
    groups: int = 13
    block: int = 1024
    base_size: float = 80.0
    text_dim: int | None = None
    """Width of text embeddings that queries see (appendix A.1); None reads no text."""
    text_tokens: int | None = None
    """How many of them the weights carry themselves; None waits for the caller's."""
    fuse_levels: bool = True


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """One architecture: image encoder, mask decoder, detector, input convention.

    ``input_size`` is the largest side encoded at once. ``square_input`` resizes every image to
    ``input_size`` x ``input_size`` when the weights know no scale, as SAM 2 does.
    """

    id: str
    encoder: HieraConfig | PyramidConfig
    mask: MaskConfig
    detector: DetectorConfig
    input_size: int
    square_input: bool
    classes: tuple[str, ...] = ("nucleus",)
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    halo: int = field(default=64)

    @property
    def coarse_stride(self) -> int:
        """Input pixels per token the prompts attend to (F2)."""
        return 16 if isinstance(self.encoder, HieraConfig) else 8

    @property
    def logit_stride(self) -> int:
        """Input pixels per mask logit."""
        return self.coarse_stride // 4


_HIERA_S = HieraConfig(96, 1, (1, 2, 11, 2), (7, 10, 13), (7, 7), (8, 4, 14, 7))
_HIERA_B = HieraConfig(112, 2, (2, 3, 16, 3), (12, 16, 20), (14, 14), (8, 4, 14, 7))
_HIERA_L = HieraConfig(144, 2, (2, 6, 36, 4), (23, 33, 43), (7, 7), (8, 4, 16, 8))


def _paper(id: str, hiera: HieraConfig, convnext: str | None, *, mshq: bool = True) -> ModelConfig:
    return ModelConfig(
        id=id,
        encoder=hiera,
        mask=MaskConfig(mshq=mshq, window=128),
        detector=DetectorConfig(backbone=convnext),
        input_size=1024,
        square_input=True,
    )


PRESETS: dict[str, ModelConfig] = {
    "uninuc-n": ModelConfig(
        id="uninuc-n",
        encoder=PyramidConfig(),
        mask=MaskConfig(dim=128, heads=8, mlp_dim=512, window=64, refine_width=24),
        detector=DetectorConfig(
            backbone=None,
            dim=128,
            layers=2,
            ffn_dim=512,
            queries=160,
            groups=2,
            block=256,
            base_size=24.0,
            fuse_levels=False,
        ),
        input_size=1024,
        square_input=False,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
    ),
    "uninuc-s": _paper("uninuc-s", _HIERA_S, "convnext_small"),
    "uninuc-b": _paper("uninuc-b", _HIERA_B, "convnext_base"),
    "uninuc-l": _paper("uninuc-l", _HIERA_L, "convnext_large"),
    # Rows 1 and 2 of the paper's table 3; row 3 is uninuc-b.
    "uninuc-b-single": _paper("uninuc-b-single", _HIERA_B, None, mshq=False),
    "uninuc-b-plain": _paper("uninuc-b-plain", _HIERA_B, "convnext_base", mshq=False),
}


def preset(name: str) -> ModelConfig:
    """The architecture called ``name``.

    Raises
    ------
    ModelNotFoundError
        No such preset.
    """
    if name not in PRESETS:
        raise ModelNotFoundError(
            f"architecture must be one of {', '.join(PRESETS)}, got {name!r}; choose one of them"
        )
    return PRESETS[name]


def configured(
    name: str,
    classes: Sequence[str],
    prior_shape: tuple[int, int] | None = None,
    *,
    correction: bool = False,
) -> ModelConfig:
    """A preset with classes, a language prior and a correction of its own.

    Parameters
    ----------
    name : of a preset
    classes : names, in the order of class ids
    prior_shape : (T, D) of the text embeddings that its weights carry; None for none
    correction : its weights have a `napari_uninuc.network.correction.Correction`

    Raises
    ------
    ModelNotFoundError
        No such preset.
    """
    config = replace(preset(name), classes=tuple(classes))
    if correction:
        config = replace(config, mask=replace(config.mask, correction=True))
    if prior_shape is None:
        return config
    tokens, dim = prior_shape
    return replace(config, detector=replace(config.detector, text_dim=dim, text_tokens=tokens))
