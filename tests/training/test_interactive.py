"""Targets cut into windows, and the loss of simulated clicking."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_uninuc.datasets.crops import finish_crop
from napari_uninuc.network.build import build_model
from napari_uninuc.network.config import preset
from napari_uninuc.network.prompt_encoder import PADDING, POSITIVE
from napari_uninuc.training.clicks import deepest_pixels
from napari_uninuc.training.interactive import (
    Targets,
    _loss,
    choose_targets,
    first_prompts,
    interactive_loss,
    mask_starts,
    roughen,
    upsample,
)
from napari_uninuc.training.losses import dice_loss, focal_loss, mask_iou
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


def test_first_clicks_may_fall_in_the_middle(crop):
    target = targets_of(crop)[0]
    settings = PromptsSection(box_share=0.0, centre_share=1.0)
    points, _, _ = first_prompts(target, settings, generator())
    assert torch.equal(points[:, 0], deepest_pixels(target.truth > 0.5))
    many = replace(
        target,
        truth=target.truth.repeat(200, 1, 1),
        boxes_xyxy=target.boxes_xyxy.repeat(200, 1),
        proposals_xyxy=target.proposals_xyxy.repeat(200, 1),
    )
    settings = PromptsSection(box_share=0.0, centre_share=0.3)
    points, _, _ = first_prompts(many, settings, generator())
    middle = deepest_pixels(target.truth > 0.5).repeat(200, 1)
    assert (points[:, 0] == middle).all(dim=1).float().mean() == pytest.approx(0.3, abs=0.08)


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


def of_length(*extents):
    """A crop of 256 px with one nucleus of each length, 6 px wide, along either axis in turn."""
    labels = np.zeros((256, 256), np.int32)
    for k, extent in enumerate(extents):
        labels[8 + 10 * k : 14 + 10 * k, 4 : 4 + extent] = k + 1
    return finish_crop(torch.zeros(3, 256, 256), labels, True, 12)


def test_a_nucleus_fills_at_most_72_hundredths_of_its_window():
    """As in `engine.windows`: 46 of 64 px, 92 of 128; longer than 184 of 256 is never clicked."""
    crop = of_length(46, 47, 92, 93, 184, 185)
    many = PromptsSection(nuclei_per_crop=100)
    windows = choose_targets([crop], [crop.boxes_xyxy], many, [64, 128, 256], 8, generator())
    lengths = {
        target.side: sorted((target.boxes_xyxy[:, 2] - target.boxes_xyxy[:, 0]).int().tolist())
        for target in windows
    }
    assert lengths == {64: [46], 128: [47, 92], 256: [93, 184]}


def test_large_windows_are_few_as_their_area_costs():
    """All of a crop's nuclei in one size of window cost at most half of as many small ones."""
    crop = of_length(*[100] * 20)
    settings = PromptsSection(nuclei_per_crop=16)
    (target,) = choose_targets([crop], [crop.boxes_xyxy], settings, [64, 128, 256], 8, generator())
    assert (target.side, len(target.truth)) == (256, 1)
    crop = of_length(*[60] * 20)
    (target,) = choose_targets([crop], [crop.boxes_xyxy], settings, [64, 128, 256], 8, generator())
    assert (target.side, len(target.truth)) == (128, 2)
    crop = of_length(*[20] * 20)
    (target,) = choose_targets([crop], [crop.boxes_xyxy], settings, [64, 128, 256], 8, generator())
    assert (target.side, len(target.truth)) == (64, 16)


def test_first_boxes_are_true_moved_or_the_detectors():
    n = 3000
    true = torch.tensor([10.0, 12, 40, 36]).expand(n, -1)
    proposed = torch.tensor([9.0, 11, 42, 37]).expand(n, -1)
    none = torch.zeros(n, dtype=torch.long)
    truth = torch.ones(n, 4, 4)
    targets = Targets(none, torch.zeros(n, 2, dtype=torch.long), 64, truth, true, proposed)
    settings = PromptsSection(box_share=1.0, box_jitter=0.06)
    points, _, _ = first_prompts(targets, settings, generator())
    boxes = points[:, :2].flatten(1)
    exact, detected = ((boxes == box).all(dim=1) for box in (true, proposed))
    moved = ~exact & ~detected
    for share, expected in ((exact, 0.55), (moved, 0.2), (detected, 0.25)):
        assert float(share.float().mean()) == pytest.approx(expected, abs=0.03)
    shift = (boxes - true)[moved] / torch.tensor([30.0, 24, 30, 24])
    assert float(shift.std()) == pytest.approx(0.053, abs=0.005)  # 0.06, cut at two of it
    assert float(shift.abs().max()) <= 0.12 + 1e-5
    by_point = first_prompts(targets, PromptsSection(box_share=0.3), generator())[2]
    assert float(by_point.float().mean()) == pytest.approx(0.7, abs=0.03)


def test_candidates_count_for_three_tenths_where_a_click_is_ambiguous():
    logits = 3 * torch.randn(2, 4, 16, 16, generator=generator())
    quality = torch.rand(2, 4, generator=generator())
    truth = (torch.rand(2, 32, 32, generator=generator()) > 0.5).float()
    settings = PromptsSection(focal_weight=7.0, focal_alpha=0.4)
    full = upsample(logits, 32)

    def outline(k):
        return dice_loss(full[:, k], truth) + 7.0 * focal_loss(full[:, k], truth, 0.4)

    def honesty(k):
        return (quality[:, k] - mask_iou(full[:, k], truth)).square()

    single = outline(0) + honesty(0)
    best = torch.stack([outline(k) for k in (1, 2, 3)]).amin(dim=0)
    candidates = best + torch.stack([honesty(k) for k in (1, 2, 3)]).mean(dim=0)
    sure, unsure = torch.zeros(2, dtype=torch.bool), torch.ones(2, dtype=torch.bool)
    loss, iou = _loss(logits, quality, truth, sure, settings)
    torch.testing.assert_close(loss, single.mean())
    assert iou == pytest.approx(float(mask_iou(full[:, 0], truth).mean()))
    loss, _ = _loss(logits, quality, truth, unsure, settings)
    torch.testing.assert_close(loss, (single + 0.3 * candidates).mean())


