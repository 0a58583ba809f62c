"""The correction: what a click changes, decided pixel by pixel; ours.

Tokens carry a click to the whole window, and what they say of a pixel beside it is vague: answers
that were nearly right lose on one side what a click wins on the other. For every pixel this reads
the answer before the click, the one after it and where the clicks lie, and says how much of the
new answer to take and what to add. It sees no tissue: what tissue says is in both answers already,
and reading more of it gave nothing (docs/experiments.md). It runs for clicks on an outline that is
there, and for nothing else: a box of the detector costs what it did.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_uninuc.network.hints import click_distances
from napari_uninuc.network.prompt_encoder import BOX_TOP_LEFT, NEGATIVE, POSITIVE
from napari_uninuc.network.sampling import sample_at

__all__ = ["FEATURES", "Correction", "describe_pixels"]

FEATURES = 39
"""What `describe_pixels` says of a pixel."""
_WIDTH = 64
_SOFT, _LIMIT = 3.0, 4.0
"""Logits are read as tanh(logit / 3), and linearly between -4 and 4."""
_RADII = (2.0, 5.0, 14.0)
"""Input pixels at which the nearness of a click has fallen to 1/e."""
_REACH, _REACH_BY_DEPTH = 8.0, 1.5
"""A click's reach in input pixels: this, and so many times its depth in what was wrong."""
_DEEPEST = 20.0
"""Input pixels; no click counts as deeper than that."""
_START_TAKES = 4.0
"""Logit of how much of the new answer is taken before anything is learnt: 98 %."""


class Correction(nn.Module):
    """Three hidden layers over the features of one pixel: 11,000 weights."""

    mean: Tensor
    spread: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(FEATURES))
        self.register_buffer("spread", torch.ones(FEATURES))
        last = nn.Linear(_WIDTH, 2)
        widths = (FEATURES, _WIDTH, _WIDTH, _WIDTH)
        hidden = [
            layer for a, b in itertools.pairwise(widths) for layer in (nn.Linear(a, b), nn.ReLU())
        ]
        self.layers = nn.Sequential(*hidden, last)
        nn.init.zeros_(last.weight)
        with torch.no_grad():
            last.bias.copy_(torch.tensor([_START_TAKES, 0.0]))

    def forward(self, features: Tensor, before: Tensor, answer: Tensor) -> Tensor:
        """Corrected logits, float32.

        Shapes
        ------
        features  (..., FEATURES), see `describe_pixels`
        before    (...) logits of the answer before the clicks
        answer    (...) logits of the answer to them
        """
        with torch.autocast(features.device.type, enabled=False):
            take, add = self.layers((features.float() - self.mean) / self.spread).unbind(dim=-1)
        corrected: Tensor = before + torch.sigmoid(take) * (answer - before) + add
        return corrected


def describe_pixels(
    before: Tensor,
    answer: Tensor,
    points_xy: Tensor,
    labels: Tensor,
    box: Tensor,
    tight: bool,
    stride: int,
) -> Tensor:
    """What the correction reads of each pixel of N windows.

    Clicks that the answer before was wrong at are new ones; the others are old, or were needless.

    Shapes
    ------
    before     (N, 1, H, W) logits of the answer before the clicks, on the logit grid
    answer     (N, 1, H, W) logits of the answer to them
    points_xy  (N, P, 2) input pixels of the window, P >= 1
    labels     (N, P) as in the prompt encoder
    box        (N, H, W) of `napari_uninuc.network.hints.draw_box`
    tight      boxes, where there are any, are right to the pixel
    stride     input pixels a cell of the grid
    returns    (N, H, W, FEATURES) float32
    """
    before, answer = before.float(), answer.float()
    clicks = _Clicks.of(before, points_xy, labels, stride)
    maps = [*_logit_maps(before, answer), clicks.reach()]
    inside = (answer > 0).sum(dim=(2, 3), keepdim=True).clamp(min=1)
    counts = [(clicks.sign == sign).sum(dim=1)[:, None, None, None] for sign in (1, -1)]
    facts = [inside.sqrt() * stride / 40, *((1 + count).log2() / 3 for count in counts)]
    exact = (labels == BOX_TOP_LEFT).any(dim=1) & tight  # without a box nothing is tight
    facts.append(exact.float()[:, None, None, None])
    maps += [fact.expand_as(answer) for fact in facts]
    level = _at(answer, points_xy, stride)
    for new in (True, False):
        for sign in (1, -1):
            maps += clicks.around((clicks.sign == sign) & (clicks.new == new), answer, level)
    return torch.cat([*maps, box[:, None].float()], dim=1).permute(0, 2, 3, 1)


