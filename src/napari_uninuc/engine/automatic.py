"""Every nucleus of a field: propose boxes, prompt with them, decode."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_uninuc.core.detections import Detections
from napari_uninuc.core.geometry import Field
from napari_uninuc.core.instances import InstanceMask, cut_to_picture
from napari_uninuc.core.outline import tight_crop
from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.embedding import TileEmbedding
from napari_uninuc.engine.mirror import Mirror, fused, mean_of
from napari_uninuc.engine.owners import owned_by
from napari_uninuc.engine.postprocess import instances_of
from napari_uninuc.engine.proposers import proposers_of
from napari_uninuc.engine.protocol import FoundNucleus, Proposer
from napari_uninuc.engine.requests import DecodedMasks, PromptBatch
from napari_uninuc.engine.torch_engine import TorchEngine
from napari_uninuc.errors import PromptError

__all__ = ["find_in_field"]

_SAME_NUCLEUS = 0.5


def find_in_field(
    engine: TorchEngine,
    tile: Tile,
    field: Field,
    score_threshold: float,
    timings: dict[str, float] | None = None,
    *,
    proposer: str | None = None,
    flips: bool | None = None,
) -> list[FoundNucleus]:
    """Outline the nuclei whose box has its centre in the field's inner part, or close to it.

    Of immunohistochemistry the model is shown the picture and the picture restained: on the
    sample tile it finds 69 nuclei in the first, 239 in the second (docs/experiments.md).

    Parameters
    ----------
    score_threshold : in [0, 1]; less likely ones are not decoded
    timings : seconds of ``encode``, ``detect`` and ``masks`` are added to it
    proposer : where boxes come from, one of `PROPOSERS`; None takes the card's
    flips : look at the mirrored field too and average; better, and twice the work. None takes
        the card's

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
    views = []
    for view in engine.views.of(tile):
        seen = _look(engine, view, field, mirrored, spent)
        views += [_find(engine, seen, source, score_threshold, spent) for source in sources]
    found = views[0] if len(views) == 1 else _without_doubles(views)
    return sorted(found, key=lambda one: -one.mask.score)


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """A field of one view of a tile, encoded; and its mirror where that is looked at too."""

    shape: tuple[int, int]
    field: Field
    embedding: TileEmbedding
    mirror: tuple[Mirror, TileEmbedding] | None


def _look(
    engine: TorchEngine, tile: Tile, field: Field, flips: bool, spent: dict[str, float]
) -> _Seen:
    """Encode what will be needed of a field, or take it from the cache."""
    embedding = engine.embed(tile, field)
    seconds, mirrored = embedding.seconds, None
    if flips:
        mirror = Mirror.of(tile, field)
        mirrored = (mirror, engine.embed(mirror.tile, mirror.field))
        seconds += mirrored[1].seconds
    spent["encode"] = spent.get("encode", 0.0) + seconds
    return _Seen(tile.shape, field, embedding, mirrored)


def _find(
    engine: TorchEngine,
    seen: _Seen,
    proposer: Proposer,
    score_threshold: float,
    spent: dict[str, float],
) -> list[FoundNucleus]:
    """Find the nuclei that one proposer sees in one view of a tile."""
    began = perf_counter()
    boxes = proposer.propose(seen.embedding)
    if seen.mirror is not None:
        mirror, embedding = seen.mirror
        others = proposer.propose(embedding)
        corners = mirror.boxes_out(others.boxes_yxyx)
        boxes = fused(boxes, Detections(corners, others.scores, others.class_ids))
    owned = owned_by(seen.field, boxes.boxes_yxyx, seen.embedding.frame.scale_yx)
    boxes = boxes.take(owned & (boxes.scores >= score_threshold))
    spent["detect"] = spent.get("detect", 0.0) + perf_counter() - began
    began = perf_counter()
    found: list[FoundNucleus] = []
    if len(boxes):
        for index, answers in _decode(engine, seen, boxes.boxes_yxyx):
            found += _outlined(answers, boxes.take(index), seen.shape)
    spent["masks"] = spent.get("masks", 0.0) + perf_counter() - began
    return found


def _decode(
    engine: TorchEngine, seen: _Seen, boxes_yxyx: npt.NDArray[np.float32]
) -> Iterator[tuple[npt.NDArray[np.int64], DecodedMasks]]:
    """Answer boxes grown by the card's margin; with a mirror, the mean of both answers."""
    margin = np.tile(engine.card.box_margin / seen.embedding.frame.scale_yx, 2)
    grown = (boxes_yxyx + margin * (-1, -1, 1, 1)).astype(np.float32)
    for index, answers in engine.decode(seen.embedding, PromptBatch.of_boxes(grown)):
        if seen.mirror is None:
            yield index, answers
            continue
        mirror, embedding = seen.mirror
        turned = PromptBatch.of_boxes(mirror.boxes_in(grown[index]))
        for some, others in engine.decode(embedding, turned):
            yield index[some], mean_of(answers.take(some), mirror.masks_out(others))


def _without_doubles(views: list[list[FoundNucleus]]) -> list[FoundNucleus]:
    """Of nuclei found in two views or by two proposers, keep the one of better score.

    One view may see the nucleus and the other the cell around it: boxes count as one nucleus when
    they share half of the smaller.
    """
    pairs = sorted(
        ((one, k) for k, found in enumerate(views) for one in found),
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
        cut = _cut_to_tile(mask, shape)
        if cut.area:
            yield FoundNucleus(cut, (y0, x0, y1, x1))


def _cut_to_tile(mask: InstanceMask, shape: tuple[int, int]) -> InstanceMask:
    (rows, columns), inside = cut_to_picture(mask, shape)
    origin, crop = tight_crop(inside, (rows.start, columns.start))
    return replace(mask, origin_yx=origin, mask=crop)
