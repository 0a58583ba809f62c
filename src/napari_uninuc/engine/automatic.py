"""Every nucleus of a field: propose boxes, prompt with them, decode."""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from napari_uninuc.core.detections import Detections
from napari_uninuc.core.geometry import Field
from napari_uninuc.core.steps import result_of
from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.dense import DenseMaps
from napari_uninuc.engine.device import side_by_side
from napari_uninuc.engine.embedding import TileEmbedding
from napari_uninuc.engine.frame import Frame
from napari_uninuc.engine.mirror import Mirror, fused
from napari_uninuc.engine.outliners import AisOutliner, Outliner, PointOutliner
from napari_uninuc.engine.owners import owned_by
from napari_uninuc.engine.postprocess import cut_to_tile, instances_of
from napari_uninuc.engine.proposers import proposers_of, threshold_of
from napari_uninuc.engine.protocol import FoundNucleus, Proposer
from napari_uninuc.engine.requests import DecodedMasks, PromptBatch
from napari_uninuc.engine.restain import marks_nuclei
from napari_uninuc.engine.torch_engine import TorchEngine
from napari_uninuc.errors import PromptError
from napari_uninuc.network.card import ExpectedIou

__all__ = ["Steps", "find_in_field", "steps_in_field"]

Result = TypeVar("Result")

_SAME_NUCLEUS = 0.5
_AS_SURE = 0.97
"""Of a restained view: mean scores are 0.974 to 1.03 times those of the picture on EpCAM never
trained on and 1.02 on the sample tile, at most 0.967 on painted pictures (docs/experiments.md)."""
_PROMPTS_AT_ONCE = 512
"""Answers of both halves wait for each other: bounds their memory."""
_WORTH_HALVING = 64
"""Fewer prompts are answered in one go."""
Steps = Generator[None, None, Result]
"""Work that can be left between two steps; its value is what it returns."""


def find_in_field(
    engine: TorchEngine,
    tile: Tile,
    field: Field,
    score_threshold: float,
    timings: dict[str, float] | None = None,
    *,
    proposer: str | None = None,
    flips: bool | None = None,
    near_yxyx: npt.NDArray[np.float32] | None = None,
) -> list[FoundNucleus]:
    """Outline the nuclei whose box has its centre in the field's inner part, or close to it.

    As `steps_in_field`, all at once.
    """
    return result_of(
        steps_in_field(
            engine,
            tile,
            field,
            score_threshold,
            timings,
            proposer=proposer,
            flips=flips,
            near_yxyx=near_yxyx,
        )
    )


def steps_in_field(
    engine: TorchEngine,
    tile: Tile,
    field: Field,
    score_threshold: float,
    timings: dict[str, float] | None = None,
    *,
    proposer: str | None = None,
    flips: bool | None = None,
    near_yxyx: npt.NDArray[np.float32] | None = None,
) -> Steps[list[FoundNucleus]]:
    """Outline the nuclei whose box has its centre in the field's inner part, or close to it.

    Immunohistochemistry of nuclei is looked at as it is. Where something else is brown the model
    is shown the picture restained too, and what it finds in the view that it is surer of is taken
    (docs/experiments.md).

    Parameters
    ----------
    score_threshold : in [0, 1]; less likely ones are not decoded
    timings : seconds of ``encode``, ``detect`` and ``masks`` are added to it
    proposer : where boxes come from, one of `PROPOSERS`; None takes the card's
    flips : look for nuclei in the mirrored field too; a third to a half slower, and for some
        weights better. None takes the card's
    near_yxyx : (N, 4) boxes, px of the tile: only nuclei whose box touches one of them are
        outlined; None outlines all

    Yields
    ------
    nothing : between encoding, detecting and each batch of outlines, so that one can stop there

    Returns
    -------
    found : best score first; masks may overlap and are not filtered by size

    Raises
    ------
    PromptError
        A threshold outside [0, 1], no such proposer, or one that the model has no maps for.
    """
    if not 0 <= score_threshold <= 1:
        raise PromptError(f"score threshold must lie in 0..1, got {score_threshold}; correct it")
    spent = {} if timings is None else timings
    sources = proposers_of(engine, engine.card.proposer if proposer is None else proposer)
    mirrored = engine.card.flips if flips is None else flips

    own, *others = engine.views.of(tile)

    def looked_at(view: Tile) -> Steps[list[FoundNucleus]]:
        seen = _look(engine, view, field, mirrored, spent, brown=bool(others))
        yield
        by_source = []
        for source in sources:
            if isinstance(source, (AisOutliner, PointOutliner)):
                found = yield from _outline(seen, source, score_threshold, spent, near_yxyx)
            else:
                found = yield from _find(engine, seen, source, score_threshold, spent, near_yxyx)
            by_source.append(found)
        return by_source[0] if len(by_source) == 1 else _without_doubles(by_source)

    kept = yield from looked_at(own)
    sure_at = max(score_threshold, threshold_of(engine.card, proposer, None))
    for view in others:
        if marks_nuclei(tile, field, [one.mask for one in kept if one.mask.score >= sure_at]):
            break
        other = yield from looked_at(view)
        if _mean_score(other, sure_at) >= _AS_SURE * _mean_score(kept, sure_at):
            kept = other
    return sorted(kept, key=lambda one: -one.mask.score)


