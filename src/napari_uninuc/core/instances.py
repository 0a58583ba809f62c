"""Nuclei as cropped masks, and the two ways to make one picture of many of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_uninuc.core.outline import common_part, tight_crop
from napari_uninuc.errors import LabelsError

__all__ = [
    "MAX_OVERLAP",
    "InstanceMask",
    "cut_to_picture",
    "largest_piece",
    "paint_masks",
    "resolve_overlaps",
    "resolved",
]

# A mask of which better ones hold more than this share is taken for the same nucleus again.
MAX_OVERLAP = 0.5

_CROSS = ndimage.generate_binary_structure(2, 1)  # takes as long to make as a small mask to label


@dataclass(frozen=True, slots=True, eq=False)
class InstanceMask:
    """One nucleus, cropped from its picture.

    Attributes
    ----------
    origin_yx : (y, x) of the crop's first pixel, px of the picture; may be negative
    mask : (h, w) bool, the crop; need not be tight
    score : detector's or user's confidence, in [0, 1]
    class_id : from 0
    predicted_iou : the mask decoder's own estimate of its IoU, in [0, 1]

    Raises
    ------
    LabelsError
        `mask` is not (h, w) bool.
    """

    origin_yx: tuple[int, int]
    mask: npt.NDArray[np.bool_]
    score: float
    class_id: int
    predicted_iou: float

    def __post_init__(self) -> None:
        if self.mask.ndim != 2 or self.mask.dtype != np.bool_:
            raise LabelsError(
                f"instance mask must be (h, w) bool, got {self.mask.shape} {self.mask.dtype}; "
                "threshold one channel"
            )

    @property
    def box_yxyx(self) -> tuple[int, int, int, int]:
        """Half-open box of the crop, px of the picture (not of the pixels set)."""
        y, x = self.origin_yx
        height, width = self.mask.shape
        return y, x, y + height, x + width

    @property
    def area(self) -> int:
        """Pixels set."""
        return int(np.count_nonzero(self.mask))

    def shifted(self, dy: int, dx: int) -> Self:
        """Move the crop by (dy, dx) px; the mask is shared, not copied."""
        y, x = self.origin_yx
        return replace(self, origin_yx=(y + dy, x + dx))


def paint_masks(masks: Sequence[InstanceMask], shape: tuple[int, int]) -> npt.NDArray[np.int32]:
    """Paint instance masks into one label image, best score on top.

    Parameters
    ----------
    masks : crops in px of the picture, yx
        May overlap and reach past the border. Order decides only between equal scores:
        the earlier is on top.
    shape : (H, W) of the picture, px

    Returns
    -------
    labels : (H, W) int32
        0 is background; label ``i + 1`` is ``masks[i]``. A mask wholly covered by better
        ones leaves no pixel, so ids may be missing.
    """
    labels = np.zeros(shape, dtype=np.int32)
    for index in reversed(_best_first(masks)):
        window, crop = cut_to_picture(masks[index], shape)
        labels[window][crop] = index + 1
    return labels


def resolve_overlaps(
    masks: Sequence[InstanceMask],
    shape: tuple[int, int],
    *,
    max_overlap: float = MAX_OVERLAP,
    min_area: int = 0,
) -> list[InstanceMask]:
    """Give every pixel to one nucleus at most, better scores first.

    A mask of whose pixels more than `max_overlap` already belong to better ones is dropped.
    Any other keeps the largest 4-connected piece of its free pixels. Costs time in proportion
    to the pixels of all crops, plus one bool picture.

    Parameters
    ----------
    masks : crops in px of the picture, yx; may overlap and reach past the border
    shape : (H, W) of the picture, px; pixels outside do not count
    max_overlap : taken pixels / own pixels, in [0, 1]
    min_area : px; smaller results are dropped, as are empty ones

    Returns
    -------
    resolved : disjoint tight crops inside the picture, best score first
    """
    return [mask for _, mask in resolved(masks, shape, max_overlap, min_area)]


def resolved(
    masks: Sequence[InstanceMask],
    shape: tuple[int, int],
    max_overlap: float = MAX_OVERLAP,
    min_area: int = 0,
) -> Iterator[tuple[int, InstanceMask]]:
    """As `resolve_overlaps`; each comes with its place in `masks`."""
    taken = np.zeros(shape, dtype=np.bool_)
    for index in _best_first(masks):
        window, crop = cut_to_picture(masks[index], shape)
        free = crop & ~taken[window]
        own, left = int(np.count_nonzero(crop)), int(np.count_nonzero(free))
        if left == 0 or own - left > max_overlap * own:
            continue
        origin, tight = tight_crop(largest_piece(free), (window[0].start, window[1].start))
        kept = replace(masks[index], origin_yx=origin, mask=tight)
        if kept.area < min_area:
            continue
        y0, x0, y1, x1 = kept.box_yxyx
        taken[y0:y1, x0:x1] |= kept.mask
        yield index, kept


def _best_first(masks: Sequence[InstanceMask]) -> list[int]:
    return sorted(range(len(masks)), key=lambda index: -masks[index].score)


def cut_to_picture(
    mask: InstanceMask, shape: tuple[int, int]
) -> tuple[tuple[slice, slice], npt.NDArray[np.bool_]]:
    """Cut a crop to a picture of `shape` (H, W).

    Returns
    -------
    window : index of the part inside, empty for a mask wholly outside
    crop : (h, w) bool, what is left of the mask there; shares its memory
    """
    window, inside = common_part(mask.origin_yx, mask.mask.shape, shape)
    return window, mask.mask[inside]


def largest_piece(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Keep the largest 4-connected piece of a (h, w) mask, the first of equals."""
    pieces, count = ndimage.label(mask, _CROSS)
    if count <= 1:
        return mask
    largest: npt.NDArray[np.bool_] = pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:])
    return largest