class Answers:
    """A network that answers with set logits and remembers how it was asked."""

    def __init__(self, config, answer):
        self.config, self.answer, self.asked = config, answer, []

    def decode_uncorrected(self, _embedding, prompts):
        self.asked.append((prompts, torch.is_grad_enabled()))
        return self.answer, torch.zeros(len(self.answer), 4)


@pytest.mark.parametrize(("supervised", "passes"), [("all", 8), ("two", None)])
def test_each_answer_is_clicked_twice_and_clamped_when_it_is_fed_back(crop, supervised, passes):
    target = targets_of(crop)[0]
    answer = torch.full((2, 4, 32, 32), -100.0, requires_grad=True)
    model = Answers(preset("uninuc-n"), answer)
    settings = PromptsSection(supervised=supervised, mask_prompt_share=1.0, box_share=0.0)
    loss, log = interactive_loss(model, None, target, settings, generator())
    learning = [learns for _, learns in model.asked]
    if passes is not None:
        assert (len(learning), sum(learning)) == (passes, passes)
    else:
        assert learning[0]
        assert learning[-1]
        assert sum(learning) == 2
        assert 2 <= len(learning) <= 8
    assert log == {"iou_first": 0.0, "iou_last": 0.0}
    first, later = model.asked[0][0], [prompts for prompts, _ in model.asked[1:]]
    assert first.masks is None
    for k, prompts in enumerate(later, start=1):
        assert prompts.points_xy.shape == (2, 3 + 2 * k, 2)
        assert prompts.labels[:, -2:].tolist() == [[POSITIVE, PADDING]] * 2  # nothing is too much
        assert (prompts.masks == -32).all()
    one = _loss(answer, torch.zeros(2, 4), target.truth, torch.zeros(2, dtype=bool), settings)[0]
    unsure = _loss(answer, torch.zeros(2, 4), target.truth, torch.ones(2, dtype=bool), settings)[0]
    mean = (unsure + (sum(learning) - 1) * one) / sum(learning)  # the first alone was ambiguous
    torch.testing.assert_close(loss, mean)


def test_any_later_pass_may_be_supervised(crop):
    target = targets_of(crop)[0]
    settings, lengths = PromptsSection(corrections=3), set()
    for seed in range(24):
        model = Answers(preset("uninuc-n"), torch.ones(2, 4, 32, 32))
        interactive_loss(model, None, target, settings, torch.Generator().manual_seed(seed))
        lengths.add(len(model.asked))
    assert lengths == {2, 3, 4}


def test_masks_are_fed_back_as_often_as_asked(crop):
    target = targets_of(crop)[0]
    model = Answers(preset("uninuc-n"), torch.ones(2, 4, 32, 32))
    settings = PromptsSection(supervised="all", mask_prompt_share=0.25)
    lots = torch.Generator().manual_seed(1)
    for _ in range(60):
        interactive_loss(model, None, target, settings, lots)
    later = [prompts.masks is not None for k, (prompts, _) in enumerate(model.asked) if k % 8]
    assert np.mean(later) == pytest.approx(0.25, abs=0.07)


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


def test_rough_outlines_are_sure_and_get_a_click_of_either_kind(crop):
    target = targets_of(crop)[0]
    kinds = []
    for seed in range(20):
        _, labels, masks = mask_starts(target, 2, torch.Generator().manual_seed(seed))
        assert (masks.min(), masks.max()) == (-8, 8)  # as if somebody had drawn them
        kinds += [row[row != PADDING].tolist() for row in labels]
    assert all(len(row) == 1 for row in kinds)  # one click, though most have both kinds of error
    assert 0.2 < np.mean([row == [POSITIVE] for row in kinds]) < 0.8


def test_rough_outlines_are_grown_or_shrunk_and_have_bumps():
    place = torch.arange(64.0)
    disc = torch.hypot(place[:, None] - 32, place[None] - 32) < 12
    rough = roughen(disc.float().expand(300, -1, -1), generator()).float()
    area = rough.sum(dim=(1, 2))
    grown = float((area / disc.sum()).log().std())
    centre = (rough * place[:, None]).sum(dim=(1, 2)) / area
    assert grown == pytest.approx(0.3, rel=0.2)
    assert float(centre.std()) == pytest.approx(0.9, rel=0.2)  # px


def test_boxes_of_the_detector_are_in_the_window_too(crop):
    (small, large) = choose_targets(
        [crop], [crop.boxes_xyxy + 3], PromptsSection(), [64, 128], 8, generator()
    )
    for target in (small, large):
        assert torch.equal(target.proposals_xyxy, target.boxes_xyxy + 3)


def test_a_run_may_start_from_masks_only(crop):
    model = build_model(preset("uninuc-n"), seed=0)
    settings = PromptsSection(corrections=1, mask_start_share=1.0)
    embedding = model.encode(crop.image[None])
    loss, log = interactive_loss(model, embedding, targets_of(crop)[0], settings, generator())
    loss.backward()
    assert torch.isfinite(loss)
    assert 0 <= log["iou_first"] <= 1
