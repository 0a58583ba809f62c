"""Teaching a model what a person has corrected, in seconds: what draws outlines, and no more.

What is taught lies behind the cached embedding, so that pictures that were opened need not be
encoded again and the new state answers at once. It is pulled towards what it was by a decay of the
difference. Scores of the detector are not taught: whoever corrects the most doubtful nuclei first
shows which of the low scores were wrong, and not how many of the others are right (docs/learn.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from napari_uninuc.network.mask_decoder import WindowFeatures
from napari_uninuc.network.uninuc import Embedding, UniNuc, WindowPrompts
from napari_uninuc.training.clicks import box_prompt, jitter_boxes, point_prompt, random_pixels
from napari_uninuc.training.interactive import upsample
from napari_uninuc.training.lessons import Lesson, Windows
from napari_uninuc.training.losses import dice_loss, focal_loss
from napari_uninuc.training.optim import rate_at

__all__ = ["Teaching", "taught", "teach"]

_PARTS = (
    "sam_mask_decoder.output",
    "sam_mask_decoder.hq_mlp",
    "sam_mask_decoder.phi2",
    "sam_mask_decoder.refine",
)
"""All that lies behind the decoder's transformer, so that no gradient need go through it."""
_PROPOSED, _OWN = 0.7, 0.15
"""Of prompts: how many are the box by which outlining finds the nucleus, and how many its own box,
a little moved; the others are a click inside, so that clicks are not forgotten."""
_JITTER = 0.05
_FOCAL_WEIGHT, _FOCAL_ALPHA = 20.0, 0.5
_WARM_UP = 3


@dataclass(frozen=True, slots=True)
class Teaching:
    """How it is taught.

    Attributes
    ----------
    parts : beginnings of the names of what may change
    steps : each sees ``nuclei`` outlines, of all pictures and views
    rate : of AdamW
    shift_rate : how much faster the last bias moves, which alone grows or shrinks all outlines
    decay, shift_decay : of the difference to what was, at the full rate; and of the last bias
    """

    parts: tuple[str, ...] = _PARTS
    steps: int = 60
    nuclei: int = 12
    rate: float = 3e-4
    shift_rate: float = 100.0
    decay: float = 0.05
    shift_decay: float = 0.02
    seed: int = 0


def taught(model: UniNuc, teaching: Teaching) -> dict[str, torch.nn.Parameter]:
    """What may change, by name."""
    return {
        name: parameter
        for name, parameter in model.named_parameters()
        if name.startswith(teaching.parts)
    }


def teach(
    model: UniNuc,
    lessons: Sequence[Lesson],
    chosen: Sequence[Tensor],
    teaching: Teaching,
    step_done: Callable[[int], object] = lambda step: None,
    logit_shift: float = 0.0,
) -> dict[str, Tensor]:
    """Teach, and leave the model as it was.

    Parameters
    ----------
    model : in evaluation
    lessons : views
    chosen : for each view (P,) bool over the examples of its picture: those that are taught
    step_done : told after each step, with the number of steps done
    logit_shift : of the model's card

    Returns
    -------
    difference : by name, float32; what to add to the weights
    """
    parameters = taught(model, teaching)
    before = {name: value.detach().clone() for name, value in parameters.items()}
    wanted = [value.requires_grad for value in model.parameters()]
    for value in model.parameters():
        value.requires_grad_(False)
    for value in parameters.values():
        value.requires_grad_(True)
    generator = torch.Generator().manual_seed(teaching.seed)
    last = _last_bias(model)
    optimiser = torch.optim.AdamW(_groups(parameters, last, teaching), weight_decay=0.0)
    rates = [group["lr"] for group in optimiser.param_groups]
    pool = _pool(lessons, chosen)
    try:
        for step in range(teaching.steps):
            share = rate_at(step, teaching.steps, _WARM_UP)
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * share
            if pool:
                optimiser.zero_grad(set_to_none=True)
                _loss(model, _drawn(pool, teaching.nuclei, generator), logit_shift, generator)
                clip_grad_norm_(parameters.values(), 1.0)
                optimiser.step()
            with torch.no_grad():
                for name, value in parameters.items():
                    pull = teaching.shift_decay if value is last else teaching.decay
                    value.lerp_(before[name], min(1.0, pull * share))
            step_done(step + 1)
        return {name: value.detach() - before[name] for name, value in parameters.items()}
    finally:
        with torch.no_grad():
            for name, value in parameters.items():
                value.copy_(before[name])
        for value, was in zip(model.parameters(), wanted, strict=True):
            value.requires_grad_(was)


