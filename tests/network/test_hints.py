"""Prompts drawn on the logit grid."""

import torch

from napari_uninuc.network.hints import draw_hints
from napari_uninuc.network.prompt_encoder import NEGATIVE

STRIDE = 2


def one(points: list[tuple[float, float]], kinds: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor([points]), torch.tensor([kinds])


def test_hints_peak_at_the_click_and_are_empty_without() -> None:
    drawn = draw_hints(*one([(21.0, 31.0)], [NEGATIVE]), None, (32, 32), STRIDE)
    assert drawn.shape == (1, 4, 32, 32)
    assert not drawn[0, 0].any()
    assert divmod(int(drawn[0, 1].argmax()), 32) in {(15, 10), (15, 11), (16, 10), (16, 11)}
    assert not drawn[0, 2:].any()
