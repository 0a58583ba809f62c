"""The promptable criterion: simulated clicking, loss after the first prompt and after corrections.

Paper sec. 2.1 and equation (1). The paper supervises all of T = 8 passes; ``supervised`` = "two"
supervises the first and one random later pass and runs those in between without gradients, which
costs a third and shows the same states.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from napari_uninuc.core.prompts import DRAWN_LOGIT, LOGIT_LIMIT
from napari_uninuc.datasets.crops import Crop
from napari_uninuc.network.prompt_encoder import PADDING
from napari_uninuc.network.uninuc import Embedding, UniNuc, WindowPrompts
from napari_uninuc.network.windows import FILL, place_windows
from napari_uninuc.training.clicks import (
    box_prompt,
    corrections,
    deepest_pixels,
    jitter_boxes,
    point_prompt,
    random_pixels,
)
from napari_uninuc.training.losses import dice_loss, focal_loss, mask_iou
from napari_uninuc.training.recipe import PromptsSection

_CANDIDATES = 0.3
"""Weight of the three candidate masks against the single one, where a first click is ambiguous."""
_TRUE_BOX, _NOISY_BOX = 0.55, 0.2
"""Of first boxes: how many are the true one, and how many are moved; the others the detector's."""


@dataclass(frozen=True, slots=True)
class Targets:
    """N nuclei in windows of one size.

    Shapes
    ------
    image_index, corners_yx   as in WindowPrompts
    side                      window side in input pixels
    truth                     (N, side, side) float32
    boxes_xyxy                (N, 4) in window pixels; true boxes
    proposals_xyxy            (N, 4) the detector's box where it found the nucleus, else the true
    """

    image_index: Tensor
    corners_yx: Tensor
    side: int
    truth: Tensor
    boxes_xyxy: Tensor
    proposals_xyxy: Tensor


