"""Targets cut into windows, and the loss of simulated clicking."""

import numpy as np
import pytest
import torch

from napari_uninuc.datasets.crops import finish_crop
from napari_uninuc.network.build import build_model
from napari_uninuc.network.config import preset
from napari_uninuc.network.prompt_encoder import PADDING, POSITIVE
from napari_uninuc.training.interactive import (
    choose_targets,
    first_prompts,
    interactive_loss,
    mask_starts,
    upsample,
)
from napari_uninuc.training.recipe import PromptsSection


def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="module")
def crop():
    labels = np.zeros((128, 128), np.int32)
    labels[8:28, 6:30], labels[50:120, 40:110], labels[100:124, 2:20] = 1, 2, 3
    return finish_crop(torch.rand(3, 128, 128, generator=generator()), labels, True, 12)


def targets_of(crop):
    return choose_targets([crop], [crop.boxes_xyxy], PromptsSection(), [64, 128], 8, generator())


def test_each_nucleus_lies_whole_in_the_window_it_needs(crop):
    small, large = targets_of(crop)
    assert (small.side, large.side) == (64, 128)
    assert len(small.truth) == 2
    assert len(large.truth) == 1
    for target in (small, large):
        for truth, box in zip(target.truth, target.boxes_xyxy.int().tolist(), strict=True):
            x0, y0, x1, y1 = box
            assert truth.sum() == truth[y0:y1, x0:x1].sum() == (y1 - y0) * (x1 - x0)


def test_first_prompts_are_points_inside_or_boxes(crop):
    target = targets_of(crop)[0]
    points, _, by_point = first_prompts(target, PromptsSection(box_share=0.0), generator())
    assert by_point.all()
    for truth, (x, y) in zip(target.truth, points[:, 0].long().tolist(), strict=True):
        assert truth[y, x] == 1
    settings = PromptsSection(box_share=1.0, box_jitter=0.0)
    points, _, by_point = first_prompts(target, settings, generator())
    assert not by_point.any()
    assert torch.equal(points[:, :2].flatten(1), target.boxes_xyxy)


@pytest.mark.parametrize("supervised", ["two", "all"])
def test_the_loss_teaches_decoder_and_encoder(crop, supervised):
    model = build_model(preset("uninuc-n"), seed=0)
    embedding = model.encode(crop.image[None])
    settings = PromptsSection(corrections=2, supervised=supervised)
    target = targets_of(crop)[0]
    loss, log = interactive_loss(model, embedding, target, settings, generator())
    loss.backward()
    assert torch.isfinite(loss)
    assert all(0 <= value <= 1 for value in log.values())
    for part in (model.sam_mask_decoder, model.image_encoder):
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters())


def test_mask_starts_are_rough_outlines_with_one_click_that_corrects_them(crop):
    target = targets_of(crop)[0]
    overlaps = []
    for seed in range(8):
        points, labels, masks = mask_starts(target, 2, torch.Generator().manual_seed(seed))
        assert masks.shape == (2, 1, 32, 32)
        assert ((labels != PADDING).sum(dim=1) <= 1).all()
        rough, truth = upsample(masks, 64)[:, 0] > 0, target.truth > 0.5
        overlaps += ((rough & truth).sum((1, 2)) / (rough | truth).sum((1, 2))).tolist()
        for inside, click, kind in zip(truth, points[:, 0].long(), labels[:, 0], strict=True):
            assert kind == PADDING or bool(inside[click[1], click[0]]) == (kind == POSITIVE)
    assert min(overlaps) > 0.1
    assert 0.5 < np.mean(overlaps) < 0.95


def test_a_run_may_start_from_masks_only(crop):
    model = build_model(preset("uninuc-n"), seed=0)
    settings = PromptsSection(corrections=1, mask_start_share=1.0)
    embedding = model.encode(crop.image[None])
    loss, log = interactive_loss(model, embedding, targets_of(crop)[0], settings, generator())
    loss.backward()
    assert torch.isfinite(loss)
    assert 0 <= log["iou_first"] <= 1