def _mean_score(found: list[FoundNucleus], at_least: float) -> float:
    """Mean detector's score of the nuclei that have so much; 0 where there is none."""
    scores = [one.mask.score for one in found if one.mask.score >= at_least]
    return sum(scores) / len(scores) if scores else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """A field of one view of a tile, encoded; and its mirror where that is looked at too.

    ``brown`` says that the tile is immunohistochemistry.
    """

    engine: TorchEngine
    shape: tuple[int, int]
    field: Field
    embedding: TileEmbedding
    mirror: tuple[Mirror, TileEmbedding] | None
    brown: bool = False

    @property
    def frame(self) -> Frame:
        """Where the field lies."""
        return self.embedding.frame

    def maps(self) -> DenseMaps:
        """What the dense head says; with a mirror, the mean of both views."""
        maps = self.engine.dense_maps(self.embedding)
        if self.mirror is None:
            return maps
        return maps.averaged(self.engine.dense_maps(self.mirror[1]))

    def decode(self, prompts: PromptBatch) -> Iterator[tuple[npt.NDArray[np.int64], DecodedMasks]]:
        """Answer prompts, two halves beside each other.

        In the picture alone: the mean of it and its mirror outlined no better (docs/speed.md).
        """
        if len(prompts) < _WORTH_HALVING:
            yield from self.engine.decode(self.embedding, prompts)
            return
        for start in range(0, len(prompts), _PROMPTS_AT_ONCE):
            some = np.arange(start, min(start + _PROMPTS_AT_ONCE, len(prompts)))
            halves = np.array_split(some, 2)
            both = side_by_side(self.engine.device, *[self._decoded(prompts, x) for x in halves])
            for half, answers in zip(halves, both, strict=True):
                for index, masks in answers:
                    yield half[index], masks

    def _decoded(
        self, prompts: PromptBatch, rows: npt.NDArray[np.int64]
    ) -> Callable[[], list[tuple[npt.NDArray[np.int64], DecodedMasks]]]:
        """What answers some of the prompts, once it is called."""
        return lambda: list(self.engine.decode(self.embedding, prompts.take(rows)))


def _look(
    engine: TorchEngine,
    tile: Tile,
    field: Field,
    flips: bool,
    spent: dict[str, float],
    *,
    brown: bool,
) -> _Seen:
    """Encode what will be needed of a field, or take it from the cache."""
    began = perf_counter()
    if not flips:
        embedding, mirrored = engine.embed(tile, field), None
        fresh = embedding.seconds > 0
    else:
        mirror = Mirror.of(tile, field)
        embedding, other = _both_embedded(engine, tile, field, mirror)
        mirrored, fresh = (mirror, other), embedding.seconds + other.seconds > 0
    spent["encode"] = spent.get("encode", 0.0) + (perf_counter() - began if fresh else 0.0)
    return _Seen(engine, tile.shape, field, embedding, mirrored, brown)


def _both_embedded(
    engine: TorchEngine, tile: Tile, field: Field, mirror: Mirror
) -> tuple[TileEmbedding, TileEmbedding]:
    """Encode a field and its mirror at once; where one is there, the other gets every thread."""
    if engine.holds(tile, field) or engine.holds(mirror.tile, mirror.field):
        return engine.embed(tile, field), engine.embed(mirror.tile, mirror.field)
    return side_by_side(
        engine.device,
        lambda: engine.embed(tile, field),
        lambda: engine.embed(mirror.tile, mirror.field),
    )


def _find(
    engine: TorchEngine,
    seen: _Seen,
    proposer: Proposer,
    score_threshold: float,
    spent: dict[str, float],
    near_yxyx: npt.NDArray[np.float32] | None,
) -> Steps[list[FoundNucleus]]:
    """Find the nuclei that one proposer sees in one view of a tile."""
    began = perf_counter()
    boxes = _propose(engine, seen, proposer)
    owned = owned_by(seen.field, boxes.boxes_yxyx, seen.embedding.frame.scale_yx)
    boxes = boxes.take(owned & (boxes.scores >= score_threshold))
    if near_yxyx is not None:
        boxes = boxes.take(_touching(boxes.boxes_yxyx, near_yxyx))
    spent["detect"] = spent.get("detect", 0.0) + perf_counter() - began
    yield
    began = perf_counter()
    found: list[FoundNucleus] = []
    if len(boxes):
        # Fitted to the detector's scores: those of peaks mean something else.
        expected = engine.card.expected_iou if proposer is engine else None
        prompts = PromptBatch.of_boxes(_grown(seen, boxes.boxes_yxyx))
        for index, answers in seen.decode(prompts):
            for one in _outlined(answers, boxes.take(index), seen.shape):
                found.append(one if expected is None else _judged(one, expected, seen.brown))
            spent["masks"] = spent.get("masks", 0.0) + perf_counter() - began
            yield
            began = perf_counter()
    spent["masks"] = spent.get("masks", 0.0) + perf_counter() - began
    return found


