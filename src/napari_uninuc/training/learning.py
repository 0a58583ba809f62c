"""Teaching a model what a person has corrected, in seconds: heads alone, never the encoder.

What is taught lies behind the cached embedding, so that pictures that were opened need not be
encoded again and the new state answers at once. It is pulled towards what it was, by a decay of the
difference and, where nobody has judged a place, by what the model said there before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from napari_uninuc.network.detector import DetectorOutput, FirstStage
from napari_uninuc.network.uninuc import UniNuc
from napari_uninuc.training.detection import set_loss
from napari_uninuc.training.interactive import Targets, interactive_loss
from napari_uninuc.training.lessons import Lesson
from napari_uninuc.training.losses import xyxy
from napari_uninuc.training.optim import rate_at
from napari_uninuc.training.recipe import PromptsSection

__all__ = ["Teaching", "difference_added", "taught", "teach"]


_PROMPTS = PromptsSection(corrections=1, mask_prompt_share=1.0, box_share=0.9, focal_alpha=0.5)
"""Mostly boxes, as the detector asks, and a correction that follows."""


_PARTS = (
    "detector.class_heads",
    "sam_mask_decoder.output",
    "sam_mask_decoder.hq",
    "sam_mask_decoder.phi2",
    "sam_mask_decoder.mask_tokens",
    "sam_mask_decoder.refine",
)
_NUCLEI_A_STEP = 8
"""Whose outlines are taught in a step, of each size of window."""
_SEEN = 0.3
"""Score from which a box was in sight, about. What a person adds was none of these: it shows what
was missed, and not how much else lies as low that is no nucleus, so that it teaches no score. Where
it did, states found much that is not there (docs/learn.md)."""


@dataclass(frozen=True, slots=True)
class Teaching:
    """How it is taught.

    Attributes
    ----------
    parts : beginnings of the names of what may change
    steps : each sees one view of one picture
    rate : of AdamW
    decay : of the difference to what was, at the full rate
    scores, masks, stay : weights of the losses; the last holds scores where nobody has
        judged
    """

    parts: tuple[str, ...] = _PARTS
    steps: int = 24
    rate: float = 3e-4
    decay: float = 0.1
    scores: float = 0.5
    masks: float = 1.0
    stay: float = 20.0
    prompts: PromptsSection = _PROMPTS
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
) -> dict[str, Tensor]:
    """Teach, and leave the model as it was.

    Parameters
    ----------
    model : in evaluation
    lessons : views
    chosen : (E,) bool for each view, the examples that are taught; others teach nothing, and
        neither do the places they lie at
    step_done : told after each step, with the number of steps done

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
    with torch.no_grad():
        heard = [_scores(model.detector.settle(_whole(each.first))) for each in lessons]
    optimiser = torch.optim.AdamW(parameters.values(), lr=teaching.rate, weight_decay=0.0)
    useful = [k for k, each in enumerate(chosen) if bool(each.any())]
    try:
        for step in range(teaching.steps):
            if step % max(len(useful), 1) == 0:
                order = torch.randperm(len(useful), generator=generator).tolist()
            k = useful[order[step % len(useful)]]
            share = rate_at(step, teaching.steps, 3)
            for group in optimiser.param_groups:
                group["lr"] = teaching.rate * share
            optimiser.zero_grad(set_to_none=True)
            loss = _loss(model, lessons[k], chosen[k], heard[k], teaching, generator)
            loss.backward()
            clip_grad_norm_(parameters.values(), 1.0)
            optimiser.step()
            with torch.no_grad():
                for name, value in parameters.items():
                    value.lerp_(before[name], min(1.0, teaching.decay * share))
            step_done(step + 1)
        return {name: value.detach() - before[name] for name, value in parameters.items()}
    finally:
        with torch.no_grad():
            for name, value in parameters.items():
                value.copy_(before[name])
        for value, was in zip(model.parameters(), wanted, strict=True):
            value.requires_grad_(was)


def _whole(first: FirstStage) -> FirstStage:
    return FirstStage(
        [level.float() for level in first.levels],
        first.dense,
        first.seed,
        first.boxes,
        first.corner,
        first.valid,
    )


def _scores(output: DetectorOutput) -> list[Tensor]:
    return [torch.sigmoid(logits) for logits, _ in output.layers]


