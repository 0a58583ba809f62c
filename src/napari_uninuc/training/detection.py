"""The detector's criterion: equation (2) on every decoder layer, and a dense first stage."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from napari_uninuc.datasets.crops import Crop
from napari_uninuc.network.detector import DetectorOutput
from napari_uninuc.training.losses import ia_bce, pair_iou, quality_focal, xyxy
from napari_uninuc.training.matcher import MatchCosts, match_queries
from napari_uninuc.training.recipe import LossesSection


def detection_loss(
    output: DetectorOutput,
    crops: Sequence[Crop],
    block: int,
    weights: LossesSection,
) -> tuple[Tensor, dict[str, float], list[Tensor]]:
    """Loss over the exhaustively labelled crops of a batch.

    Returns
    -------
    loss, log, proposals
        ``proposals`` holds, per crop, an (n, 4) xyxy box for each nucleus: the last layer's
        matched box where its IoU is at least 0.5, the true box elsewhere.
    """
    truths = [_cxcywh(crop.boxes_xyxy) / block for crop in crops]
    chosen = [index for index, crop in enumerate(crops) if crop.exhaustive]
    objects = max(1, sum(len(truths[index]) for index in chosen))
    proposals = [crop.boxes_xyxy.clone() for crop in crops]
    parts = {"cls": 0.0, "giou": 0.0, "l1": 0.0}
    total = output.dense[0].new_zeros(())
    for depth, (logits, boxes) in enumerate(output.layers):
        groups = logits.shape[1]
        last = depth == len(output.layers) - 1
        for index in chosen:
            for group in range(groups):
                pick = output.valid[index, group]
                terms, matched = set_loss(
                    logits[index, group][pick],
                    boxes[index, group][pick] / block,
                    truths[index],
                    crops[index].classes,
                )
                scale = 1 / (objects * groups)
                told = zip((weights.classification, weights.giou, weights.l1), terms, strict=True)
                for weight, term in told:
                    if weight > 0:  # else the heads would get gradients of 0, and decay
                        total = total + scale * weight * term
                if last:
                    for key, term in zip(parts, terms, strict=True):
                        parts[key] += float(term.detach()) * scale
                if last and group == 0:
                    _remember(proposals[index], matched, boxes[index, 0][pick])
    dense = dense_loss(output, crops, block, weights)
    log = {**parts, "dense": float(dense.detach())}
    return total / len(output.layers) + dense, log, proposals


@torch.no_grad()
def boxes_found(output: DetectorOutput, crops: Sequence[Crop], block: int) -> list[Tensor]:
    """`detection_loss`'s proposals, (n, 4) xyxy a crop, of a detector that is not taught."""
    logits, boxes = output.layers[-1]
    proposals = [crop.boxes_xyxy.clone() for crop in crops]
    for index, crop in enumerate(crops):
        if not crop.exhaustive:
            continue
        pick = output.valid[index, 0]
        found, truth = boxes[index, 0][pick], _cxcywh(crop.boxes_xyxy) / block
        queries, objects = match_queries(
            logits[index, 0][pick], found / block, truth, crop.classes, MatchCosts()
        )
        iou, _ = pair_iou(xyxy(found[queries] / block), xyxy(truth[objects]))
        _remember(proposals[index], (queries, objects, iou), found)
    return proposals


