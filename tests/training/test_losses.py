import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.ops import box_convert, box_iou, generalized_box_iou, sigmoid_focal_loss
from transformers.loss.loss_lw_detr import LwDetrHungarianMatcher, LwDetrImageLoss

from napari_uninuc.training.losses import (
    dice_loss,
    focal_loss,
    ia_bce,
    mask_iou,
    pair_iou,
    quality_focal,
    xyxy,
)
from napari_uninuc.training.matcher import match_queries


def _boxes(*shape: int) -> torch.Tensor:
    return torch.cat([torch.rand(*shape, 2), torch.rand(*shape, 2) * 0.3 + 0.01], dim=-1)


@pytest.mark.parametrize("seed", range(4))
def test_ia_bce_equals_transformers(seed: int) -> None:
    torch.manual_seed(seed)
    logits = (torch.randn(2, 20, 3) * 3).requires_grad_()
    boxes = _boxes(2, 20)
    targets = [{"class_labels": torch.randint(0, 3, (n,)), "boxes": _boxes(n)} for n in (6, 4)]
    matcher = LwDetrHungarianMatcher(class_cost=2.0, bbox_cost=5.0, giou_cost=2.0)
    outputs = {"logits": logits, "pred_boxes": boxes}
    indices = matcher(outputs, targets, group_detr=1)
    criterion = LwDetrImageLoss(matcher, 3, 0.25, ["labels"], 1)
    expected = criterion.loss_labels(outputs, targets, indices, num_boxes=10)["loss_ce"]
    positive, iou = torch.zeros(2, 20, 3, dtype=torch.bool), torch.zeros(2, 20)
    for k, target in enumerate(targets):
        rows, columns = match_queries(logits[k], boxes[k], target["boxes"], target["class_labels"])
        positive[k, rows, target["class_labels"][columns]] = True
        iou[k, rows] = pair_iou(xyxy(boxes[k, rows]), xyxy(target["boxes"][columns]))[0]
    ours = ia_bce(logits, positive, iou) / 10
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)
    gradients = [torch.autograd.grad(loss, logits)[0] for loss in (ours, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-5)


def test_ia_bce_stays_finite_where_probabilities_are_zero_and_one() -> None:
    logits = torch.tensor([[200.0], [-200.0]], requires_grad=True)
    loss = ia_bce(logits, torch.tensor([[False], [True]]), torch.tensor([0.0, 1.0]))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()
    assert loss > 100


def test_focal_loss_equals_torchvision() -> None:
    torch.manual_seed(0)
    logits, target = torch.randn(3, 5, 7) * 4, (torch.rand(3, 5, 7) > 0.6).float()
    expected = sigmoid_focal_loss(logits, target, alpha=0.25, gamma=2.0).flatten(1).mean(1)
    torch.testing.assert_close(focal_loss(logits, target), expected)


def test_focal_loss_without_focus_is_half_of_cross_entropy() -> None:
    torch.manual_seed(0)
    logits, target = torch.randn(2, 4, 4), (torch.rand(2, 4, 4) > 0.5).float()
    plain = torch.nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    torch.testing.assert_close(
        focal_loss(logits, target, alpha=0.5, gamma=0.0), plain.flatten(1).mean(1) / 2
    )


def test_dice_by_hand() -> None:
    target = torch.zeros(3, 2, 2)
    target[0, 0, 0] = target[1, 0, 0] = 1
    logits = torch.full((3, 2, 2), -100.0)
    logits[0, 0, 0] = 100.0  # the same pixel
    logits[1, 1, 1] = 100.0  # another pixel; the third is empty on both sides
    expected = torch.tensor([0.0, 1 - 1 / 3, 0.0])
    torch.testing.assert_close(dice_loss(logits, target), expected)


@given(seed=st.integers(0, 1000))
def test_dice_lies_in_0_to_1_and_falls_towards_the_target(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 6, 6, generator=generator)
    target = (torch.rand(2, 6, 6, generator=generator) > 0.5).float()
    loss, nearer = dice_loss(logits, target), dice_loss(logits + (2 * target - 1), target)
    assert ((loss >= 0) & (loss <= 1)).all()
    assert (nearer < loss).all()


def test_mask_iou_by_hand() -> None:
    logits = torch.tensor([[[1.0, 1.0], [-1.0, -1.0]], [[-1.0, -1.0], [-1.0, -1.0]]])
    target = torch.tensor([[[0.0, 1.0], [1.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
    torch.testing.assert_close(mask_iou(logits, target), torch.tensor([1 / 3, 0.0]))
    assert not mask_iou(logits.requires_grad_(), target).requires_grad


def test_box_iou_equals_torchvision() -> None:
    torch.manual_seed(0)
    a, b = _boxes(50), _boxes(50)
    corners = box_convert(a, "cxcywh", "xyxy"), box_convert(b, "cxcywh", "xyxy")
    torch.testing.assert_close(xyxy(a), corners[0])
    iou, giou = pair_iou(*corners)
    torch.testing.assert_close(iou, box_iou(*corners).diagonal())
    torch.testing.assert_close(giou, generalized_box_iou(*corners).diagonal())


def test_boxes_without_area_have_finite_iou_and_gradient() -> None:
    boxes = torch.tensor([[0.5, 0.5, 0.5, 0.5]], requires_grad=True)
    iou, giou = pair_iou(boxes, boxes.detach())
    (iou + giou).sum().backward()
    assert iou.item() == 0.0
    assert torch.isfinite(giou).all()
    assert torch.isfinite(boxes.grad).all()


def test_quality_focal_by_hand() -> None:
    """At p = 1/2 and target t: |1/2 - t|^2 ln 2."""
    target = torch.tensor([0.0, 0.5, 0.8])
    expected = math.log(2) * (0.25 + 0.0 + 0.09)
    assert quality_focal(torch.zeros(3), target).item() == pytest.approx(expected, rel=1e-5)


def test_quality_focal_is_least_at_its_target() -> None:
    target = torch.tensor([0.7])
    at = [quality_focal(torch.logit(torch.tensor([p])), target).item() for p in (0.6, 0.7, 0.8)]
    assert at[1] == pytest.approx(0.0, abs=1e-6)
    assert min(at[0], at[2]) > 1e-4
