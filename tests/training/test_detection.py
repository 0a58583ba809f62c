"""The detector's criterion on a model of chance."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_uninuc.datasets.crops import finish_crop
from napari_uninuc.network.build import build_model
from napari_uninuc.network.config import configured, preset
from napari_uninuc.network.detector import DetectorOutput
from napari_uninuc.training.detection import boxes_found, dense_loss, detection_loss, maps_loss
from napari_uninuc.training.losses import pair_iou
from napari_uninuc.training.recipe import LossesSection


@pytest.fixture(scope="module")
def crop():
    labels = np.zeros((64, 64), np.int32)
    labels[8:28, 6:30], labels[36:56, 30:52] = 1, 2
    return finish_crop(torch.full((3, 64, 64), 0.5), labels, True, 12)


@pytest.fixture(scope="module")
def model():
    return build_model(preset("uninuc-n"), seed=0)


def loss_of(model, crops):
    embedding = model.encode(torch.stack([crop.image for crop in crops]))
    output = model.detect(embedding, groups=2)
    return detection_loss(output, crops, model.config.detector.block, LossesSection())


def test_every_part_counts_and_teaches_the_detector(model, crop):
    model.zero_grad()
    loss, log, proposals = loss_of(model, [crop, crop])
    loss.backward()
    assert torch.isfinite(loss)
    assert all(log[part] > 0 for part in ("cls", "giou", "l1", "dense"))
    assert [box.shape for box in proposals] == [(2, 4), (2, 4)]
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.detector.parameters())


def output_of(crop, layers, groups=1, wrong=0.0):
    """Perfect boxes in every layer, moved by so many px; all logits are 0."""
    low, high = crop.boxes_xyxy[:, :2], crop.boxes_xyxy[:, 2:]
    boxes = torch.cat([(low + high) / 2 + wrong, high - low], dim=1)
    n = len(boxes)
    layer = (torch.zeros(1, groups, n, 1), boxes.expand(1, groups, n, 4))
    dense = torch.zeros(1, 1, 16, 16), torch.full((1, 4, 16, 16), 8.0)
    return DetectorOutput([layer] * layers, dense, torch.ones(1, groups, n, dtype=torch.bool), 4)


def test_layers_and_groups_are_averaged_and_nuclei_too(crop):
    """Equation (2): twice the layers, or the groups, or the same crops again, say no more."""
    one, log, _ = detection_loss(output_of(crop, 1, wrong=2.0), [crop], 256, LossesSection())
    for layers, groups in ((3, 1), (1, 4), (2, 2)):
        output = output_of(crop, layers, groups, 2.0)
        loss, again, _ = detection_loss(output, [crop], 256, LossesSection())
        torch.testing.assert_close(loss, one)
        assert again == pytest.approx(log)
    _, giou = pair_iou(crop.boxes_xyxy, crop.boxes_xyxy + 2)
    assert log["l1"] == pytest.approx(2 * 2 / 256)  # both centre coordinates, in blocks
    assert log["giou"] == pytest.approx(float((1 - giou).mean()))
    weighted = LossesSection(classification=3.0, giou=0.5, l1=7.0)
    loss, _, _ = detection_loss(output_of(crop, 2, wrong=2.0), [crop], 256, weighted)
    parts = 3 * log["cls"] + 0.5 * log["giou"] + 7 * log["l1"]
    dense = dense_loss(output_of(crop, 1), [crop], 256, weighted)
    assert float(loss) == pytest.approx(parts + float(dense))


def test_proposals_are_boxes_that_overlap_by_half(crop):
    for wrong, found in ((2.0, True), (3.0, True), (5.0, False)):
        _, _, proposals = detection_loss(
            output_of(crop, 1, wrong=wrong), [crop], 256, LossesSection()
        )
        expected = crop.boxes_xyxy + (wrong if found else 0)
        torch.testing.assert_close(proposals[0], expected)


def test_a_detector_that_is_not_taught_offers_the_same_boxes(crop):
    for wrong in (0.0, 2.0, 5.0):
        output = output_of(crop, 2, wrong=wrong)
        _, _, taught = detection_loss(output, [crop], 256, LossesSection())
        assert torch.equal(boxes_found(output, [crop], 256)[0], taught[0])
    partly = replace(crop, exhaustive=False)
    output = output_of(crop, 1, wrong=2.0)
    assert torch.equal(boxes_found(output, [partly], 256)[0], crop.boxes_xyxy)


def test_proposals_are_those_of_the_last_layer(crop):
    good, bad = output_of(crop, 1, wrong=2.0), output_of(crop, 1, wrong=9.0)
    both = replace(good, layers=[*good.layers, *bad.layers])
    _, _, proposals = detection_loss(both, [crop], 256, LossesSection())
    assert torch.equal(proposals[0], crop.boxes_xyxy)


@pytest.mark.parametrize("wrong", [0.0, 2.0])
def test_the_first_stage_by_hand(crop, wrong):
    """Scores are taught the root of the IoU times the depth; boxes count once a nucleus."""
    cells = crop.labels[2::4, 2::4]
    low, high = crop.boxes_xyxy[:, :2], crop.boxes_xyxy[:, 2:]
    true = torch.cat([(low + high) / 2, high - low], dim=1)
    moved = true + torch.tensor([wrong, wrong, 0, 0])
    boxes = torch.cat([torch.ones(1, 4), moved])[cells].permute(2, 0, 1)[None]
    output = replace(output_of(crop, 1), dense=(torch.zeros(1, 1, 16, 16), boxes))
    iou, giou = pair_iou(crop.boxes_xyxy, crop.boxes_xyxy + wrong)
    depth = torch.nn.functional.avg_pool2d(crop.maps[1:2], 4)[0]
    assert 0.05 < depth[cells > 0].min() < 0.3
    score = torch.where(cells > 0, depth, 0) * torch.cat([torch.zeros(1), iou.sqrt()])[cells]
    scores = float(np.log(2) * (0.5 - score).square().sum())  # quality focal loss at p = 1/2
    places = float((5 * (1 - giou) + 2 * 2 * wrong / 256).sum())
    loss = dense_loss(output, [crop], 256, LossesSection())
    assert float(loss) == pytest.approx((scores + places) / 3, rel=1e-5)  # two nuclei, and one


def test_partly_labelled_crops_are_left_out(model, crop):
    loss, log, proposals = loss_of(model, [replace(crop, exhaustive=False)])
    assert loss == 0
    assert set(log.values()) == {0.0}
    assert torch.equal(proposals[0], crop.boxes_xyxy)


def test_a_crop_without_nuclei_teaches_silence(model):
    empty = finish_crop(torch.full((3, 64, 64), 0.9), np.zeros((64, 64), np.int32), True, 12)
    loss, log, proposals = loss_of(model, [empty])
    assert torch.isfinite(loss)
    assert log["giou"] == log["l1"] == 0
    assert log["cls"] > 0
    assert proposals[0].shape == (0, 4)


def test_maps_are_best_where_they_are_true(crop):
    stride = 2
    truth = torch.nn.functional.avg_pool2d(crop.maps, stride)[None].clamp(1e-3, 1 - 1e-3)
    right = maps_loss(torch.logit(truth), [crop])
    wrong = maps_loss(torch.logit(1 - truth), [crop])
    assert right < 0.5 * wrong
    assert maps_loss(torch.logit(truth), [replace(crop, exhaustive=False)]) == 0


def test_maps_are_told_by_cross_entropy_and_the_nucleus_by_dice_too(crop):
    half = 0.5 * 32 * 32
    nucleus = float(torch.nn.functional.avg_pool2d(crop.maps, 2)[0].sum())
    dice = 1 - (nucleus + 1) / (half + nucleus + 1)
    loss = maps_loss(torch.zeros(1, 3, 32, 32), [crop])
    assert float(loss) == pytest.approx(3 * np.log(2) + dice, rel=1e-5)


KINDS = ("a", "b", "c")


def told(crop, logits):
    """Gradients of the two queries' logits and of the dense ones, boxes being perfect."""
    boxes = torch.cat(
        [
            (crop.boxes_xyxy[:, :2] + crop.boxes_xyxy[:, 2:]) / 2,
            crop.boxes_xyxy[:, 2:] - crop.boxes_xyxy[:, :2],
        ],
        dim=1,
    )
    queries = logits[None, None].clone().requires_grad_()
    dense = torch.zeros(1, len(KINDS), 16, 16, requires_grad=True)
    output = DetectorOutput(
        [(queries, boxes[None, None])],
        (dense, torch.full((1, 4, 16, 16), 8.0)),
        torch.ones(1, 1, 2, dtype=torch.bool),
        4,
    )
    detection_loss(output, [crop], 256, LossesSection())[0].backward()
    return queries.grad[0, 0], dense.grad[0]