def set_loss(
    logits: Tensor,
    boxes: Tensor,
    truth: Tensor,
    classes: Tensor,
    judged: Tensor | None = None,
) -> tuple[tuple[Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]:
    """Sums over one set: (classification, 1 - GIoU, L1), and (queries, objects, IoU).

    The query of a nucleus of unknown class is taught its score in the class it tends to, and
    nothing in the others.

    Parameters
    ----------
    logits : (Q, classes)
    boxes, truth : (Q, 4), (n, 4) cxcywh in units of the block
    classes : (n,) int64, -1 unknown
    judged : (Q,) bool, queries that are taught a score; None is all of them
    """
    queries, objects = match_queries(logits, boxes.detach(), truth, classes, MatchCosts())
    iou, giou = pair_iou(xyxy(boxes[queries]), xyxy(truth[objects]))
    quality = logits.new_zeros(len(logits))
    quality[queries] = iou.detach().clamp(min=0)
    positive = torch.zeros_like(logits, dtype=torch.bool)
    unknown = classes[objects] < 0
    kinds = torch.where(unknown, logits[queries].argmax(dim=-1), classes[objects])
    positive[queries, kinds] = True
    ignored = torch.zeros_like(positive)
    ignored[queries] = unknown[:, None]
    if judged is not None:
        ignored |= ~judged[:, None]
    ignored &= ~positive
    l1 = (boxes[queries] - truth[objects]).abs().sum()
    terms = (ia_bce(logits, positive, quality, ignored=ignored), (1 - giou).sum(), l1)
    return terms, (queries, objects, iou.detach())


def _remember(proposals: Tensor, matched: tuple[Tensor, Tensor, Tensor], boxes: Tensor) -> None:
    queries, objects, iou = matched
    good = iou >= 0.5
    proposals[objects[good]] = xyxy(boxes.detach()[queries[good]]).float()


def dense_loss(
    output: DetectorOutput, crops: Sequence[Crop], block: int, weights: LossesSection
) -> Tensor:
    """Every cell inside a nucleus predicts its box; its score is taught IoU times depth.

    Depth (the normalised distance to the boundary) makes one peak a nucleus, which is what
    becomes a query. Crops that are not exhaustive teach nothing here.

    Parameters
    ----------
    output : of B crops
    crops : B of them
    block : input px by which errors of boxes are divided

    Returns
    -------
    loss : (), summed over crops and divided by their nuclei, plus one
    """
    logits, boxes = output.dense
    stride = output.stride
    total = logits.new_zeros(())
    objects = 1
    for index, crop in enumerate(crops):
        if not crop.exhaustive:
            continue
        half = stride // 2
        cells = crop.labels[half::stride, half::stride]
        depth = functional.avg_pool2d(crop.maps[1:2], stride)[0]
        h, w = cells.shape
        inside = cells > 0
        predicted = boxes[index].permute(1, 2, 0)[:h, :w][inside]  # (P, 4)
        truth = _cxcywh(crop.boxes_xyxy)[cells[inside] - 1]
        iou, giou = pair_iou(xyxy(predicted), xyxy(truth))
        strength = depth[inside].clamp(0.05, 1)
        score = iou.detach().clamp(0, 1).sqrt() * strength
        target = _class_map(logits[index], inside, crop.classes[cells[inside] - 1], score)
        share = strength / strength.new_zeros(len(crop.boxes_xyxy) + 1).index_add(
            0, cells[inside], strength
        )[cells[inside]].clamp(min=1e-6)
        l1 = (predicted - truth).abs().sum(-1) / block
        if weights.classification > 0:
            total = total + weights.classification * quality_focal(logits[index], target)
        if weights.giou + weights.l1 > 0:
            total = total + (share * (weights.giou * (1 - giou) + weights.l1 * l1)).sum()
        objects += len(crop.boxes_xyxy)
    return total / objects


def _class_map(logits: Tensor, inside: Tensor, classes: Tensor, score: Tensor) -> Tensor:
    """Targets (classes, H, W): ``score`` at the class of the cells ``inside``, 0 elsewhere.

    Shapes
    ------
    logits    (classes, H, W); where a class is unknown they are the target but for the largest
    inside    (h, w) bool, P of them True; h and w at most H and W
    classes   (P,), -1 unknown
    """
    target = torch.zeros_like(logits)
    h, w = inside.shape
    told = target[:, :h, :w].permute(1, 2, 0)  # (h, w, classes), shares memory
    here = logits[:, :h, :w].detach().permute(1, 2, 0)[inside]  # (P, classes)
    unknown = classes < 0
    kinds = torch.where(unknown, here.argmax(dim=1), classes)
    values = torch.where(unknown[:, None], torch.sigmoid(here), torch.zeros_like(here))
    told[inside] = values.scatter(1, kinds[:, None], score[:, None].to(values.dtype))
    return target


def maps_loss(auxiliary: Tensor, crops: Sequence[Crop]) -> Tensor:
    """Deep supervision of F0: cross-entropy of all maps, and Dice of the first.

    Crops that are not exhaustive teach nothing here.

    Shapes
    ------
    auxiliary  (B, 3, h, w) logits of `DenseHead`: nucleus, distance, contact
    crops      B of them
    returns    () mean over crops
    """
    total = auxiliary.new_zeros(())
    count = 0
    for index, crop in enumerate(crops):
        stride = crop.labels.shape[-1] // auxiliary.shape[-1]
        target = functional.avg_pool2d(crop.maps, stride)
        predicted = auxiliary[index].float()
        if not crop.exhaustive:
            continue
        bce = functional.binary_cross_entropy_with_logits(predicted, target, reduction="none")
        p, t = torch.sigmoid(predicted[0]), target[0]
        dice = 1 - (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1)
        total = total + (bce.mean((1, 2)) * bce.new_tensor([1.0, 1.0, 1.0])).sum() + dice
        count += 1
    return total / max(count, 1)


def _cxcywh(boxes_xyxy: Tensor) -> Tensor:
    low, high = boxes_xyxy[:, :2], boxes_xyxy[:, 2:]
    return torch.cat([(low + high) / 2, high - low], dim=1)
