"""One nucleus cut out of an image, true or predicted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_uninuc.core.geometry import label_boxes

Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Crop:
    """One mask and where it lies.

    Attributes
    ----------
    box_yxyx : tight half-open box in image px; all zeros where the mask is empty
    mask : (y1 - y0, x1 - x0) bool
    """

    box_yxyx: Box
    mask: np.ndarray

    @property
    def area(self) -> int:
        """Pixels set."""
        return int(np.count_nonzero(self.mask))

    def within(self, box_yxyx: Box) -> np.ndarray:
        """Draw the mask into a box of the image: (h, w) bool; what lies outside it is cut."""
        y0, x0, y1, x1 = box_yxyx
        drawn = np.zeros((y1 - y0, x1 - x0), dtype=bool)
        top, left, bottom, right = _common(self.box_yxyx, box_yxyx)
        if top < bottom and left < right:
            drawn[top - y0 : bottom - y0, left - x0 : right - x0] = self.mask[
                top - self.box_yxyx[0] : bottom - self.box_yxyx[0],
                left - self.box_yxyx[1] : right - self.box_yxyx[1],
            ]
        return drawn


def crop_of(mask: np.ndarray, origin_yx: tuple[int, int] = (0, 0)) -> Crop:
    """Cut the tight crop out of an (h, w) bool mask whose first pixel is `origin_yx`; a copy."""
    y0, x0, y1, x1 = mask_box(mask)
    if y1 == 0:
        return Crop((0, 0, 0, 0), np.zeros((0, 0), dtype=bool))
    y, x = origin_yx
    return Crop((y + y0, x + x0, y + y1, x + x1), mask[y0:y1, x0:x1].copy())


def targets_of(labels: np.ndarray) -> list[Crop]:
    """Cut every nucleus out of an (H, W) label image, ids ascending."""
    ids, boxes = label_boxes(labels)
    return [
        Crop((y0, x0, y1, x1), labels[y0:y1, x0:x1] == nucleus)
        for nucleus, (y0, x0, y1, x1) in zip(ids.tolist(), boxes.tolist(), strict=True)
    ]


def crop_iou(first: Crop, second: Crop) -> float:
    """Intersection over union of two crops of one image, not both empty."""
    shared = int(np.count_nonzero(second.within(first.box_yxyx) & first.mask))
    return shared / (first.area + second.area - shared)


def mask_box(mask: np.ndarray) -> Box:
    """Find the tight half-open yxyx box of an (H, W) bool mask; all zeros where it is empty."""
    rows = np.flatnonzero(mask.any(axis=1))
    if not len(rows):
        return 0, 0, 0, 0
    y0, y1 = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(mask[y0:y1].any(axis=0))
    return y0, int(columns[0]), y1, int(columns[-1]) + 1


def _common(first: Box, second: Box) -> Box:
    return (
        max(first[0], second[0]),
        max(first[1], second[1]),
        min(first[2], second[2]),
        min(first[3], second[3]),
    )