def _last_bias(model: UniNuc) -> torch.nn.Parameter | None:
    """What is added to every logit; None where a model has no such number."""
    refine = model.sam_mask_decoder.refine
    last = None if refine is None else refine.layers[-1].bias
    return last if isinstance(last, torch.nn.Parameter) else None


def _groups(
    parameters: Mapping[str, torch.nn.Parameter],
    last: torch.nn.Parameter | None,
    teaching: Teaching,
) -> list[dict[str, object]]:
    """Parameters with their rates."""
    quick = [value for value in parameters.values() if value is last]
    rest = [value for value in parameters.values() if value is not last]
    rates = ((rest, teaching.rate), (quick, teaching.rate * teaching.shift_rate))
    return [{"params": some, "lr": rate} for some, rate in rates if some]


_Pool = dict[int, list[tuple[Windows, int]]]
"""For each size of window, where its nuclei are: windows, and which of them."""


def _pool(lessons: Sequence[Lesson], chosen: Sequence[Tensor]) -> _Pool:
    pool: _Pool = {}
    for lesson, pick in zip(lessons, chosen, strict=True):
        for windows in lesson.windows:
            rows = torch.nonzero(pick[windows.which])[:, 0].tolist()
            pool.setdefault(windows.side, []).extend((windows, row) for row in rows)
    return {side: each for side, each in pool.items() if each}


def _drawn(pool: _Pool, count: int, generator: torch.Generator) -> Windows:
    """Some nuclei of one size of window, each as likely as any other."""
    sides = sorted(pool)
    sizes = torch.tensor([len(pool[side]) for side in sides], dtype=torch.float)
    side = sides[int(torch.multinomial(sizes, 1, generator=generator))]
    order = torch.randperm(len(pool[side]), generator=generator)[:count].tolist()
    picked = [pool[side][k] for k in order]
    levels = zip(*(each.maps for each, _ in picked), strict=True)
    rows = [row for _, row in picked]

    def stacked(tensors: Iterator[Tensor]) -> Tensor:
        return torch.stack([tensor[row] for tensor, row in zip(tensors, rows, strict=True)])

    return Windows(
        side,
        stacked(each.which for each, _ in picked),
        WindowFeatures(*[stacked(iter(level)) for level in levels]),
        stacked(each.truth for each, _ in picked),
        stacked(each.boxes_xyxy for each, _ in picked),
        stacked(each.proposals_xyxy for each, _ in picked),
    )


def _loss(model: UniNuc, some: Windows, logit_shift: float, generator: torch.Generator) -> None:
    """Outline nuclei and add up the gradients of what is wrong."""
    n, cells = len(some.truth), some.side // model.config.coarse_stride
    points, labels = _prompts(some, generator)
    index = torch.arange(n, device=points.device)
    corners = torch.zeros((n, 2), dtype=torch.long, device=points.device)
    prompts = WindowPrompts(index, corners, (cells, cells), points, labels)
    embedding = Embedding(some.maps, (), None, (some.side, some.side))
    logits, _ = model.decode_uncorrected(embedding, prompts, logit_shift)
    single = upsample(logits[:, :1], some.side)[:, 0]
    loss = dice_loss(single, some.truth)
    loss = loss + _FOCAL_WEIGHT * focal_loss(single, some.truth, _FOCAL_ALPHA)
    loss.mean().backward()


def _prompts(some: Windows, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A box or a click for each of n nuclei: points (n, 3, 2) window px, labels (n, 3)."""
    lot = torch.rand(len(some.truth), generator=generator).to(some.truth.device)
    own = jitter_boxes(some.boxes_xyxy, _JITTER, generator)
    boxes = torch.where((lot < _PROPOSED)[:, None], some.proposals_xyxy, own)
    box_points, box_labels = box_prompt(boxes)
    xy, _ = random_pixels(some.truth > 0.5, generator)
    by_point = lot >= _PROPOSED + _OWN
    point_points, point_labels = point_prompt(xy)
    points = torch.where(by_point[:, None, None], point_points, box_points)
    return points, torch.where(by_point[:, None], point_labels, box_labels)
