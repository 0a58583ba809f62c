"""Clicks drawn on the logit grid, and clicks enforced on the answer."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from napari_uninuc.network.hints import OBEY_LOGIT, OBEY_SIGMA, draw_hints, obey_clicks
from napari_uninuc.network.prompt_encoder import (
    BOX_BOTTOM_RIGHT,
    BOX_TOP_LEFT,
    NEGATIVE,
    PADDING,
    POSITIVE,
)

SIDE, STRIDE = 64, 2


def at_input(logits: torch.Tensor) -> torch.Tensor:
    """(N, K, 32, 32) -> (N, K, 64, 64), as masks are made."""
    return functional.interpolate(
        logits, scale_factor=float(STRIDE), mode="bilinear", align_corners=False
    )


def one(points: list[tuple[float, float]], kinds: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor([points]), torch.tensor([kinds])


@given(
    x=st.integers(1, SIDE - 2),
    y=st.integers(1, SIDE - 2),
    kind=st.sampled_from([POSITIVE, NEGATIVE]),
    level=st.floats(-8, 8),
)
def test_the_clicked_pixel_is_on_the_clicks_side(x: int, y: int, kind: int, level: float) -> None:
    logits = torch.full((1, 4, 32, 32), level)
    mask = at_input(obey_clicks(logits, *one([(x, y)], [kind]), STRIDE)) > 0
    assert (mask[0, :, y, x] == (kind == POSITIVE)).all()


def test_an_obedient_answer_is_left_alone() -> None:
    logits = torch.full((1, 4, 32, 32), 3.0)
    assert torch.equal(obey_clicks(logits, *one([(20.0, 20.0)], [POSITIVE]), STRIDE), logits)


def test_a_click_changes_its_surroundings_only() -> None:
    logits = torch.full((1, 1, 32, 32), -5.0)
    changed = at_input(obey_clicks(logits, *one([(20.0, 20.0)], [POSITIVE]), STRIDE)) > 0
    ys, xs = torch.nonzero(changed[0, 0], as_tuple=True)
    assert len(ys) > 0
    assert (torch.hypot(ys - 20.0, xs - 20.0) <= OBEY_SIGMA).all()


def test_of_two_contradicting_clicks_the_later_holds() -> None:
    logits = torch.zeros(1, 1, 32, 32)
    points = [(20.0, 20.0), (20.0, 20.0)]
    for kinds in ([POSITIVE, NEGATIVE], [NEGATIVE, POSITIVE]):
        mask = at_input(obey_clicks(logits, *one(points, kinds), STRIDE)) > 0
        assert bool(mask[0, 0, 20, 20]) == (kinds[-1] == POSITIVE)


@pytest.mark.parametrize(
    ("point", "kind"),
    [
        ((20.0, 20.0), PADDING),
        ((20.0, 20.0), BOX_TOP_LEFT),
        ((20.0, 20.0), BOX_BOTTOM_RIGHT),
        ((-9.0, 20.0), POSITIVE),
        ((20.0, 99.0), POSITIVE),
    ],
)
def test_boxes_padding_and_clicks_outside_the_window_do_nothing(
    point: tuple[float, float], kind: int
) -> None:
    logits = torch.full((1, 4, 32, 32), -1.0)
    assert torch.equal(obey_clicks(logits, *one([point], [kind]), STRIDE), logits)


def test_prompts_do_not_touch_each_other() -> None:
    logits = torch.full((2, 1, 32, 32), -1.0)
    points = torch.tensor([[[20.0, 20.0]], [[40.0, 40.0]]])
    kinds = torch.tensor([[POSITIVE], [PADDING]])
    answer = obey_clicks(logits, points, kinds, STRIDE)
    assert answer[0].amax() == pytest.approx(OBEY_LOGIT, abs=0.2)
    assert torch.equal(answer[1], logits[1])


def test_gradients_pass_through() -> None:
    logits = torch.full((1, 1, 32, 32), -1.0, requires_grad=True)
    obey_clicks(logits, *one([(20.0, 20.0)], [POSITIVE]), STRIDE).sum().backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_hints_peak_at_the_click_and_are_empty_without() -> None:
    drawn = draw_hints(*one([(21.0, 31.0)], [NEGATIVE]), None, (32, 32), STRIDE)
    assert drawn.shape == (1, 4, 32, 32)
    assert not drawn[0, 0].any()
    assert divmod(int(drawn[0, 1].argmax()), 32) in {(15, 10), (15, 11), (16, 10), (16, 11)}
    assert not drawn[0, 2:].any()