def _outline(
    seen: _Seen,
    outliner: Outliner,
    score_threshold: float,
    spent: dict[str, float],
    near_yxyx: npt.NDArray[np.float32] | None,
) -> Steps[list[FoundNucleus]]:
    """Find the nuclei that maps or a grid of points outline in one view of a tile."""
    found: list[FoundNucleus] = []
    began = perf_counter()
    for some in outliner.outline(seen):
        boxes = np.array([one.box_yxyx for one in some], np.float32).reshape(-1, 4)
        owned = owned_by(seen.field, boxes, seen.frame.scale_yx)
        if near_yxyx is not None:
            owned &= _touching(boxes, near_yxyx)
        found += [
            one
            for one, ours in zip(some, owned.tolist(), strict=True)
            if ours and one.mask.score >= score_threshold
        ]
        spent["masks"] = spent.get("masks", 0.0) + perf_counter() - began
        yield
        began = perf_counter()
    spent["detect"] = spent.get("detect", 0.0)
    return found


def _touching(
    boxes_yxyx: npt.NDArray[np.float32], near_yxyx: npt.NDArray[np.float32]
) -> npt.NDArray[np.bool_]:
    """Which boxes (M, 4) share pixels with any of (N, 4)."""
    one, other = boxes_yxyx[:, None], near_yxyx[None]
    shared: npt.NDArray[np.bool_] = (one[..., :2] < other[..., 2:]) & (
        one[..., 2:] > other[..., :2]
    )
    touching: npt.NDArray[np.bool_] = np.any(np.all(shared, axis=2), axis=1)
    return touching


def _propose(engine: TorchEngine, seen: _Seen, proposer: Proposer) -> Detections:
    """Boxes of one view; with a mirror, of both, put together."""
    if seen.mirror is None:
        return proposer.propose(seen.embedding)
    mirror, embedding = seen.mirror
    boxes, others = side_by_side(
        engine.device,
        lambda: proposer.propose(seen.embedding),
        lambda: proposer.propose(embedding),
    )
    corners = mirror.boxes_out(others.boxes_yxyx)
    return fused(boxes, Detections(corners, others.scores, others.class_ids))


def _grown(seen: _Seen, boxes_yxyx: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Boxes with the card's margin on each side."""
    margin = np.tile(seen.engine.card.box_margin / seen.frame.scale_yx, 2)
    return (boxes_yxyx + margin * (-1, -1, 1, 1)).astype(np.float32)


def _without_doubles(sources: list[list[FoundNucleus]]) -> list[FoundNucleus]:
    """Of nuclei found by two proposers, keep the one of better score.

    One may see the nucleus and the other the cell around it: boxes count as one nucleus when they
    share half of the smaller.
    """
    pairs = sorted(
        ((one, k) for k, found in enumerate(sources) for one in found),
        key=lambda pair: -pair[0].mask.score,
    )
    kept: list[FoundNucleus] = []
    boxes = np.zeros((len(pairs), 4))
    origin = np.full(len(pairs), -1)
    for one, view in pairs:
        box = np.array(one.mask.box_yxyx, np.float64)
        n = len(kept)
        others = boxes[:n][origin[:n] != view]
        if len(others) and (_shared(box, others) > _SAME_NUCLEUS).any():
            continue
        boxes[n], origin[n] = box, view
        kept.append(one)
    return kept


def _shared(box: npt.NDArray[np.float64], others: npt.NDArray[np.float64]) -> npt.NDArray[Any]:
    """Area that a box has in common with others, as a share of the smaller of both."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    common = np.clip(sides, 0, None).prod(axis=1)
    shares: npt.NDArray[Any] = common / np.minimum(
        (box[2:] - box[:2]).prod(), (others[:, 2:] - others[:, :2]).prod(axis=1)
    )
    return shares


def _outlined(
    answers: DecodedMasks, boxes: Detections, shape: tuple[int, int]
) -> Iterator[FoundNucleus]:
    """Masks of boxes, inside the tile; empty ones are left out."""
    filled = np.flatnonzero((answers.logits[:, 0] > 0).any(axis=(1, 2)))
    boxes = boxes.take(filled)
    masks = instances_of(answers.take(filled), boxes.scores, boxes.class_ids)
    for mask, (y0, x0, y1, x1) in zip(masks, boxes.boxes_yxyx.tolist(), strict=True):
        cut = cut_to_tile(mask, shape)
        if cut.area:
            yield FoundNucleus(cut, (y0, x0, y1, x1))


def _judged(one: FoundNucleus, expected: ExpectedIou, brown: bool) -> FoundNucleus:
    """Say what IoU the mask will have with a nucleus, not what it would have if there is one."""
    iou = expected.of(one.mask.score, one.mask.predicted_iou, brown=brown)
    return one._replace(mask=replace(one.mask, predicted_iou=iou))
