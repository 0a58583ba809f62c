"""The detector's criterion on a model of chance."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_uninuc.datasets.crops import finish_crop
from napari_uninuc.network.build import build_model
from napari_uninuc.network.config import configured, preset
from napari_uninuc.network.detector import DetectorOutput
from napari_uninuc.training.detection import detection_loss, maps_loss
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