def _loss(
    model: UniNuc,
    lesson: Lesson,
    chosen: Tensor,
    heard: Sequence[Tensor],
    teaching: Teaching,
    generator: torch.Generator,
) -> Tensor:
    total, proposals = _detection_loss(model, lesson, chosen, heard, teaching)
    if teaching.masks > 0:
        for which, embedding, targets in lesson.targets:
            pick = torch.nonzero(chosen[which])[:, 0]
            if len(pick) == 0:
                continue
            pick = pick[torch.randperm(len(pick), generator=generator)[:_NUCLEI_A_STEP]]
            some = _only(targets, pick, proposals[which[pick]] - lesson.boxes_cxcywh[which[pick]])
            windows = type(embedding)(
                type(embedding.maps)(*[level[pick] for level in embedding.maps]),
                (),
                None,
                embedding.size_hw,
            )
            loss, _ = interactive_loss(model, windows, some, teaching.prompts, generator)
            total = total + teaching.masks * loss
    return total


def _only(targets: Targets, pick: Tensor, moved_cxcywh: Tensor) -> Targets:
    boxes = targets.boxes_xyxy[pick]
    centre, half = moved_cxcywh[:, :2], moved_cxcywh[:, 2:] / 2
    n = len(pick)
    return Targets(
        torch.arange(n, device=boxes.device),
        targets.corners_yx[:n],
        targets.side,
        targets.truth[pick],
        boxes,
        boxes + torch.cat([centre - half, centre + half], dim=1),
    )


def _detection_loss(
    model: UniNuc, lesson: Lesson, chosen: Tensor, heard: Sequence[Tensor], teaching: Teaching
) -> tuple[Tensor, Tensor]:
    """Loss of the second stage, and for each example the box that found it, else its own."""
    output = model.detector.settle(_whole(lesson.first))
    block = model.config.detector.block
    valid = output.valid[0, 0]
    nuclei = chosen & lesson.is_nucleus
    truth = lesson.boxes_cxcywh[nuclei] / block
    classes = torch.full((len(truth),), -1 if len(model.config.classes) > 1 else 0)
    classes = classes.to(truth.device)
    proposals = lesson.boxes_cxcywh.clone()
    total = truth.new_zeros(())
    said = int(chosen.sum())
    for depth, (logits, boxes) in enumerate(output.layers):
        logits, boxes = logits[0, 0][valid], boxes[0, 0][valid]
        whole = lesson.exhaustive and bool(chosen.all())
        judged = torch.ones(len(boxes), dtype=torch.bool, device=boxes.device)
        if not whole:
            judged = _covered(boxes.detach(), lesson.boxes_cxcywh[chosen])
        was = heard[depth][0, 0][valid]
        judged &= whole | (was.amax(dim=1) >= _SEEN)
        (score, _, _), (queries, objects, iou) = set_loss(
            logits, boxes / block, truth, classes, judged
        )
        total = total + teaching.scores * score
        drift = (torch.sigmoid(logits) - was)[~judged]
        total = total + teaching.stay * drift.square().sum()
    good = iou >= 0.5
    places = torch.nonzero(nuclei)[:, 0]
    proposals[places[objects[good]]] = boxes.detach()[queries[good]].float()
    return total / (max(said, 1) * len(output.layers)), proposals


def _covered(boxes: Tensor, judged: Tensor) -> Tensor:
    """Which boxes (Q, 4) have half of their area in one judged box (n, 4); all cxcywh."""
    if len(judged) == 0:
        return torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    one, other = xyxy(boxes)[:, None], xyxy(judged)[None]
    low, high = (
        torch.maximum(one[..., :2], other[..., :2]),
        torch.minimum(one[..., 2:], other[..., 2:]),
    )
    common = (high - low).clamp(min=0).prod(-1)
    area = boxes[:, 2:].prod(-1).clamp(min=1e-6)
    other_area = judged[:, 2:].prod(-1).clamp(min=1e-6)
    covered: Tensor = (common / area[:, None] > 0.5).any(1) | (common / other_area > 0.7).any(1)
    return covered


@contextmanager
def difference_added(model: UniNuc, difference: Mapping[str, Tensor]) -> Iterator[None]:
    """Add a difference to a model's weights while the block runs; then they are what they were."""
    own = dict(model.named_parameters())
    before = {name: own[name].detach().clone() for name in difference}
    with torch.no_grad():
        for name, value in difference.items():
            own[name].add_(value.to(own[name]))
    try:
        yield
    finally:
        with torch.no_grad():
            for name, value in before.items():
                own[name].copy_(value)
