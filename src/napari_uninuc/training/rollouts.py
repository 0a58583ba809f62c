"""Whole rounds of simulated clicking, and what the correction can learn from them.

A row is one pixel of one answer: what the correction reads of it, and what is true there. What was
learnt so far makes the answers that the next rows are of (Ross et al., AISTATS 2011: DAgger).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from napari_uninuc.core.instances import largest_piece
from napari_uninuc.core.outline import keep_meant
from napari_uninuc.core.prompts import DRAWN_LOGIT, LOGIT_LIMIT, MaskLogits, Prompt
from napari_uninuc.engine.anchors import with_anchors
from napari_uninuc.network.correction import FEATURES
from napari_uninuc.network.hints import click_distances
from napari_uninuc.network.prompt_encoder import (
    BOX_BOTTOM_RIGHT,
    BOX_TOP_LEFT,
    NEGATIVE,
    PADDING,
    POSITIVE,
)
from napari_uninuc.network.uninuc import Embedding, UniNuc, WindowPrompts
from napari_uninuc.training.clicks import (
    box_prompt,
    deepest_pixels,
    jitter_boxes,
    point_prompt,
    protocol_clicks,
    random_pixels,
)
from napari_uninuc.training.interactive import Targets, mask_starts, upsample
from napari_uninuc.training.losses import mask_iou
from napari_uninuc.training.recipe import BOX_JITTER

__all__ = ["STARTS", "Rollouts", "Rows", "Start"]

Start = Literal["centre", "inside", "tight_box", "loose_box", "outline"]
"""First prompt: a click in the middle or anywhere inside, a box that is right to the pixel or is
not, or an outline that is there already."""
STARTS: tuple[Start, ...] = get_args(Start)
_NEAR_CELLS = 4
"""Rows are of cells at most so far from one of the outlines,"""
_NEAR_CLICK = 10.0
"""or input pixels from a click: the others are easy."""
_CLICKED: tuple[Start, ...] = ("centre", "inside")
_BOXED: tuple[Start, ...] = ("tight_box", "loose_box")
_CENTRED = 0.7
"""How often people click in the middle of the largest error, and not just anywhere in one."""


class Rows(NamedTuple):
    """Pixels to learn from.

    Shapes
    ------
    features  (M, FEATURES) float16
    truth     (M,) float32, share of the cell that is nucleus
    before    (M,) float32 logits of the answer before
    answer    (M,) float32 logits of the answer to be corrected
    """

    features: Tensor
    truth: Tensor
    before: Tensor
    answer: Tensor

    @classmethod
    def join(cls, parts: list[Rows]) -> Rows:
        """All rows, in order; none of no parts."""
        if not parts:
            none = torch.zeros(0)
            return cls(torch.zeros(0, FEATURES, dtype=torch.float16), none, none, none)
        return cls(*(torch.cat(columns) for columns in zip(*parts, strict=True)))


@dataclass(frozen=True, slots=True)
class Rollouts:
    """One way of simulating people who click.

    Attributes
    ----------
    model : with a correction, in evaluation mode
    corrections : rounds after the first answer
    by_hand : as in the window: one click a round, mostly in the middle of what is most wrong, on
        an outline that brings its box and a click (`engine.anchors`); else the protocol's two
    cells : rows taken of an answer
    logit_shift : that of the card
    precision : makes the context in which the network runs
    generator : of all chance
    box_jitter : error of a loose box, as a share of its side
    """

    model: UniNuc
    corrections: int
    by_hand: bool
    cells: int
    logit_shift: float
    precision: Callable[[], AbstractContextManager[object]]
    generator: torch.Generator
    box_jitter: float = BOX_JITTER

    @torch.no_grad()
    def rows(
        self, embedding: Embedding, targets: Targets, start: Start
    ) -> tuple[Rows, dict[str, float]]:
        """Click on N nuclei; rows on the CPU, and the mean IoU of first and last answer."""
        truth = targets.truth > 0.5
        points, labels, masks = self._start(targets, start)
        gathered: list[Rows] = []
        log: dict[str, float] = {}
        for step in range(self.corrections + 1):
            told = points, labels
            if self.by_hand and masks is not None and start not in _BOXED:
                told = _with_anchors(points, labels, upsample(masks, targets.side)[:, 0] > 0)
            prompts = self._prompts(targets, *told, masks, tight=start == "tight_box")
            with self.precision():
                answer, quality = self.model.decode_uncorrected(
                    embedding, prompts, self.logit_shift
                )
            single = answer[:, :1]
            if step == 0 and start in _CLICKED and not self.by_hand:
                best = quality[:, 1:].argmax(dim=1) + 1
                single = answer.gather(1, best[:, None, None, None].expand_as(single))
            if masks is not None:
                gathered.append(self._sample(single, masks, prompts, targets.truth))
                single = self.model.correct(single, masks, prompts)
            shown = upsample(single, targets.side)[:, 0]
            name = "iou_first" if step == 0 else "iou_last"
            log[name] = float(mask_iou(shown, targets.truth).mean())
            if step < self.corrections:
                seen = _meant(shown > 0, points, labels)
                clicks, kinds = self._clicks(seen, truth, targets.boxes_xyxy)
                points = torch.cat([points, clicks], dim=1)
                labels = torch.cat([labels, kinds], dim=1)
                masks = self._fed_back(single, shown)
        return Rows.join(gathered), log

    def _start(self, targets: Targets, start: Start) -> tuple[Tensor, Tensor, Tensor | None]:
        """Points (N, P, 2), labels (N, P) and masks (N, 1, h, w) or None."""
        truth, boxes = targets.truth > 0.5, targets.boxes_xyxy
        if start == "centre":
            return *point_prompt(deepest_pixels(truth)), None
        if start == "inside":
            return *point_prompt(random_pixels(truth, self.generator)[0]), None
        if start == "tight_box":
            return *box_prompt(boxes), None
        if start == "loose_box":
            return *box_prompt(jitter_boxes(boxes, self.box_jitter, self.generator)), None
        return mask_starts(targets, self.model.config.logit_stride, self.generator)

    def _prompts(
        self,
        targets: Targets,
        points: Tensor,
        labels: Tensor,
        masks: Tensor | None,
        *,
        tight: bool,
    ) -> WindowPrompts:
        cells = targets.side // self.model.config.coarse_stride
        return WindowPrompts(
            targets.image_index, targets.corners_yx, (cells, cells), points, labels, masks, tight
        )

    def _clicks(self, seen: Tensor, truth: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """The clicks of a round, xy (N, C, 2) and labels (N, C)."""
        if not self.by_hand:
            return protocol_clicks(seen, truth, boxes, self.generator)
        wrong = seen != truth
        wrong |= truth & ~wrong.any(dim=(1, 2), keepdim=True)  # where all is right, anywhere inside
        if self._lot() < _CENTRED:
            xy = deepest_pixels(_largest(wrong))
        else:
            xy, _ = random_pixels(wrong, self.generator)
        x, y = xy.long().T
        inside = truth[torch.arange(len(xy), device=xy.device), y, x]
        return xy[:, None], torch.where(inside, POSITIVE, NEGATIVE)[:, None]

    def _fed_back(self, single: Tensor, shown: Tensor) -> Tensor:
        """Logits for the next round; the window keeps them at the picture's resolution."""
        if self.by_hand:
            single = functional.avg_pool2d(shown[:, None], self.model.config.logit_stride)
        return single.clamp(-LOGIT_LIMIT, LOGIT_LIMIT)

    def _sample(self, single: Tensor, masks: Tensor, prompts: WindowPrompts, truth: Tensor) -> Rows:
        before = masks.float()
        stride = self.model.config.logit_stride
        clicked = (prompts.labels == POSITIVE) | (prompts.labels == NEGATIVE)
        squared = click_distances(
            prompts.points_xy, (single.shape[2], single.shape[3]), stride
        ).masked_fill(~clicked[..., None, None], torch.inf)
        near = _near_outline(single) | _near_outline(before)
        near = near[:, 0] | (squared.amin(dim=1) < _NEAR_CLICK**2)
        noise = torch.rand(near.shape, generator=self.generator).to(near.device)
        count = min(self.cells, near[0].numel())
        lot, index = (noise * near).flatten(1).topk(count, dim=1)
        chosen = lot > 0
        features = self.model.describe(single, before, prompts).flatten(1, 2)  # (N, h w, FEATURES)
        cover = functional.avg_pool2d(truth[:, None], stride)

        def taken(values: Tensor) -> Tensor:
            return values.flatten(1).gather(1, index)[chosen].float().cpu()

        rows = features[torch.arange(len(index), device=index.device)[:, None], index][chosen]
        return Rows(rows.half().cpu(), taken(cover), taken(before), taken(single))

    def _lot(self) -> float:
        return torch.rand(1, generator=self.generator).item()


