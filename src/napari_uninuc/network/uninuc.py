"""UniNuc: encode an image once, detect nuclei, decode prompts (paper fig. 1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from napari_uninuc.network.config import HieraConfig, ModelConfig
from napari_uninuc.network.correction import Correction, describe_pixels
from napari_uninuc.network.dense_head import DenseHead
from napari_uninuc.network.detector import Detector, DetectorOutput
from napari_uninuc.network.hints import draw_box, draw_hints
from napari_uninuc.network.image_encoder import DetectorBackbone, build_encoder
from napari_uninuc.network.mask_decoder import MaskDecoder, WindowFeatures
from napari_uninuc.network.obedience import expected_after_fit, fit_box, obey_clicks
from napari_uninuc.network.prompt_encoder import PromptEncoder, has_click
from napari_uninuc.network.windows import cut_windows


@dataclass(frozen=True, slots=True)
class Embedding:
    """All that is computed once per image.

    ``maps`` feed the mask decoder, ``detection`` the detector (empty when not asked for),
    ``auxiliary`` are logits of the maps that `DenseHead` paints (None without one), ``size_hw`` is
    the input's size in input pixels.
    """

    maps: WindowFeatures
    detection: tuple[Tensor, ...]
    auxiliary: Tensor | None
    size_hw: tuple[int, int]


@dataclass(frozen=True, slots=True)
class WindowPrompts:
    """Prompts of N nuclei, each in its own window.

    Shapes
    ------
    image_index  (N,) which image of the batch
    corners_yx   (N, 2) first coarse cell of each window
    cells_hw     window size in coarse cells
    points_xy    (N, P, 2) input pixels relative to the window; box corners are two points
    labels       (N, P) see `napari_uninuc.network.prompt_encoder`
    masks        (N, 1, 4 h, 4 w) logits on the logit grid, or None
    tight        boxes touch their nucleus on all sides, to the pixel
    """

    image_index: Tensor
    corners_yx: Tensor
    cells_hw: tuple[int, int]
    points_xy: Tensor
    labels: Tensor
    masks: Tensor | None = None
    tight: bool = False


class UniNuc(nn.Module):
    """One promptable core for clicks, boxes and the detector's auto-prompts."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.image_encoder = build_encoder(config.encoder)
        channels = self.image_encoder.channels
        self.sam_prompt_encoder = PromptEncoder(config.mask.dim)
        self.sam_mask_decoder = MaskDecoder(config.mask, channels)
        self.no_mem_embed = None
        self.dense_head = None
        if isinstance(config.encoder, HieraConfig):
            self.no_mem_embed = nn.Parameter(torch.zeros(1, 1, config.mask.dim))
        else:
            self.dense_head = DenseHead(channels[0])
        self.correction = Correction() if config.mask.correction else None
        self.detector_backbone = None
        detection_channels, stride = self.image_encoder.detection_channels, 4
        if config.detector.backbone is not None:
            self.detector_backbone = DetectorBackbone(config.detector.backbone)
            detection_channels, stride = self.detector_backbone.channels, 8
        self.detector = Detector(config.detector, detection_channels, stride, len(config.classes))

    def encode(
        self, image: Tensor, *, detection: bool = True, encoder: nn.Module | None = None
    ) -> Embedding:
        """Encode a normalised image (B, 3, H, W), H and W multiples of 32.

        ``encoder`` stands in for ``image_encoder``: the same numbers, made faster.
        """
        features = (self.image_encoder if encoder is None else encoder)(image)
        coarse = features[2]
        if self.no_mem_embed is not None:
            coarse = coarse + self.no_mem_embed.reshape(1, -1, 1, 1)
        maps = self.sam_mask_decoder.project(features[0], features[1], coarse)
        levels: tuple[Tensor, ...] = ()
        if detection and self.detector_backbone is not None:
            levels = self.detector_backbone(image)
        elif detection:
            levels = self.image_encoder.detection_levels(features)
        auxiliary = None if self.dense_head is None else self.dense_head(features[0])
        return Embedding(maps, levels, auxiliary, (image.shape[-2], image.shape[-1]))

    def detect(
        self, embedding: Embedding, text: Tensor | None = None, groups: int = 1
    ) -> DetectorOutput:
        """Propose boxes; the embedding must have been made with ``detection=True``.

        ``text`` (T, text_dim) stands in for the language prior of the weights.
        """
        return self.detector(embedding.detection, text, groups)

    def decode(
        self,
        embedding: Embedding,
        prompts: WindowPrompts,
        logit_shift: float = 0.0,
        *,
        single: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Masks of N prompts; clicks on an outline are corrected where the weights can.

        Shapes
        ------
        returns  logits (N, 4, 4 h, 4 w) at `ModelConfig.logit_stride`, predicted IoU (N, 4); with
                 ``single`` the first of each alone, (N, 1, ...).
                 ``logit_shift`` is in all of them, and clicks are obeyed all the same
        """
        logits, quality = self.decode_uncorrected(embedding, prompts, logit_shift, single=single)
        if self.correction is not None and prompts.masks is not None:
            first = self.correct(logits[:, :1], prompts.masks, prompts)
            logits = torch.cat([first, logits[:, 1:]], dim=1)
        return logits, quality

    def decode_uncorrected(
        self,
        embedding: Embedding,
        prompts: WindowPrompts,
        logit_shift: float = 0.0,
        *,
        single: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """`decode` without the correction, which is taught on what this returns.

        Shapes
        ------
        returns  as `decode`
        """
        stride = self.config.coarse_stride
        grid = prompts.cells_hw
        window = (grid[0] * stride, grid[1] * stride)
        n = prompts.points_xy.shape[0]
        encoder = self.sam_prompt_encoder
        tokens = encoder.tokens(prompts.points_xy, prompts.labels, window)
        dense = encoder.dense(prompts.masks, n, grid)
        hints = None
        if self.sam_mask_decoder.refine is not None:
            logit_grid = (4 * grid[0], 4 * grid[1])
            hints = draw_hints(
                prompts.points_xy, prompts.labels, prompts.masks, logit_grid, stride // 4
            )
        maps = embedding.maps
        if maps.coarse.shape[0] > 1 or tuple(maps.coarse.shape[-2:]) != grid:
            maps = cut_windows(maps, prompts.image_index, prompts.corners_yx, grid)
        logits, quality = self.sam_mask_decoder.decode(
            maps, encoder.grid_position(grid), tokens, dense, hints, single=single
        )
        if hints is not None and prompts.tight:
            logits = fit_box(logits, prompts.points_xy, prompts.labels, stride // 4)
            quality = expected_after_fit(quality, prompts.labels)
        logits = logits.float() + logit_shift
        if hints is not None:
            logits = obey_clicks(logits, prompts.points_xy, prompts.labels, stride // 4)
        return logits, quality

    def correct(self, single: Tensor, before: Tensor, prompts: WindowPrompts) -> Tensor:
        """What clicks make of the answer before them, given the answer to them; obeys clicks.

        Shapes
        ------
        single   (N, 1, 4 h, 4 w) logits of `decode_uncorrected`
        before   (N, 1, 4 h, 4 w) logits, the masks of the prompts
        returns  the same; without a click, or a correction in the weights, it is ``single``
        """
        correcting = has_click(prompts.labels)
        if self.correction is None or not correcting.any():
            return single
        before = before.float()
        features = self.describe(single, before, prompts)
        corrected = self.correction(features, before[:, 0], single[:, 0])[:, None]
        corrected = obey_clicks(
            corrected, prompts.points_xy, prompts.labels, self.config.logit_stride
        )
        return torch.where(correcting[:, None, None, None], corrected, single)

    def describe(self, single: Tensor, before: Tensor, prompts: WindowPrompts) -> Tensor:
        """What the correction reads of each pixel: (N, 4 h, 4 w, FEATURES); see `correct`."""
        stride, points, labels = self.config.logit_stride, prompts.points_xy, prompts.labels
        box = draw_box(points, labels, (single.shape[2], single.shape[3]), stride)
        return describe_pixels(before, single, points, labels, box, prompts.tight, stride)
