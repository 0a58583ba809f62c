"""Which field of a tile answers for what."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_uninuc.core.geometry import Field
from napari_uninuc.core.prompts import Prompt
from napari_uninuc.engine.requests import PromptBatch
from napari_uninuc.errors import PromptError

__all__ = ["SEAM_PX", "field_of", "owned_by", "owners_of", "place_of"]

SEAM_PX = 4.0
"""Input px by which the centre of one nucleus may differ between two fields."""


def field_of(fields: Sequence[Field], place_yx: tuple[float, float]) -> Field:
    """The field whose inner part holds a place of the tile, or the nearest to a place outside."""
    return fields[int(_nearest(fields, np.array([place_yx]))[0])]


def owners_of(fields: Sequence[Field], prompts: PromptBatch) -> npt.NDArray[np.int64]:
    """Find the field that answers each prompt: by its box or first point.

    A box's centre is its corners' mean, half a px later than `place_of` takes it.

    Parameters
    ----------
    fields : of one picture, px of it
    prompts : N, px of the picture

    Returns
    -------
    owners : (N,) int64, positions in `fields`

    Raises
    ------
    PromptError
        Several fields, and mask prompts without either: they lie on the grid of one.
    """
    if len(fields) == 1:
        return np.zeros(len(prompts), np.int64)
    if prompts.boxes_yxyx is not None:
        return _nearest(fields, (prompts.boxes_yxyx[:, :2] + prompts.boxes_yxyx[:, 2:]) / 2)
    if prompts.points_yx.shape[1]:
        return _nearest(fields, prompts.points_yx[:, 0])
    raise PromptError("on an image of several fields a mask prompt needs a point or a box; add one")


def _nearest(
    fields: Sequence[Field], places_yx: npt.NDArray[np.floating[Any]]
) -> npt.NDArray[np.int64]:
    """Position of the field nearest to each place (N, 2); the first of equals."""
    inner = np.array([field.inner_yxyx for field in fields], np.float64)  # (F, 4)
    places = places_yx[:, None].astype(np.float64)
    # Pixel centres are integers: a pixel's square begins half a px before its centre.
    beyond = np.maximum(inner[:, :2] - 0.5 - places, places - inner[:, 2:] + 0.5)  # (N, F, 2)
    nearest: npt.NDArray[np.int64] = beyond.clip(min=0).sum(axis=2).argmin(axis=1)
    return nearest


def place_of(prompt: Prompt) -> tuple[float, float]:
    """Where a prompt is, px of the tile: box centre, else first point, else middle of its mask.

    Raises
    ------
    PromptError
        It has none of these.
    """
    if prompt.box_yxyx is not None:
        y0, x0, y1, x1 = prompt.box_yxyx
        return (y0 + y1 - 1) / 2, (x0 + x1 - 1) / 2
    if prompt.points_yx:
        return prompt.points_yx[0]
    previous = prompt.previous
    if previous is None or not (previous.logits > 0).any():
        raise PromptError("a prompt needs a point, a box or a mask, got none; pass one")
    rows, columns = np.nonzero(previous.logits > 0)
    return previous.origin_yx[0] + float(rows.mean()), previous.origin_yx[1] + float(columns.mean())


def owned_by(
    field: Field, boxes_yxyx: npt.NDArray[np.float32], scale_yx: npt.NDArray[np.float64]
) -> npt.NDArray[np.bool_]:
    """Which boxes have their centre in the field's inner part, or close to it.

    Two fields may see one centre a little apart, each on the other's side of the cut. Both answer
    for what lies within `SEAM_PX` of it; whoever puts the fields together drops one of the two.

    Parameters
    ----------
    boxes_yxyx : (N, 4) px of the tile
    scale_yx : input px per px of the tile
    """
    centres = (boxes_yxyx[:, :2] + boxes_yxyx[:, 2:]) / 2
    slack = SEAM_PX / scale_yx
    low, high = field.inner_yxyx[:2] - slack, field.inner_yxyx[2:] + slack
    owned: npt.NDArray[np.bool_] = np.all((centres >= low) & (centres < high), axis=1)
    return owned
