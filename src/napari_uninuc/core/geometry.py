"""Boxes, and the plan of overlapping fields that covers a large picture.

Inside the package a box is half-open ``(y0, x0, y1, x1)`` in pixels ("yxyx"): it holds the
pixels ``y0 <= y < y1``. ``xyxy`` exists for borders that demand it.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_uninuc.errors import ImageError, LabelsError, PromptError, RecipeError

__all__ = [
    "Field",
    "box_iou",
    "clip_boxes",
    "label_boxes",
    "plan_fields",
    "xyxy_from_yxyx",
]

_BAND_PX = 2**20
"""Pixels of a label image that are looked at in one go."""
_PX_AN_ID = 8
"""Up to one id to so many pixels a list as long as the largest id is worth its memory."""


def _as_boxes(boxes: npt.ArrayLike) -> npt.NDArray[Any]:
    array = np.asarray(boxes)
    if array.ndim == 0 or array.shape[-1] != 4:
        raise PromptError(f"boxes must be (..., 4), got {array.shape}; pass four numbers a box")
    return array


def xyxy_from_yxyx(boxes_yxyx: npt.ArrayLike) -> npt.NDArray[Any]:
    """Swap (..., 4) boxes from y0, x0, y1, x1 to x0, y0, x1, y1; same unit and dtype, a copy.

    Raises
    ------
    PromptError
        The last axis is not four long.
    """
    return _as_boxes(boxes_yxyx)[..., [1, 0, 3, 2]]


def clip_boxes(boxes_yxyx: npt.ArrayLike, shape: tuple[int, int]) -> npt.NDArray[Any]:
    """Cut (..., 4) yxyx boxes in px to a picture of `shape` (H, W); same dtype, a copy.

    A box wholly outside becomes empty on the nearest border; none is removed.

    Raises
    ------
    PromptError
        The last axis is not four long.
    """
    array = _as_boxes(boxes_yxyx)
    height, width = shape
    border = np.asarray([height, width, height, width], dtype=array.dtype)
    clipped: npt.NDArray[Any] = np.clip(array, 0, border)
    return clipped


def box_iou(first_yxyx: npt.ArrayLike, second_yxyx: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Intersection over union of every pair of boxes.

    Parameters
    ----------
    first_yxyx, second_yxyx : (N, 4) and (M, 4), half-open, one unit

    Returns
    -------
    iou : (N, M) float64 in [0, 1]; 0 where both boxes are empty

    Raises
    ------
    PromptError
        A last axis is not four long.
    """
    first = _as_boxes(first_yxyx).astype(np.float64)[:, None]  # (N, 1, 4)
    second = _as_boxes(second_yxyx).astype(np.float64)[None]  # (1, M, 4)
    overlap = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(
        first[..., :2], second[..., :2]
    )  # (N, M, 2)
    sides = np.clip(overlap, 0, None)
    intersection: npt.NDArray[np.float64] = sides[..., 0] * sides[..., 1]  # (N, M)
    union = _areas(first) + _areas(second) - intersection  # (N, M)
    iou = np.zeros_like(intersection)
    np.divide(intersection, union, out=iou, where=union > 0)
    return iou