def test_each_nucleus_is_taught_its_class(crop):
    named = replace(crop, classes=torch.tensor([2, 0]))
    queries, dense = told(named, torch.zeros(2, 3))
    assert (queries.argmin(dim=1) == named.classes).all()  # pushed up: the gradient is negative
    assert ((queries < 0).sum(dim=1) == 1).all()
    middle = {0: (4, 4), 1: (11, 10)}
    for nucleus, (y, x) in middle.items():
        assert dense[:, y, x].argmin() == named.classes[nucleus]


def test_an_unknown_class_teaches_that_there_is_a_nucleus(crop):
    unknown = replace(crop, classes=torch.tensor([-1, -1]))
    logits = torch.tensor([[0.0, 1.0, -1.0], [0.5, -1.0, 0.0]])
    queries, dense = told(unknown, logits)
    assert (queries != 0).tolist() == [[False, True, False], [True, False, False]]
    assert (dense[:, 4, 4] != 0).sum() == 1
    assert (dense[:, 0, 0] > 0).all()  # background still is none of them


def test_one_class_is_what_it_was(crop, model):
    """Classes of -1 mean something only where there are several."""
    several = build_model(configured("uninuc-n", KINDS), seed=0)
    assert several.detector.dense_class.out_channels == 3
    assert loss_of(several, [replace(crop, classes=torch.tensor([2, 0]))])[0].isfinite()
