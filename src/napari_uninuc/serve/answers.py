"""What is asked of the engine, whoever asks: a prompt, all nuclei, nuclei like some.

Only the protocols of the engine are known here. All nuclei are found and settled as by
`uninuc segment`.
"""

from collections.abc import Generator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from napari_uninuc.core.classifier import Taught
from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.prompts import Prompt
from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.class_sources import ExamplesSource
from napari_uninuc.engine.classing import classed
from napari_uninuc.engine.protocol import Annotator, FoundNucleus
from napari_uninuc.engine.settling import settled

__all__ = ["Progress", "alike", "mask_of", "outline_meant", "outline_steps"]

Progress = tuple[int, int]
"""Fields done, fields in all."""
Box = tuple[float, float, float, float]

_FEWEST_TO_STANDARDISE = 8
_MOST_TRIES = 4


def outline_meant(engine: Annotator, tile: Tile, prompt: Prompt) -> InstanceMask:
    """Outline what a prompt means, of whose outside points most may lie anywhere in the picture.

    The model knows outside clicks as corrections of an outline: one far from it spoils it. So only
    those are given that an outline without them covers.

    Returns
    -------
    mask : of the engine, of the prompt with the outside points that mattered
    """
    told = np.array(prompt.inside, np.bool_)
    for _ in range(_MOST_TRIES):
        mask = engine.answer(tile, _with_points(prompt, told)).mask
        missed = ~told & _covered(mask, prompt.points_yx)
        if not missed.any():
            break
        told |= missed
    return mask


def _with_points(prompt: Prompt, told: npt.NDArray[np.bool_]) -> Prompt:
    rows = np.flatnonzero(told)
    return replace(
        prompt,
        points_yx=tuple(prompt.points_yx[row] for row in rows),
        inside=tuple(prompt.inside[row] for row in rows),
    )


def _covered(mask: InstanceMask, points_yx: Sequence[tuple[float, float]]) -> npt.NDArray[np.bool_]:
    """Whether the pixel of each point belongs to a mask."""
    places = np.array(points_yx, np.float64).reshape(-1, 2).astype(np.int64) - mask.origin_yx
    on = np.asarray(((places >= 0) & (places < mask.mask.shape)).all(axis=1))
    on[on] = mask.mask[tuple(places[on].T)]
    return on


def outline_steps(
    engine: Annotator,
    tile: Tile,
    score_threshold: float | None = None,
    taught: Taught | None = None,
) -> Generator[Progress, None, Segmentation]:
    """Outline every nucleus of a tile.

    Parameters
    ----------
    score_threshold : in [0, 1]; None takes the card's
    taught : tells their classes; None leaves them to the model

    Yields
    ------
    progress : after each step of a second or less

    Returns
    -------
    segmentation : what `uninuc segment` makes of the same picture
    """
    card, fields = engine.card, engine.fields(tile)
    threshold = card.score_threshold if score_threshold is None else score_threshold
    found: list[FoundNucleus] = []
    for done, field in enumerate(fields):
        steps = engine.segment_steps(tile, field, threshold)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                found += end.value
                break
            yield done, len(fields)
    nuclei = settled(found, tile, card.classes, card.mpp, {})
    if taught is None:
        return nuclei
    return classed(tile, nuclei, ExamplesSource(engine.describe, taught))


def mask_of(segmentation: Segmentation, row: int) -> InstanceMask:
    """Cut the nucleus of a row of the table out of the labels."""
    cells = segmentation.table.iloc[row]
    y0, x0, y1, x1 = (int(cells[name]) for name in ("y0", "x0", "y1", "x1"))
    mask = segmentation.labels[y0:y1, x0:x1] == int(cells["id"])
    return InstanceMask((y0, x0), mask, float(cells["score"]), 0, float(cells["predicted_iou"]))


def alike(
    engine: Annotator,
    tile: Tile,
    found: Segmentation,
    positive: Sequence[Box],
    negative: Sequence[Box],
) -> Generator[Progress, None, npt.NDArray[np.float64]]:
    """Say how much each nucleus is like examples, by what the embedding holds of it.

    Parameters
    ----------
    found : all nuclei of the tile
    positive, negative : boxes (yxyx, px) around examples and counter-examples

    Yields
    ------
    progress : after each box that was outlined

    Returns
    -------
    likeness : (nuclei,) in [0, 1]: how near a nucleus lies to the examples' mean direction from the
        middle of all nuclei, 0 where it is nearer to a counter-example
    """
    boxes, answers = (*positive, *negative), []
    for done, box in enumerate(boxes):
        yield done, len(boxes)
        answers.append(engine.answer(tile, Prompt(box_yxyx=box)).mask)
    drawn = [mask for mask in answers if mask.area]
    for_it = sum(mask.area > 0 for mask in answers[: len(positive)])
    masks = [mask_of(found, row) for row in range(len(found.table))]
    if not masks or not for_it:
        return np.zeros(len(masks))
    rows = engine.features(tile, [*masks, *drawn]).astype(np.float64)
    directions = _directions(rows, len(masks))
    nuclei, examples = directions[: len(masks)], directions[len(masks) :]
    mean = examples[:for_it].mean(axis=0)
    likeness = nuclei @ (mean / max(float(np.linalg.norm(mean)), 1e-12))
    if for_it < len(examples):
        unlike = (nuclei @ examples[for_it:].T).max(axis=1)
        likeness = np.where(unlike > likeness, 0.0, likeness)
    result: npt.NDArray[np.float64] = np.clip(likeness, 0.0, 1.0)
    return result


def _directions(rows: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.float64]:
    """Unit vectors from the middle of the first `count` rows; with too few, from zero."""
    if count >= _FEWEST_TO_STANDARDISE:
        spread = rows[:count].std(axis=0)
        rows = (rows - rows[:count].mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    directions: npt.NDArray[np.float64] = rows / np.maximum(lengths, 1e-12)
    return directions
