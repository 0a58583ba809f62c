"""Clicks and boxes enforced on the answer."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from napari_uninuc.network.obedience import (
    FIT_LIMIT,
    OBEY_LOGIT,
    OBEY_SIGMA,
    expected_after_fit,
    fit_box,
    obey_clicks,
)
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


def ellipse(x0: float, y0: float, x1: float, y1: float) -> torch.Tensor:
    """Logits (1, 1, 32, 32) of an ellipse that touches these sides, edges of pixels."""
    centres = (torch.arange(32) + 0.5) * STRIDE
    dx = (centres - (x0 + x1) / 2) / ((x1 - x0) / 2)
    dy = (centres - (y0 + y1) / 2) / ((y1 - y0) / 2)
    return 4 * (1 - torch.hypot(dy[:, None], dx[None]))[None, None]


def sides(logits: torch.Tensor) -> list[int]:
    """First and last column and row of the mask, half-open: x0, y0, x1, y1."""
    mask = at_input(logits)[0, 0] > 0
    ys, xs = mask.any(1).nonzero(), mask.any(0).nonzero()
    return [int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1]


def box(x0: float, y0: float, x1: float, y1: float) -> tuple[torch.Tensor, torch.Tensor]:
    return one([(x0, y0), (x1, y1), (0.0, 0.0)], [BOX_TOP_LEFT, BOX_BOTTOM_RIGHT, PADDING])


@given(
    x=st.integers(8, 24),
    y=st.integers(8, 24),
    width=st.integers(12, 30),
    height=st.integers(12, 30),
    off=st.tuples(*[st.floats(-2, 2)] * 4),
)
def test_sides_come_close_to_the_box(
    x: int, y: int, width: int, height: int, off: tuple[float, ...]
) -> None:
    wanted = [x, y, x + width, y + height]
    logits = ellipse(*[side + error for side, error in zip(wanted, off, strict=True)])
    fitted = sides(fit_box(logits, *box(*wanted), STRIDE))
    for side, target, error in zip(fitted, wanted, off, strict=True):
        assert abs(side - target) <= 0.25 * abs(error) + 1.5


@given(off=st.floats(3, 6))
def test_a_sloppy_box_moves_a_side_by_the_limit_only(off: float) -> None:
    logits = ellipse(20, 20, 44, 44)
    fitted = sides(fit_box(logits, *box(20 - off, 20, 44, 44), STRIDE))
    assert abs(fitted[0] - (20 - FIT_LIMIT)) <= 1
    assert all(abs(a - b) <= 1 for a, b in zip(fitted[1:], (20, 44, 44), strict=True))


def test_a_click_beyond_the_box_widens_it() -> None:
    logits = ellipse(20, 20, 40, 44)
    points = torch.tensor([[[20.0, 20.0], [40.0, 44.0], [41.0, 32.0]]])
    kinds = torch.tensor([[BOX_TOP_LEFT, BOX_BOTTOM_RIGHT, POSITIVE]])
    assert sides(fit_box(logits, points, kinds, STRIDE))[2] >= 41
    kinds[0, 2] = NEGATIVE
    assert sides(fit_box(logits, points, kinds, STRIDE))[2] == sides(logits)[2]


@pytest.mark.parametrize("kind", [POSITIVE, NEGATIVE, PADDING])
def test_without_a_box_nothing_is_fitted(kind: int) -> None:
    logits = ellipse(20, 20, 44, 40)
    assert torch.allclose(fit_box(logits, *one([(10.0, 10.0)], [kind]), STRIDE), logits, atol=1e-4)


def test_a_fitted_answer_is_expected_to_be_better() -> None:
    quality = torch.tensor([[0.0, 0.5, 0.8, 1.0]]).expand(2, -1)
    kinds = torch.tensor([[BOX_TOP_LEFT, BOX_BOTTOM_RIGHT], [POSITIVE, PADDING]])
    expected = expected_after_fit(quality, kinds)
    assert (expected[0, 1:3] > quality[0, 1:3]).all()
    assert ((expected >= 0) & (expected <= 1)).all()
    assert torch.equal(expected[1], quality[1])


def test_an_empty_answer_stays_empty() -> None:
    logits = torch.full((1, 4, 32, 32), -3.0)
    assert torch.allclose(fit_box(logits, *box(20, 20, 40, 40), STRIDE), logits)


def test_a_neighbour_far_from_the_box_does_not_count() -> None:
    logits = torch.maximum(ellipse(10, 10, 28, 28), ellipse(40, 40, 60, 60))
    both = fit_box(logits, *box(9, 9, 29, 29), STRIDE)
    alone = fit_box(ellipse(10, 10, 28, 28), *box(9, 9, 29, 29), STRIDE)
    assert torch.allclose(both[..., :14, :14], alone[..., :14, :14], atol=1e-4)


def test_gradients_pass_through_a_fit() -> None:
    logits = ellipse(22, 22, 42, 42).requires_grad_()
    fit_box(logits, *box(20, 20, 44, 44), STRIDE).sum().backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert logits.grad.any()
