"""Where labelled pixels lie and how many there are: boxes and counts of small crops and large."""

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_uninuc.core.geometry import label_boxes

__all__ = [
    "Box",
    "count_ids",
    "crop_boxes",
    "holds",
    "join_boxes",
    "pad_box",
    "slices",
    "tight_box",
]

Box = tuple[int, int, int, int]  # half-open yxyx in whole px

# Below this many nuclei it is quicker to look for each than to sort the whole crop.
_FEW = 24

# Counting keeps all of Python waiting, the window too: 1 ms for so many pixels.
_COUNTED_AT_ONCE = 2**19


def slices(box_yxyx: Box) -> tuple[slice, slice]:
    """Turn a box that lies inside an array into its index."""
    y0, x0, y1, x1 = box_yxyx
    return slice(y0, y1), slice(x0, x1)


def holds(outer: Box, inner: Box) -> bool:
    """Whether `inner` lies wholly in `outer`; both in one frame."""
    return (
        outer[0] <= inner[0]
        and outer[1] <= inner[1]
        and outer[2] >= inner[2]
        and outer[3] >= inner[3]
    )


def join_boxes(*boxes: Box) -> Box:
    """Find the smallest box around one or more boxes of one frame."""
    y0, x0, y1, x1 = zip(*boxes, strict=True)
    return min(y0), min(x0), max(y1), max(x1)


def pad_box(box_yxyx: Box, margin: int, shape: tuple[int, int]) -> Box:
    """Widen a box by `margin` px on each side, cut to a picture of `shape` (H, W)."""
    y0, x0, y1, x1 = box_yxyx
    return (
        min(max(y0 - margin, 0), shape[0]),
        min(max(x0 - margin, 0), shape[1]),
        max(min(y1 + margin, shape[0]), 0),
        max(min(x1 + margin, shape[1]), 0),
    )


def tight_box(mask: npt.NDArray[np.bool_], origin_yx: tuple[int, int] = (0, 0)) -> Box | None:
    """Find the box of the pixels set in a (h, w) bool crop.

    Returns
    -------
    box_yxyx : px of the frame in which the crop's first pixel is `origin_yx`; None when no
        pixel is set
    """
    rows = np.flatnonzero(mask.any(axis=1))
    if rows.size == 0:
        return None
    columns = np.flatnonzero(mask.any(axis=0))
    y, x = origin_yx
    return y + int(rows[0]), x + int(columns[0]), y + int(rows[-1]) + 1, x + int(columns[-1]) + 1


def count_ids(values: npt.NDArray[np.integer[Any]]) -> dict[int, int]:
    """Count how often every id occurs.

    Parameters
    ----------
    values : any shape, none below 0

    Returns
    -------
    counts : id -> pixels; 0 is left out
    """
    if values.size == 0:
        return {}
    flat = values.ravel()
    highest = int(flat.max())
    if highest < 8 * flat.size:
        counts = np.zeros(highest + 1, dtype=np.int64)
        for start in range(0, flat.size, _COUNTED_AT_ONCE):
            some = np.bincount(flat[start : start + _COUNTED_AT_ONCE])
            counts[: len(some)] += some
        found = np.flatnonzero(counts)
        counts = counts[found]
    else:  # a list as long as the largest id would be much longer than the crop
        found, counts = np.unique(flat, return_counts=True)
    totals = dict(zip(found.tolist(), counts.tolist(), strict=True))
    totals.pop(0, None)
    return totals


def crop_boxes(
    crop: npt.NDArray[np.int32], origin_yx: tuple[int, int], ids: frozenset[int]
) -> dict[int, Box]:
    """Find the box of each of `ids` that has pixels in a (h, w) crop of ids.

    Returns
    -------
    boxes : id -> box, px of the frame in which the crop's first pixel is `origin_yx`
    """
    if len(ids) <= _FEW:
        found = {id_: tight_box(crop == id_, origin_yx) for id_ in ids}
        return {id_: box for id_, box in found.items() if box is not None}
    y, x = origin_yx
    known, boxes = label_boxes(crop)
    shifted = (boxes + np.array([y, x, y, x])).tolist()
    return {
        id_: (box[0], box[1], box[2], box[3])
        for id_, box in zip(known.tolist(), shifted, strict=True)
        if id_ in ids
    }
