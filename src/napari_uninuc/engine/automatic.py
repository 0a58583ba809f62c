"""Every nucleus of a field: detect, prompt with the boxes, decode."""

from collections.abc import Iterator
from dataclasses import replace
from time import perf_counter

import numpy as np

from napari_uninuc.core.detections import Detections
from napari_uninuc.core.geometry import Field
from napari_uninuc.core.instances import InstanceMask, cut_to_picture
from napari_uninuc.core.outline import tight_crop
from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.owners import owned_by
from napari_uninuc.engine.postprocess import instances_of
from napari_uninuc.engine.protocol import FoundNucleus
from napari_uninuc.engine.requests import DecodedMasks, PromptBatch
from napari_uninuc.engine.torch_engine import TorchEngine
from napari_uninuc.errors import PromptError

__all__ = ["find_in_field"]


def find_in_field(
    engine: TorchEngine,
    tile: Tile,
    field: Field,
    score_threshold: float,
    timings: dict[str, float] | None = None,
) -> list[FoundNucleus]:
    """Outline the nuclei whose box has its centre in the field's inner part, or close to it.

    Parameters
    ----------
    score_threshold : in [0, 1]; less likely ones are not decoded
    timings : seconds of ``encode``, ``detect`` and ``masks`` are added to it

    Returns
    -------
    found : best score first; masks may overlap and are not filtered by size

    Raises
    ------
    PromptError
        A threshold outside [0, 1].
    """
    if not 0 <= score_threshold <= 1:
        raise PromptError(f"score threshold must lie in 0..1, got {score_threshold}; correct it")
    spent = {} if timings is None else timings
    embedding = engine.embed(tile, field)
    spent["encode"] = spent.get("encode", 0.0) + embedding.seconds
    began = perf_counter()
    boxes = engine.propose(embedding)
    owned = owned_by(field, boxes.boxes_yxyx, embedding.frame.scale_yx)
    boxes = boxes.take(owned & (boxes.scores >= score_threshold))
    spent["detect"] = spent.get("detect", 0.0) + perf_counter() - began
    began = perf_counter()
    found: list[FoundNucleus] = []
    if len(boxes):
        for index, answers in engine.decode(embedding, PromptBatch.of_boxes(boxes.boxes_yxyx)):
            found += _outlined(answers, boxes.take(index), tile.shape)
    found.sort(key=lambda one: -one.mask.score)
    spent["masks"] = spent.get("masks", 0.0) + perf_counter() - began
    return found


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
