"""Image -> features at three scales {F0, F1, F2} (paper sec. 2.1), with either trunk."""

from __future__ import annotations

from collections.abc import Sequence

import timm
import torch
from sam2.modeling.backbones.hieradet import Hiera
from sam2.modeling.backbones.image_encoder import FpnNeck
from sam2.modeling.backbones.image_encoder import ImageEncoder as Sam2ImageEncoder
from sam2.modeling.position_encoding import PositionEmbeddingSine
from torch import Tensor, nn
from torch.nn import functional

from napari_uninuc.network.config import HieraConfig, PyramidConfig

SAM_DIM = 256


class HieraEncoder(Sam2ImageEncoder):
    """SAM 2's Hiera trunk and FPN neck, built without hydra; official parameter names.

    Shapes
    ------
    image    (B, 3, H, W), H and W multiples of 32
    returns  F0 (B, 256, H/4, W/4), F1 (B, 256, H/8, W/8), F2 (B, 256, H/16, W/16)
    """

    channels = (SAM_DIM, SAM_DIM, SAM_DIM)
    detection_channels = (SAM_DIM, SAM_DIM, SAM_DIM)

    def __init__(self, config: HieraConfig) -> None:
        trunk = Hiera(
            embed_dim=config.embed_dim,
            num_heads=config.num_heads,
            stages=config.stages,
            global_att_blocks=config.global_att_blocks,
            window_pos_embed_bkg_spatial_size=config.background_grid,
            window_spec=config.window_spec,
        )
        neck = FpnNeck(
            position_encoding=PositionEmbeddingSine(SAM_DIM, normalize=True, temperature=10000),
            d_model=SAM_DIM,
            backbone_channel_list=list(reversed(config.channels)),
            fpn_top_down_levels=[2, 3],
            fpn_interp_model="nearest",
        )
        super().__init__(trunk=trunk, neck=neck, scalp=1)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """F0, F1, F2 of a normalised image."""
        return tuple(super().forward(image)["backbone_fpn"])

    @staticmethod
    def detection_levels(features: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The maps a detector without its own backbone reads: F0, F1, F2, strides 4, 8, 16."""
        return tuple(features[:3])


class ConvBlock(nn.Module):
    """Residual 3 x 3 convolution with batch norm; (B, width, H, W) -> the same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        """Add what the convolution finds, and cut below 0."""
        return functional.relu(x + self.norm(self.conv(x)))


class PyramidEncoder(nn.Module):
    """timm backbone, U-shaped neck, and a full-resolution stem for boundary detail.

    Shapes
    ------
    image    (B, 3, H, W), H and W multiples of 32
    returns  F0 (B, c0, H/2, W/2), F1 (B, c1, H/4, W/4), F2 (B, c2, H/8, W/8), F3 (B, d, H/16, W/16)
    """

    def __init__(self, config: PyramidConfig) -> None:
        super().__init__()
        self.trunk = timm.create_model(config.backbone, features_only=True, pretrained=False)
        skips = self.trunk.feature_info.channels()
        widths = (*config.widths, config.deep_width, config.deep_width)
        self.channels = config.widths
        self.detection_channels = (config.widths[1], config.widths[2], config.deep_width)
        self.detail = nn.Conv2d(12, widths[0], 3, padding=1)
        self.laterals = nn.ModuleList(
            nn.Conv2d(skip, width, 1) for skip, width in zip(skips, widths, strict=True)
        )
        self.reduces = nn.ModuleList(
            nn.Conv2d(deep, width, 1, bias=False)
            for deep, width in zip(widths[1:], widths[:-1], strict=True)
        )
        self.blocks = nn.ModuleList(
            nn.Sequential(*[ConvBlock(width) for _ in range(2)]) for width in widths[:-1]
        )

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """F0, F1, F2, F3 of a normalised image."""
        # On a CPU the gradient of a depthwise convolution is twice as slow in bfloat16.
        if self.training and image.device.type == "cpu":
            with torch.autocast("cpu", enabled=False):
                skips = self.trunk(image)
        else:
            skips = self.trunk(image)
        detail = self.detail(functional.pixel_unshuffle(image, 2))  # (B, c0, H/2, W/2)
        level = self.laterals[4](skips[4])
        levels: list[Tensor] = []
        for k in (3, 2, 1, 0):
            lateral = self.laterals[k](skips[k])
            if k == 0:
                lateral = lateral + detail
            up = functional.interpolate(self.reduces[k](level), scale_factor=2.0, mode="nearest")
            level = self.blocks[k](functional.relu(lateral + up))
            levels.append(level)
        return tuple(reversed(levels))

    @staticmethod
    def detection_levels(features: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The maps a detector without its own backbone reads: F1, F2, F3, strides 4, 8, 16."""
        return tuple(features[1:4])


class DetectorBackbone(nn.Module):
    """ConvNeXt (timm) for the detector alone (paper sec. 2.3): strides 8, 16, 32.

    Built whole, without a classifier, so that parameters and operations are those of table 4.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.body = timm.create_model(
            name, features_only=True, pretrained=False, out_indices=(1, 2, 3)
        )
        self.channels = tuple(self.body.feature_info.channels())

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Maps of strides 8, 16, 32 of a normalised image (B, 3, H, W)."""
        return tuple(self.body(image))


def build_encoder(config: HieraConfig | PyramidConfig) -> HieraEncoder | PyramidEncoder:
    """Build the mask trunk and neck an architecture asks for, with random weights."""
    if isinstance(config, HieraConfig):
        return HieraEncoder(config)
    return PyramidEncoder(config)