@dataclass(frozen=True, slots=True)
class _Clicks:
    """Clicks on an answer.

    Shapes
    ------
    sign     (N, P) 1 inside, -1 outside, 0 no click in this window
    new      (N, P) bool, the answer was wrong there
    squared  (N, P, H, W) squared distance of each cell, input pixels
    depth    (N, P) input pixels from the nearest cell where the answer says what the click says
    """

    sign: Tensor
    new: Tensor
    squared: Tensor
    depth: Tensor

    @classmethod
    def of(cls, before: Tensor, points_xy: Tensor, labels: Tensor, stride: int) -> _Clicks:
        size = torch.tensor(before.shape[:1:-1], device=before.device) * stride
        within = ((points_xy > -0.5) & (points_xy < size - 0.5)).all(dim=-1)
        sign = ((labels == POSITIVE).int() - (labels == NEGATIVE).int()) * within
        squared = click_distances(points_xy, (before.shape[2], before.shape[3]), stride)
        agrees = before * sign[..., None, None] > 0
        farthest = torch.tensor(_DEEPEST**2, device=before.device)
        depth = torch.where(agrees, squared, farthest).amin(dim=(2, 3)).clamp(max=farthest).sqrt()
        new = (sign * _at(before, points_xy, stride) < 0) & (sign != 0)
        return cls(sign, new, squared, depth)

    def reach(self) -> Tensor:
        """Highest nearness (N, 1, H, W) of a new click, each by its own reach."""
        width = _REACH + _REACH_BY_DEPTH * self.depth
        near = torch.exp(-self.squared / (2 * width.square())[..., None, None])
        return near.masked_fill(~self.new[..., None, None], 0).amax(dim=1, keepdim=True)

    def around(self, chosen: Tensor, answer: Tensor, level: Tensor) -> list[Tensor]:
        """Say of the chosen clicks (N, P), for each cell, where the nearest is and what it is.

        ``level`` (N, P) are the logits of ``answer`` (N, 1, H, W) at the clicks.
        """
        far = self.squared.masked_fill(~chosen[..., None, None], torch.inf)
        squared, nearest = far.min(dim=1, keepdim=True)
        distance = squared.sqrt()
        has_any = chosen.any(dim=1)[:, None, None, None]
        beside = _of_nearest(level, nearest) - answer
        deep = _of_nearest(self.depth, nearest)
        # How many lie where this answer is undecided: they say that all of it is too small.
        undecided = (torch.exp(-level.abs()) * chosen).sum(dim=1)[:, None, None, None] / 2
        return [
            *(torch.exp(-distance / radius) for radius in _RADII),
            beside.clamp(-_LIMIT, _LIMIT) / 2 * has_any,
            deep.clamp(max=10) / 5 * has_any,
            undecided.expand_as(answer),
        ]


def _of_nearest(values: Tensor, nearest: Tensor) -> Tensor:
    """The value (N, P) of the click whose number (N, 1, H, W) each cell has."""
    return values.gather(1, nearest.flatten(1)).view(nearest.shape)


def _at(logits: Tensor, points_xy: Tensor, stride: int) -> Tensor:
    """Logits (N, P) of a map (N, 1, H, W) at points; at its border for points outside."""
    size = torch.tensor(logits.shape[:1:-1], device=logits.device) * stride
    relative = (points_xy + 0.5) / size * 2 - 1
    return sample_at(logits, relative[:, :, None])[:, 0, :, 0]


def _logit_maps(before: Tensor, answer: Tensor) -> list[Tensor]:
    """Both answers, how they differ, and how each lies among its neighbours: nine maps."""
    padded = functional.pad(answer, (1, 1, 1, 1), "replicate")
    dx = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    dy = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    slope = torch.hypot(dx, dy)
    return [
        torch.tanh(before / _SOFT),
        torch.tanh(answer / _SOFT),
        _linear(before),
        _linear(answer),
        _linear(answer - before),
        slope.clamp(max=3),
        (answer / (slope + 0.3)).clamp(-6, 6) / 3,  # cells from the outline, about
        _linear(_blurred(answer)) - _linear(answer),
        _linear(_blurred(before)) - _linear(before),
    ]


def _linear(logits: Tensor) -> Tensor:
    return logits.clamp(-_LIMIT, _LIMIT) / 2


def _blurred(logits: Tensor) -> Tensor:
    return functional.avg_pool2d(functional.pad(logits, (2, 2, 2, 2), "replicate"), 5, stride=1)
