"""Hungarian matching of queries and nuclei (LW-DETR), per image and per query group."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from napari_uninuc.training.losses import pair_iou, xyxy


@dataclass(frozen=True, slots=True)
class MatchCosts:
    """Weights of the matching cost; L1 is on boxes divided by the block's side."""

    classification: float = 2.0
    l1: float = 5.0
    giou: float = 2.0
    alpha: float = 0.25
    gamma: float = 2.0


@torch.no_grad()
def match_queries(
    logits: Tensor,
    boxes: Tensor,
    truth_boxes: Tensor,
    truth_classes: Tensor,
    costs: MatchCosts | None = None,
) -> tuple[Tensor, Tensor]:
    """Match the queries of one group with the nuclei of one image, at least total cost.

    Parameters
    ----------
    logits : (Q, classes)
    boxes, truth_boxes : (Q, 4), (n, 4) cxcywh in units of the block
    truth_classes : (n,) int64; -1 where the class is not known: then a query's best class counts

    Returns
    -------
    queries, objects : (m,) int64, m = min(Q, n)
    """
    costs = costs or MatchCosts()
    p = torch.sigmoid(logits.float())
    off = (1 - costs.alpha) * p.pow(costs.gamma) * -torch.log(1 - p + 1e-8)
    on = costs.alpha * (1 - p).pow(costs.gamma) * -torch.log(p + 1e-8)
    by_class = on - off  # (Q, classes)
    unknown = truth_classes < 0
    cost = by_class[:, truth_classes.clamp(min=0)]  # (Q, n)
    cost = torch.where(unknown, by_class.amin(dim=1, keepdim=True), cost) * costs.classification
    cost = cost + costs.l1 * torch.cdist(boxes, truth_boxes, p=1)
    cost = cost - costs.giou * cross_giou(xyxy(boxes), xyxy(truth_boxes))
    rows, columns = linear_sum_assignment(cost.cpu().numpy())
    return (
        torch.as_tensor(rows, dtype=torch.long, device=logits.device),
        torch.as_tensor(columns, dtype=torch.long, device=logits.device),
    )


def cross_giou(a: Tensor, b: Tensor) -> Tensor:
    """Generalised IoU of every pair, (N, 4) and (M, 4) xyxy -> (N, M)."""
    return pair_iou(a[:, None], b[None, :])[1]