def _areas(boxes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    sides: npt.NDArray[np.float64] = np.clip(boxes[..., 2:] - boxes[..., :2], 0, None)
    return sides[..., 0] * sides[..., 1]


def label_boxes(
    labels: npt.NDArray[np.integer[Any]],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Find the tight box of every object of a label image.

    Parameters
    ----------
    labels : (H, W) integers, 0 background, ids above 0; ids may be missing or very large

    Returns
    -------
    ids : (N,) int64, ascending
    boxes_yxyx : (N, 4) int64, half-open, px

    Raises
    ------
    LabelsError
        Not (H, W) integers, or a negative id.
    """
    if labels.ndim != 2 or labels.dtype.kind not in "ui":
        raise LabelsError(
            f"labels must be (H, W) integers, got {labels.shape} {labels.dtype}; pass one channel"
        )
    if labels.size and labels.min() < 0:
        raise LabelsError(f"label ids must be 0 or above, got {labels.min()}; relabel the image")
    highest = int(labels.max(initial=0))
    if highest <= max(labels.size // _PX_AN_ID, 2**16):
        known, compact = np.arange(highest + 1, dtype=np.int64), labels
    else:  # ids too sparse for a list as long as the largest
        known, compact = np.unique(labels, return_inverse=True)
        if known[0] != 0:
            known, compact = np.concatenate([[0], known]), compact + 1
    boxes = _boxes_by_band(compact.reshape(labels.shape), len(known) - 1)
    there = np.flatnonzero(boxes[:, 2] > 0)
    return known[there + 1], boxes[there]


def _boxes_by_band(labels: npt.NDArray[np.integer[Any]], count: int) -> npt.NDArray[np.int64]:
    """Find the boxes of ids 1 to ``count``, (count, 4); those of absent ones end at 0.

    Band by band: scipy holds Python's lock while it looks, and a window would stand still.
    """
    height, width = labels.shape
    bands = min(labels.size // _BAND_PX, labels.size // max(count, 1)) + 1
    step = max(1, -(-height // bands))
    first = np.full((count, 2), max(height, width), dtype=np.int64)
    last = np.zeros((count, 2), dtype=np.int64)
    for top in range(0, height, step):
        found = ndimage.find_objects(labels[top : top + step])
        here = [(i, *where) for i, where in enumerate(found) if where is not None]
        rows = np.array(
            [(i, top + y.start, x.start, top + y.stop, x.stop) for i, y, x in here], np.int64
        ).reshape(-1, 5)
        at = rows[:, 0]
        first[at] = np.minimum(first[at], rows[:, 1:3])
        last[at] = np.maximum(last[at], rows[:, 3:])
    return np.concatenate([first, last], axis=1)


@dataclass(frozen=True, slots=True)
class Field:
    """One window of a large picture; boxes are half-open integer yxyx in px of the picture.

    Attributes
    ----------
    index : place in row-major order, from 0
    outer_yxyx : what the network sees; inside the picture
    inner_yxyx : what this field answers for; the inners of a plan partition the picture
    """

    index: int
    outer_yxyx: tuple[int, int, int, int]
    inner_yxyx: tuple[int, int, int, int]


def plan_fields(shape: tuple[int, int], size: int, halo: int) -> list[Field]:
    """Cover a picture with overlapping fields, as few as can be, evenly spread.

    Parameters
    ----------
    shape : (H, W) of the picture, px
    size : longest side of a field, px; a longer side of the picture is covered by fields of
        exactly this side, so that a network sees one shape
    halo : margin around an inner box that its outer box still holds, px, save at the
        picture's border

    Returns
    -------
    fields : row-major; one field when the picture fits into it

    Raises
    ------
    ImageError
        An empty picture.
    RecipeError
        `halo` below 0, or `size` not above twice the halo.
    """
    if min(shape) < 1:
        raise ImageError(f"image must have at least one pixel, got {shape}; pass a picture")
    if halo < 0 or size <= 2 * halo:
        raise RecipeError(
            f"field size must be above twice a halo of 0 or more, got size {size} and halo "
            f"{halo}; enlarge the field or shrink the halo"
        )
    rows, columns = (_plan_axis(length, size, halo) for length in shape)
    pairs = [(row, column) for row in rows for column in columns]
    return [
        Field(
            index,
            (row[0], column[0], row[1], column[1]),
            (row[2], column[2], row[3], column[3]),
        )
        for index, (row, column) in enumerate(pairs)
    ]


def _plan_axis(length: int, size: int, halo: int) -> list[tuple[int, int, int, int]]:
    """Split one axis into (outer start, outer stop, inner start, inner stop)."""
    if length <= size:
        return [(0, length, 0, length)]
    count = -(-(length - 2 * halo) // (size - 2 * halo))
    starts = [i * (length - size) // (count - 1) for i in range(count)]
    # Neighbours overlap by at least 2 * halo; the cut in the middle leaves each its halo.
    cuts = [(left + size + right) // 2 for left, right in pairwise(starts)]
    inner = zip([0, *cuts], [*cuts, length], strict=True)
    return [(start, start + size, *span) for start, span in zip(starts, inner, strict=True)]
