"""From what a model says inside and outside of a nucleus to the one outline a person expects.

A raw answer may have crumbs and holes. A nucleus has neither, unless the person said so: by a
click inside a second piece, or by a click outside in a hole.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

__all__ = ["common_part", "keep_meant", "tight_crop"]

Point = tuple[float, float]
Window = tuple[slice, slice]


def keep_meant(
    raw: npt.NDArray[np.bool_],
    inside_yx: Sequence[Point] = (),
    outside_yx: Sequence[Point] = (),
    previous: npt.NDArray[np.bool_] | None = None,
) -> npt.NDArray[np.bool_]:
    """Drop the pieces and close the holes of a raw mask that nobody asked for.

    Parameters
    ----------
    raw : (h, w) bool, a crop
    inside_yx, outside_yx : clicks, px of the crop; those outside it say nothing
    previous : (h, w) bool, the nucleus as it was before; None where it is new
        Its own piece, the one that shares most pixels with it, stays even if all clicks fell
        elsewhere: who clicks beside a nucleus means to add to it.

    Returns
    -------
    meant : (h, w) bool
        The 4-connected pieces that hold an inside click, and that of `previous`; the largest
        where there are none of these. Holes are filled, save those that hold an outside click.
    """
    pieces, count = ndimage.label(raw)
    if count == 0:
        return np.zeros_like(raw)
    meant = _at(pieces, inside_yx)
    if previous is not None and (previous & raw).any():
        meant.add(_commonest(pieces[previous & raw]))
    if not meant:
        meant.add(_commonest(pieces[raw]))
    kept: npt.NDArray[np.bool_] = np.isin(pieces, list(meant)) if count > 1 else raw
    holes, _ = ndimage.label(ndimage.binary_fill_holes(kept) & ~kept)
    filled: npt.NDArray[np.bool_] = kept | (
        (holes > 0) & ~np.isin(holes, list(_at(holes, outside_yx)))
    )
    return filled


def tight_crop(
    mask: npt.NDArray[np.bool_], origin_yx: tuple[int, int]
) -> tuple[tuple[int, int], npt.NDArray[np.bool_]]:
    """Cut away the empty rows and columns around a mask.

    Parameters
    ----------
    mask : (h, w) bool
    origin_yx : px of the tile, of the mask's first pixel

    Returns
    -------
    origin_yx, crop : px of the tile; a copy. A mask without a pixel gives a (0, 0) crop.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if len(rows) == 0:
        return origin_yx, np.zeros((0, 0), np.bool_)
    y, x = int(rows[0]), int(columns[0])
    crop = mask[y : int(rows[-1]) + 1, x : int(columns[-1]) + 1].copy()
    return (origin_yx[0] + y, origin_yx[1] + x), crop


def common_part(
    origin_yx: tuple[int, int], crop_hw: tuple[int, ...], shape: tuple[int, ...]
) -> tuple[Window, Window]:
    """Where a crop lies in a picture, and which part of the crop that is.

    Parameters
    ----------
    origin_yx : first pixel of the crop, px of the picture; may be negative
    crop_hw, shape : (h, w) of the crop and (H, W) of the picture, px

    Returns
    -------
    in_picture, in_crop : slices of equal size; empty ones where the two do not meet
    """
    ours, theirs = [], []
    for first, length, limit in zip(origin_yx, crop_hw, shape, strict=True):
        start = min(max(first, 0), limit)
        stop = max(min(first + length, limit), start)
        ours.append(slice(start, stop))
        # A crop wholly before or behind the picture must not wrap around to its own end.
        inner = min(max(start - first, 0), length)
        theirs.append(slice(inner, inner + stop - start))
    return (ours[0], ours[1]), (theirs[0], theirs[1])


def _at(pieces: npt.NDArray[Any], points_yx: Sequence[Point]) -> set[int]:
    """Numbers of the pieces under the points; background is none."""
    found = set()
    for y, x in points_yx:
        row, column = math.floor(y + 0.5), math.floor(x + 0.5)
        if 0 <= row < pieces.shape[0] and 0 <= column < pieces.shape[1]:
            found.add(int(pieces[row, column]))
    return found - {0}


def _commonest(numbers: npt.NDArray[Any]) -> int:
    return int(np.bincount(numbers).argmax())