def choose_targets(
    crops: Sequence[Crop],
    proposals: Sequence[Tensor],
    settings: PromptsSection,
    sides: Sequence[int],
    stride: int,
    generator: torch.Generator,
) -> list[Targets]:
    """Draw nuclei of every crop and group them by the window they need.

    Parameters
    ----------
    crops : B, of one size
    proposals : for each crop (n, 4) xyxy px, a box for each of its nuclei
    sides : of windows, input px, ascending; a nucleus that fits into none is left out
    stride : input px per coarse cell, to which windows are bound
    generator : draws at most ``settings.nuclei_per_crop`` of each crop
    """
    chosen: dict[int, list[tuple[int, int]]] = {side: [] for side in sides}
    for index, crop in enumerate(crops):
        n = len(crop.boxes_xyxy)
        for k in torch.randperm(n, generator=generator)[: settings.nuclei_per_crop].tolist():
            extent = float((crop.boxes_xyxy[k, 2:] - crop.boxes_xyxy[k, :2]).max())
            fitting = [side for side in sides if extent <= window_fill(side)]
            if fitting:
                chosen[fitting[0]].append((index, k))
    budget = len(crops) * settings.nuclei_per_crop * sides[0] ** 2
    return [
        _cut_targets(crops, proposals, picks[: max(1, budget // (2 * side**2))], side, stride)
        if side > sides[0]
        else _cut_targets(crops, proposals, picks, side, stride)
        for side, picks in chosen.items()
        if picks
    ]


def window_fill(side: int) -> float:
    """Longest box side in input pixels a window of ``side`` is used for."""
    return FILL * side


def _cut_targets(
    crops: Sequence[Crop],
    proposals: Sequence[Tensor],
    picks: list[tuple[int, int]],
    side: int,
    stride: int,
) -> Targets:
    boxes = torch.stack([crops[index].boxes_xyxy[k] for index, k in picks])
    image_index = torch.tensor([index for index, _ in picks], device=boxes.device)
    proposed = torch.stack([proposals[index][k] for index, k in picks])
    size = tuple(crops[0].labels.shape)
    centres = (boxes[:, :2] + boxes[:, 2:]).flip(1) / 2
    corners = place_windows(centres, side, (size[0], size[1]), stride)
    truth = torch.stack(
        [
            crops[index].labels[y : y + side, x : x + side] == k + 1
            for (index, k), (y, x) in zip(picks, (corners * stride).tolist(), strict=True)
        ]
    ).float()
    offset = (corners * stride).flip(1).repeat(1, 2).float()
    return Targets(image_index, corners, side, truth, boxes - offset, proposed - offset)


def interactive_loss(
    model: UniNuc,
    embedding: Embedding,
    targets: Targets,
    settings: PromptsSection,
    generator: torch.Generator,
) -> tuple[Tensor, dict[str, float]]:
    """Loss of equation (1), mean over supervised passes and nuclei; and what to log.

    Parameters
    ----------
    embedding : of the crops that the targets lie in
    targets : N nuclei of them, in windows of one size
    generator : draws prompts, clicks, and how many passes there are

    Returns
    -------
    loss, log
        (), and mean IoU of the first and the last supervised pass.
    """
    masks: Tensor | None = None
    if torch.rand(1, generator=generator).item() < settings.mask_start_share:
        points, labels, masks = mask_starts(targets, model.config.logit_stride, generator)
        by_point = torch.zeros(len(points), dtype=torch.bool, device=points.device)
    else:
        points, labels, by_point = first_prompts(targets, settings, generator)
    last = settings.corrections
    if settings.supervised == "two":
        last = int(torch.randint(1, settings.corrections + 1, (1,), generator=generator))
    losses: list[Tensor] = []
    ious: list[float] = []
    for step in range(last + 1):
        learn = settings.supervised == "all" or step in (0, last)
        with torch.set_grad_enabled(learn):
            logits, quality = _decode(model, embedding, targets, points, labels, masks)
            if learn:
                loss, iou = _loss(logits, quality, targets.truth, by_point & (step == 0), settings)
                losses.append(loss)
                ious.append(iou)
        if step == last:
            break
        with torch.no_grad():
            best = logits[:, :1].detach().float()  # (N, 1, h, w)
            predicted = upsample(best, targets.side)[:, 0] > 0
            clicks, kinds = corrections(predicted, targets.truth > 0.5, generator)
            points = torch.cat([points, clicks], dim=1)
            labels = torch.cat([labels, kinds], dim=1)
            keep = torch.rand(1, generator=generator).item() < settings.mask_prompt_share
            masks = best.clamp(-LOGIT_LIMIT, LOGIT_LIMIT) if keep else None
    log = {"iou_first": ious[0], "iou_last": ious[-1]}
    return torch.stack(losses).mean(), log


def first_prompts(
    targets: Targets, settings: PromptsSection, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """A box (true, jittered or proposed) or a point inside, for each of N nuclei.

    Shapes
    ------
    returns  points (N, 3, 2) xy px of the window, labels (N, 3), by_point (N,) bool
    """
    n, device = len(targets.truth), targets.truth.device
    lot = torch.rand(n, generator=generator).to(device)
    boxes = targets.boxes_xyxy
    noisy = jitter_boxes(boxes, settings.box_jitter, generator)
    boxes = torch.where((lot < _TRUE_BOX)[:, None], boxes, noisy)
    found = lot > _TRUE_BOX + _NOISY_BOX
    boxes = torch.where(found[:, None], targets.proposals_xyxy, boxes)
    box_points, box_labels = box_prompt(boxes)
    xy, _ = random_pixels(targets.truth > 0.5, generator)
    by_point = torch.rand(n, generator=generator).to(device) >= settings.box_share
    if settings.centre_share > 0:
        centred = torch.rand(n, generator=generator).to(device) < settings.centre_share
        xy = torch.where(centred[:, None], deepest_pixels(targets.truth > 0.5), xy)
    point_points, point_labels = point_prompt(xy)
    points = torch.where(by_point[:, None, None], point_points, box_points)
    return points, torch.where(by_point[:, None], point_labels, box_labels), by_point


def mask_starts(
    targets: Targets, stride: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """An existing outline, wrong by some pixels, and one click that corrects it.

    It is what a person does most who corrects automatic outlines; the paper starts from a point
    or box always, and a model taught so answers a mask and a click with nothing.

    Shapes
    ------
    returns  points (N, 3, 2), labels (N, 3), masks (N, 1, side / stride, side / stride) logits
    """
    truth = targets.truth > 0.5
    rough = roughen(targets.truth, generator)
    clicks, kinds = corrections(rough, truth, generator)
    n, device = len(truth), truth.device
    dropped = torch.randint(2, (n,), generator=generator).to(device)
    both = (kinds != PADDING).all(dim=1)
    one = torch.arange(2, device=device) == dropped[:, None]
    kinds = torch.where(both[:, None] & one, PADDING, kinds)
    points = torch.cat([clicks, clicks.new_zeros(n, 1, 2)], dim=1)
    labels = torch.cat([kinds, kinds.new_full((n, 1), PADDING)], dim=1)
    cover = functional.avg_pool2d(rough[:, None].float(), stride)
    return points, labels, (2 * cover - 1) * DRAWN_LOGIT


def roughen(truth: Tensor, generator: torch.Generator) -> Tensor:
    """Outlines (N, S, S) moved by smooth noise, grown or shrunk; bool, never empty."""
    n, side = truth.shape[0], truth.shape[-1]
    noise = torch.randn((n, 1, side // 8, side // 8), generator=generator).to(truth.device)
    bumps = 0.25 * upsample(noise, side)[:, 0]
    shift = 0.15 * torch.randn((n, 1, 1), generator=generator).to(truth.device)
    soft = functional.avg_pool2d(truth[:, None], 9, stride=1, padding=4)[:, 0]
    rough = soft + bumps * (soft > 0) + shift > 0.5
    empty = ~rough.flatten(1).any(dim=1)
    return torch.where(empty[:, None, None], truth > 0.5, rough)


def upsample(logits: Tensor, side: int) -> Tensor:
    """Logits (N, K, h, w) on the logit grid -> (N, K, side, side) input pixels."""
    return functional.interpolate(
        logits.float(), size=(side, side), mode="bilinear", align_corners=False
    )


def _decode(
    model: UniNuc,
    embedding: Embedding,
    targets: Targets,
    points: Tensor,
    labels: Tensor,
    masks: Tensor | None,
) -> tuple[Tensor, Tensor]:
    cells = targets.side // model.config.coarse_stride
    prompts = WindowPrompts(
        targets.image_index, targets.corners_yx, (cells, cells), points, labels, masks
    )
    return model.decode_uncorrected(embedding, prompts)


def _loss(
    logits: Tensor, quality: Tensor, truth: Tensor, ambiguous: Tensor, settings: PromptsSection
) -> tuple[Tensor, float]:
    """Single-mask output always; for first points also the best of the three candidates."""
    full = upsample(logits, truth.shape[-1])  # (N, 4, H, W)
    n, k = full.shape[:2]
    flat, repeated = full.flatten(0, 1), truth.repeat_interleave(k, dim=0)
    masks = dice_loss(flat, repeated) + settings.focal_weight * focal_loss(
        flat, repeated, settings.focal_alpha
    )
    masks = masks.view(n, k)
    ious = mask_iou(flat, repeated).view(n, k)
    honesty = (quality.float() - ious).square()
    loss = masks[:, 0] + honesty[:, 0]
    candidates = masks[:, 1:].amin(dim=1) + honesty[:, 1:].mean(dim=1)
    loss = loss + _CANDIDATES * candidates * ambiguous
    return loss.mean(), float(ious[:, 0].mean())
