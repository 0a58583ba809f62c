"""The MSHQ mask decoder (UniNuc, sec. 2.2, fig. 2) on top of SAM 2's."""

from __future__ import annotations

from typing import NamedTuple

import torch
from sam2.modeling.sam.mask_decoder import MaskDecoder as Sam2MaskDecoder
from sam2.modeling.sam2_utils import MLP, LayerNorm2d
from torch import Tensor, nn
from torch.nn import functional

from napari_uninuc.network.config import MaskConfig
from napari_uninuc.network.two_way import TwoWayTransformer

HINTS = 4
"""Maps of `draw_hints`: positive clicks, negative clicks, box, previous mask."""


class WindowFeatures(NamedTuple):
    """What the decoder reads of an image, cropped to N windows (or one whole image, N = 1).

    Shapes
    ------
    coarse   (N, C, h, w)          F2, attended to by the tokens
    middle   (N, C/4, 2 h, 2 w)    conv_s1(F1)
    fine     (N, C/8, 4 h, 4 w)    conv_s0(F0)
    quality  (N, C/8, 4 h, 4 w)    phi0(F0) + phi1(F1); empty without MSHQ
    """

    coarse: Tensor
    middle: Tensor
    fine: Tensor
    quality: Tensor


class MaskDecoder(Sam2MaskDecoder):
    """SAM 2's decoder plus a high-quality token that reads F0 + F1 + updated F2.

    The projections of (F0, F1) do not depend on a prompt and are made once per image by
    `project`. The last layer of ``hq_mlp`` starts at zero (facts: SAM-HQ sums both logits); while
    it is, and nothing is being trained, the token is left out, because by its mere presence in
    self-attention it would move the other tokens: with SAM 2.1 weights masks are SAM 2.1's.
    """

    def __init__(self, config: MaskConfig, channels: tuple[int, int, int]) -> None:
        dim = config.dim
        super().__init__(
            transformer_dim=dim,
            transformer=TwoWayTransformer(
                depth=config.depth,
                embedding_dim=dim,
                mlp_dim=config.mlp_dim,
                num_heads=config.heads,
            ),
            num_multimask_outputs=3,
            iou_head_depth=3,
            iou_head_hidden_dim=dim,
            use_high_res_features=True,
            iou_prediction_use_sigmoid=True,
            pred_obj_scores=True,
            pred_obj_scores_mlp=True,
        )
        self.conv_s0 = nn.Conv2d(channels[0], dim // 8, 1)
        self.conv_s1 = nn.Conv2d(channels[1], dim // 4, 1)
        self.mshq = config.mshq
        if config.mshq:
            self.hq_token = nn.Embedding(1, dim)
            self.hq_mlp = MLP(dim, dim, dim // 8, 3)
            self.phi0 = nn.Conv2d(channels[0], dim // 8, 1)
            self.phi1 = nn.Conv2d(channels[1], dim // 8, 1)
            self.phi2 = nn.Conv2d(dim, dim // 8, 1)
            nn.init.zeros_(self.hq_mlp.layers[-1].weight)
            nn.init.zeros_(self.hq_mlp.layers[-1].bias)
        self.refine = None
        if config.refine_width is not None:
            self.refine = LocalRefinement(1 + 2 * (dim // 8) + HINTS, config.refine_width)

    def project(self, f0: Tensor, f1: Tensor, f2: Tensor) -> WindowFeatures:
        """Everything of an image that no prompt changes.

        Shapes
        ------
        f0       (B, c0, 4 h, 4 w)
        f1       (B, c1, 2 h, 2 w)
        f2       (B, C, h, w), which is passed on as it is
        returns  `WindowFeatures`, one window an image
        """
        quality = self.phi0(f0) + _up(self.phi1(f1), 2) if self.mshq else f0[:, :0]
        return WindowFeatures(f2, self.conv_s1(f1), self.conv_s0(f0), quality)

    def decode(
        self,
        features: WindowFeatures,
        position: Tensor,
        tokens: Tensor,
        dense: Tensor,
        hints: Tensor | None = None,
        *,
        single: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Decode all four candidate masks of N prompts, or the single mask of each.

        Shapes
        ------
        features  N windows, or one window shared by all prompts
        position  (1, C, h, w)
        tokens    (N, P, C)
        dense     (N, C, h, w)
        hints     (N, HINTS, 4 h, 4 w), read by the local refinement only
        returns   logits (N, 4, 4 h, 4 w), predicted IoU (N, 4) in [0, 1]; index 0 is the
                  single-mask output, 1..3 SAM's candidates for an ambiguous point, which are left
                  out, (N, 1, ...) each, where only the single mask is asked for
        """
        n = tokens.shape[0]
        if self.dtype != torch.float32:  # else autocast may have a say
            position, tokens, dense = (x.to(self.dtype) for x in (position, tokens, dense))
            features = WindowFeatures(*[level.to(self.dtype) for level in features])
        quality = self._adds_quality()
        queries = torch.cat([self._output_tokens(quality).expand(n, -1, -1), tokens], dim=1)
        source = features.coarse + dense  # (N, C, h, w)
        c, h, w = source.shape[1:]
        out, updated = self.transformer(source, position.expand(n, -1, -1, -1), queries)
        updated = updated.transpose(1, 2).reshape(n, c, h, w)

        first, norm, act, second, last_act = self.output_upscaling
        upscaled = act(_normed(norm, first(updated) + features.middle))  # (N, C/4, 2h, 2w)
        upscaled = last_act(second(upscaled) + features.fine)  # (N, C/8, 4h, 4w)
        asked = self.output_hypernetworks_mlps[: 1 if single else None]
        weights = torch.stack([mlp(out[:, 2 + k]) for k, mlp in enumerate(asked)], dim=1)
        logits = torch.einsum("nkc,nchw->nkhw", weights, upscaled)  # of weights (N, K, C/8)
        refine = None if hints is None else self.refine
        if self.mshq and (quality or refine is not None):
            fused = features.quality + _up(self.phi2(updated), 4)  # (N, C/8, 4h, 4w)
        if quality:
            hq = self.hq_mlp(out[:, 2 + self.num_mask_tokens])  # (N, C/8)
            logits = logits + torch.einsum("nc,nchw->nhw", hq, fused).unsqueeze(1)
        if refine is not None and hints is not None:
            read = [logits[:, :1], upscaled, fused, hints.to(upscaled.dtype)]
            logits = logits + refine(torch.cat(read, dim=1))
        return logits, self.iou_prediction_head(out[:, 1])[:, : len(asked)]

    def single(self, logits: Tensor, quality: Tensor) -> tuple[Tensor, Tensor]:
        """The single mask of N prompts or, where it is unstable, the best of SAM's candidates.

        A mask is unstable where raising and lowering its threshold by 0.05 gives areas less than
        98 % alike; the best is that of highest predicted IoU. SAM 2's own rule and limits, which
        its `build_sam2` turns on by default (``dynamic_multimask_via_stability``).

        Shapes
        ------
        logits   (N, 4, h, w) as `decode` gives them
        quality  (N, 4)
        returns  logits (N, 1, h, w), predicted IoU (N, 1)
        """
        chosen: tuple[Tensor, Tensor] = self._dynamic_multimask_via_stability(logits, quality)
        return chosen

    @property
    def dtype(self) -> torch.dtype:
        """In which it computes: that of its weights."""
        return self.conv_s0.weight.dtype

    def _adds_quality(self) -> bool:
        """Whether the high-quality token takes part: it is trained, or being trained."""
        if not self.mshq or torch.is_grad_enabled():
            return self.mshq
        last = self.hq_mlp.layers[-1]
        return bool(last.weight.any() | last.bias.any())

    def _output_tokens(self, quality: bool) -> Tensor:
        tokens = [self.obj_score_token.weight, self.iou_token.weight, self.mask_tokens.weight]
        if quality:
            tokens.append(self.hq_token.weight)
        return torch.cat(tokens).unsqueeze(0)  # (1, T, C)


class LocalRefinement(nn.Module):
    """Three 3 x 3 convolutions that correct logits where a click or a box edge says so.

    Tokens carry a click to the whole window; this carries it to the pixels beside it, which is
    what a correction of a nucleus of 20 pixels needs. Starts at zero.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(inputs, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, 1, 3, padding=1),
        )
        for value in self.layers[-1].parameters():
            nn.init.zeros_(value)

    def forward(self, x: Tensor) -> Tensor:
        """What to add to the logits: (N, inputs, H, W) -> (N, 1, H, W) on the same grid."""
        return self.layers(x)


def _normed(norm: LayerNorm2d, x: Tensor) -> Tensor:
    """SAM 2's norm over the channels (N, C, H, W), in one pass instead of seven."""
    last = x.permute(0, 2, 3, 1)
    normed = functional.layer_norm(last, last.shape[-1:], norm.weight, norm.bias, norm.eps)
    return normed.permute(0, 3, 1, 2)


def _up(x: Tensor, factor: int) -> Tensor:
    return functional.interpolate(
        x, scale_factor=float(factor), mode="bilinear", align_corners=False
    )