def _near_outline(logits: Tensor) -> Tensor:
    """Cells (N, 1, H, W) that have both sides of the outline within `_NEAR_CELLS`."""
    side = 2 * _NEAR_CELLS + 1

    def highest(values: Tensor) -> Tensor:
        return functional.max_pool2d(values, side, 1, _NEAR_CELLS)

    return (highest(logits) > 0) & (highest(-logits) > 0)


def _meant(masks: Tensor, points: Tensor, labels: Tensor) -> Tensor:
    """Masks (N, S, S) as people see them: see `napari_uninuc.core.outline.keep_meant`."""
    seen = []
    places = points.flip(-1).cpu()
    for mask, yx, kinds in zip(masks.cpu().numpy(), places, labels.cpu(), strict=True):
        inside, outside = (yx[kinds == kind].tolist() for kind in (POSITIVE, NEGATIVE))
        seen.append(torch.from_numpy(keep_meant(mask, inside, outside)))
    return torch.stack(seen).to(masks.device)


def _largest(regions: Tensor) -> Tensor:
    """The largest piece of each region (N, S, S), none of which is empty."""
    pieces = [torch.from_numpy(largest_piece(region)) for region in regions.cpu().numpy()]
    return torch.stack(pieces).to(regions.device)


def _with_anchors(points: Tensor, labels: Tensor, outlines: Tensor) -> tuple[Tensor, Tensor]:
    """Before the clicks, the box and click that outlines (N, S, S) imply (`engine.anchors`).

    The window tells the box alone, which was found to be better with what both had taught.

    Outlines that are empty imply nothing: their box and click are padding.
    """
    implied = points.new_zeros(len(points), 3, 2)
    kinds = labels.new_full((len(labels), 3), PADDING)
    said = zip(outlines.cpu().numpy(), points.flip(-1).cpu(), labels.cpu(), strict=True)
    for k, (outline, places, told) in enumerate(said):
        logits = np.where(outline, DRAWN_LOGIT, -DRAWN_LOGIT).astype(np.float32)
        prompt = Prompt(previous=MaskLogits((0, 0), logits))
        for kind in (POSITIVE, NEGATIVE):
            for y, x in places[told == kind].tolist():
                prompt = prompt.with_point((y, x), kind == POSITIVE)
        prompt = with_anchors(prompt, click=True)
        if prompt.box_yxyx is not None:
            yx = torch.tensor([prompt.box_yxyx[:2], prompt.box_yxyx[2:], prompt.points_yx[0]])
            implied[k] = yx.flip(-1).to(implied)
            kinds[k] = labels.new_tensor([BOX_TOP_LEFT, BOX_BOTTOM_RIGHT, POSITIVE])
    return torch.cat([implied, points], dim=1), torch.cat([kinds, labels], dim=1)
