"""The correction: what it reads has no left and right, and what it says obeys clicks."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from napari_uninuc.network.build import build_model
from napari_uninuc.network.config import configured
from napari_uninuc.network.correction import FEATURES, Correction, describe_pixels
from napari_uninuc.network.hints import draw_box
from napari_uninuc.network.prompt_encoder import (
    BOX_BOTTOM_RIGHT,
    BOX_TOP_LEFT,
    NEGATIVE,
    PADDING,
    POSITIVE,
    has_click,
)
from napari_uninuc.network.uninuc import UniNuc, WindowPrompts

STRIDE, CELLS = 2, 16
SIDE = STRIDE * CELLS


def disc(x: float, y: float, radius: float) -> Tensor:
    """Logits (1, 1, CELLS, CELLS) of a disc, window pixels; one logit a pixel."""
    place = (torch.arange(CELLS) + 0.5) * STRIDE - 0.5
    return (radius - torch.hypot(place[:, None] - y, place[None] - x))[None, None]


def described(
    before: Tensor, answer: Tensor, points: Tensor, labels: Tensor, *, tight: bool = False
) -> Tensor:
    box = draw_box(points, labels, (CELLS, CELLS), STRIDE)
    return describe_pixels(before, answer, points, labels, box, tight, STRIDE)


def test_without_learning_nearly_all_of_the_new_answer_is_taken() -> None:
    before, answer = disc(15, 15, 6), disc(17, 15, 8)
    points, labels = torch.tensor([[[24.0, 15.0]]]), torch.tensor([[POSITIVE]])
    features = described(before, answer, points, labels)
    corrected = Correction()(features, before[:, 0], answer[:, 0])
    between = (corrected - before[:, 0]) / (answer - before)[:, 0]
    torch.testing.assert_close(between, torch.full_like(between, 0.982), atol=1e-3, rtol=0)


clicks = st.lists(
    st.tuples(
        st.floats(-4, SIDE + 4, width=32),
        st.floats(-4, SIDE + 4, width=32),
        st.sampled_from([POSITIVE, NEGATIVE, PADDING]),
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=60, deadline=None)
@given(clicks, st.floats(8, 24), st.floats(8, 24), st.booleans())
def test_a_mirrored_window_is_described_mirrored(
    placed: list[tuple[float, float, int]], x: float, y: float, has_box: bool
) -> None:
    """So that nothing is off by a pixel to one side."""
    before, answer = disc(x, y, 5), disc(x + 1, y - 1, 6)
    points = torch.tensor([[[px, py] for px, py, _ in placed]])
    labels = torch.tensor([[kind for _, _, kind in placed]])
    turned = points.clone()
    turned[..., 0] = SIDE - 1 - points[..., 0]
    if has_box:
        kinds = torch.tensor([[BOX_TOP_LEFT, BOX_BOTTOM_RIGHT]])
        labels = torch.cat([kinds, labels], dim=1)
        points = torch.cat([torch.tensor([[[3.0, 5.0], [20.0, 19.0]]]), points], dim=1)
        other = torch.tensor([[[SIDE - 20.0, 5.0], [SIDE - 3.0, 19.0]]])
        turned = torch.cat([other, turned], dim=1)
    here = described(before, answer, points, labels, tight=has_box)
    there = described(before.flip(-1), answer.flip(-1), turned, labels, tight=has_box)
    assert here.shape == (1, CELLS, CELLS, FEATURES)
    assert torch.isfinite(here).all()
    # Two clicks at one distance may be told apart by their order alone: the first stays.
    torch.testing.assert_close(there.flip(2), here, atol=2e-4, rtol=0)


def test_a_new_click_is_told_from_one_that_changes_nothing() -> None:
    before = answer = disc(15, 15, 8)
    for x, new in ((27.0, True), (15.0, False)):
        features = described(before, answer, torch.tensor([[[x, 15.0]]]), torch.tensor([[1]]))
        reach = features[..., 9]
        assert bool((reach > 0).any()) is new
        if new:
            row, column = divmod(int(reach.flatten().argmax()), CELLS)
            assert (column, row) in ((13, 7), (13, 8), (14, 7), (14, 8))


def test_a_click_outside_the_window_says_nothing() -> None:
    before, answer = disc(15, 15, 6), disc(15, 15, 8)
    nobody = torch.tensor([[PADDING]])
    away = torch.tensor([[[SIDE + 3.0, 4.0]]])
    torch.testing.assert_close(
        described(before, answer, away, torch.tensor([[POSITIVE]])),
        described(before, answer, away, nobody),
    )


def test_without_a_box_nothing_is_tight() -> None:
    """Scripts say that all their boxes are exact, and may have none."""
    before, answer = disc(15, 15, 6), disc(15, 15, 8)
    points, labels = torch.tensor([[[24.0, 15.0]]]), torch.tensor([[POSITIVE]])
    torch.testing.assert_close(
        described(before, answer, points, labels, tight=True),
        described(before, answer, points, labels, tight=False),
    )
    corners = torch.cat([torch.tensor([[[4.0, 4.0], [26.0, 26.0]]]), points], dim=1)
    kinds = torch.cat([torch.tensor([[BOX_TOP_LEFT, BOX_BOTTOM_RIGHT]]), labels], dim=1)
    exact, rough = (
        described(before, answer, corners, kinds, tight=tight) for tight in (True, False)
    )
    assert not torch.equal(exact, rough)


def test_who_clicks() -> None:
    labels = [[PADDING, PADDING], [BOX_TOP_LEFT, BOX_BOTTOM_RIGHT], [NEGATIVE, PADDING], [1, 0]]
    assert has_click(torch.tensor(labels)).tolist() == [False, False, True, True]


@pytest.fixture(scope="module")
def model() -> UniNuc:
    """Random weights, and a correction that would turn every pixel outside."""
    config = configured("uninuc-n", ["nucleus"], correction=True)
    model = build_model(config, seed=0).eval()
    assert model.correction is not None
    with torch.no_grad():
        last = model.correction.layers[-1]
        assert isinstance(last, torch.nn.Linear)
        last.bias[1] = -8.0
    return model


def prompts_of(labels: Tensor, masks: Tensor | None) -> WindowPrompts:
    n = len(labels)
    points = torch.tensor([20.0, 30.0]).expand(n, labels.shape[1], 2).clone()
    points[:, 1:] += 12
    return WindowPrompts(
        torch.zeros(n, dtype=torch.long),
        torch.zeros(n, 2, dtype=torch.long),
        (8, 8),
        points,
        labels,
        masks,
    )


@torch.inference_mode()
def test_only_clicks_on_an_outline_are_corrected_and_all_are_obeyed(model: UniNuc) -> None:
    embedding = model.encode(torch.rand(1, 3, 64, 64), detection=False)
    labels = torch.tensor([[PADDING, PADDING], [POSITIVE, PADDING], [NEGATIVE, POSITIVE]])
    masks = torch.randn(3, 1, 32, 32)
    prompts = prompts_of(labels, masks)
    plain, expected = model.decode_uncorrected(embedding, prompts, 0.1)
    logits, quality = model.decode(embedding, prompts, 0.1)
    assert torch.equal(quality, expected)
    assert torch.equal(logits[:, 1:], plain[:, 1:])  # candidates are for first clicks
    assert torch.equal(logits[0], plain[0])
    assert (logits[1:, 0] < 0).float().mean() > 0.9
    assert logits[1, 0, 15, 10] > 0
    assert logits[2, 0, 15, 10] < 0 < logits[2, 0, 21, 16]

    first = replace(prompts, masks=None)
    without, _ = model.decode_uncorrected(embedding, first, 0.1)
    assert torch.equal(model.decode(embedding, first, 0.1)[0], without)


@torch.inference_mode()
def test_weights_without_a_correction_keep_their_answer() -> None:
    model = build_model(configured("uninuc-n", ["nucleus"]), seed=0).eval()
    prompts = prompts_of(torch.tensor([[POSITIVE]]), torch.randn(1, 1, 32, 32))
    single = torch.randn(1, 1, 32, 32)
    assert torch.equal(model.correct(single, torch.randn(1, 1, 32, 32), prompts), single)


@torch.inference_mode()
def test_prompts_do_not_touch_each_other(model: UniNuc) -> None:
    embedding = model.encode(torch.rand(1, 3, 64, 64), detection=False)
    labels = torch.tensor([[POSITIVE, PADDING], [NEGATIVE, POSITIVE]])
    masks = torch.randn(2, 1, 32, 32)
    both, _ = model.decode(embedding, prompts_of(labels, masks))
    for k in range(2):
        alone, _ = model.decode(embedding, prompts_of(labels[k : k + 1], masks[k : k + 1]))
        torch.testing.assert_close(alone[0], both[k], atol=1e-3, rtol=1e-3)


@torch.inference_mode()
def test_a_mask_without_points_is_answered(model: UniNuc) -> None:
    embedding = model.encode(torch.rand(1, 3, 64, 64), detection=False)
    prompts = prompts_of(torch.zeros(1, 0, dtype=torch.long), torch.randn(1, 1, 32, 32))
    assert torch.equal(
        model.decode(embedding, prompts)[0], model.decode_uncorrected(embedding, prompts)[0]
    )


def test_a_shift_is_in_every_logit_and_clicks_are_obeyed_all_the_same() -> None:
    model = build_model(configured("uninuc-n", ["nucleus"]), seed=0).eval()
    with torch.inference_mode():
        embedding = model.encode(torch.rand(1, 3, 64, 64), detection=False)
        box = torch.tensor([[BOX_TOP_LEFT, BOX_BOTTOM_RIGHT]])
        still, moved = (model.decode(embedding, prompts_of(box, None), s)[0] for s in (0.0, 0.4))
        torch.testing.assert_close(moved, still + 0.4)
        outside = prompts_of(torch.tensor([[NEGATIVE, PADDING]]), None)
        assert (model.decode(embedding, outside, 0.5)[0][:, :, 15, 10] < 0).all()
