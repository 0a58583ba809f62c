"""One nucleus, answered from the cached embedding: prompt encoder and mask decoder only."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.outline import common_part, keep_meant, tight_crop
from napari_uninuc.core.prompts import LOGIT_LIMIT, Answer, MaskLogits, Prompt
from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.anchors import with_anchors
from napari_uninuc.engine.embedding import TileEmbedding
from napari_uninuc.engine.mask_prompt import mask_window
from napari_uninuc.engine.owners import field_of, place_of
from napari_uninuc.engine.requests import DecodedMasks, PromptBatch
from napari_uninuc.engine.torch_engine import TorchEngine

__all__ = ["answer_of", "answer_prompt"]


def answer_prompt(
    engine: TorchEngine,
    tile: Tile,
    prompt: Prompt,
    anchor: Callable[[Prompt], Prompt] = with_anchors,
) -> Answer:
    """Answer a prompt from the field that owns it; see `napari_uninuc.engine.protocol.Annotator`.

    Immunohistochemistry is answered as it is: restained, or the surer of both, is no better
    (docs/experiments.md).

    Parameters
    ----------
    anchor : what the network is told beside the prompt; the answer obeys the prompt's own clicks

    Raises
    ------
    PromptError
        A prompt without point, box and previous mask, or with numbers that are not finite.
    """
    field = field_of(engine.fields(tile), place_of(prompt))
    embedding = engine.embed(tile, field)
    batch = _batch_of(anchor(prompt), embedding, engine.logit_grid(embedding))
    ((_, masks),) = engine.decode(embedding, batch, by_hand=True)
    return answer_of(masks, prompt, tile.shape)


def _batch_of(prompt: Prompt, embedding: TileEmbedding, grid_hw: tuple[int, int]) -> PromptBatch:
    points = np.array(prompt.points_yx, np.float32).reshape(1, -1, 2)
    labels = np.array(prompt.inside, np.int64).reshape(1, -1)
    box = prompt.box_yxyx
    boxes = None if box is None else np.array([box], np.float32)
    masks = None
    if prompt.previous is not None:
        previous = prompt.previous
        masks = mask_window(previous.logits, previous.origin_yx, embedding.frame, grid_hw)
    return PromptBatch(points, labels, boxes, masks)


def answer_of(masks: DecodedMasks, prompt: Prompt, shape: tuple[int, int]) -> Answer:
    """Make the first mask of a batch of one into what a person sees, cut to a tile of `shape`."""
    crop = masks.logits[0, 0]
    y, x = masks.origins_yx[0].tolist()
    (rows, columns), inside_crop = common_part((y, x), crop.shape, shape)
    y0, x0 = rows.start, columns.start
    logits = crop[inside_crop].clip(-LOGIT_LIMIT, LOGIT_LIMIT)
    clicks: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    for (row, column), inside in zip(prompt.points_yx, prompt.inside, strict=True):
        clicks[bool(inside)].append((row - y0, column - x0))
    before = None
    if prompt.previous is not None:
        before = _moved(prompt.previous, (y0, x0), logits.shape)
    meant = keep_meant(logits > 0, clicks[True], clicks[False], before)
    origin, mask = tight_crop(meant, (y0, x0))
    iou = float(masks.ious[0, 0])
    return Answer(InstanceMask(origin, mask, 1.0, 0, iou), MaskLogits((y0, x0), logits))


def _moved(
    previous: MaskLogits, origin_yx: tuple[int, int], shape: tuple[int, ...]
) -> npt.NDArray[Any]:
    """The previous mask in another crop, (h, w) bool; what lies outside it is cut."""
    moved = np.zeros(shape, np.bool_)
    y, x = previous.origin_yx
    here, there = common_part((y - origin_yx[0], x - origin_yx[1]), previous.logits.shape, shape)
    moved[here] = previous.logits[there] > 0
    return moved
