"""The detector's criterion on a model of chance."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_uninuc.datasets.crops import finish_crop
from napari_uninuc.network.build import build_model, preset
from napari_uninuc.training.detection import DetectionWeights, detection_loss, maps_loss


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
    return detection_loss(output, crops, model.config.detector.block, DetectionWeights())


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
