"""What can be asked of an engine and what it answers: frozen values, numpy only."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_uninuc.errors import PromptError

__all__ = ["OUTSIDE", "DecodedMasks", "MaskWindows", "PromptBatch"]

FloatArray = npt.NDArray[np.floating[Any]]

OUTSIDE = -10.0
"""Logit of cells no window covered: confidently not this nucleus."""


@dataclass(frozen=True, slots=True, eq=False)
class MaskWindows:
    """Mask prompts of N nuclei, each in a window of its field's logit grid.

    What lies outside a window counts as `OUTSIDE`. For small nuclei this is a thousandth of the
    whole grids that `PromptBatch.masks` takes too, and the answer is the same.

    Attributes
    ----------
    logits : N arrays (h, w) float32; sizes may differ
    corners_yx : (N, 2) int64, first cell of each window on the grid
    grid_hw : cells of the field's logit grid
    """

    logits: tuple[npt.NDArray[np.float32], ...]
    corners_yx: npt.NDArray[np.int64]
    grid_hw: tuple[int, int]

    @classmethod
    def of_grids(cls, grids: npt.NDArray[np.float32]) -> "MaskWindows":
        """Whole grids (N, H, W) are windows too; not copied."""
        height, width = grids.shape[1:]
        return cls(tuple(grids), np.zeros((len(grids), 2), np.int64), (height, width))

    def __len__(self) -> int:
        return len(self.logits)

    def take(self, index: npt.NDArray[Any]) -> "MaskWindows":
        """The windows at ``index``, (n,) positions or (N,) bool."""
        places = np.arange(len(self))[index]
        logits = tuple(self.logits[place] for place in places.tolist())
        return MaskWindows(logits, self.corners_yx[index], self.grid_hw)

    def cut(self, place: int, corner_yx: tuple[int, int], shape: tuple[int, int]) -> FloatArray:
        """Another window of mask ``place``: ``shape`` cells from the cell ``corner_yx`` on."""
        logits = self.logits[place]
        first = self.corners_yx[place] - corner_yx
        low = np.clip(first, 0, shape)
        high = np.clip(first + logits.shape, low, shape)
        window = np.full(shape, OUTSIDE, np.float32)
        (y0, x0), (y1, x1) = low, high
        dy, dx = first
        window[y0:y1, x0:x1] = logits[y0 - dy : y1 - dy, x0 - dx : x1 - dx]
        return window


@dataclass(frozen=True, slots=True, eq=False)
class PromptBatch:
    """Prompts of N nuclei of one picture.

    Attributes
    ----------
    points_yx : (N, P, 2) float32, px of the picture, pixel centres at integers
    labels : (N, P) int64: 1 inside, 0 outside, -1 no point
    boxes_yxyx : (N, 4) float32, px, half-open; None without boxes
    masks : earlier logits on the field's logit grid: (N, H, W) float32, or only windows of it;
        None without mask prompts

    Raises
    ------
    PromptError
        Shapes that do not belong together, or values that are not finite.
    """

    points_yx: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    boxes_yxyx: npt.NDArray[np.float32] | None = None
    masks: npt.NDArray[np.float32] | MaskWindows | None = None

    def __post_init__(self) -> None:
        n = len(self.points_yx)
        if self.points_yx.ndim != 3 or self.points_yx.shape[-1] != 2:
            raise PromptError(f"points must be (N, P, 2), got {self.points_yx.shape}; add axes")
        if self.labels.shape != self.points_yx.shape[:2]:
            raise PromptError(
                f"point labels must be {self.points_yx.shape[:2]} like the points, got "
                f"{self.labels.shape}; pass one label a point"
            )
        if not np.isin(self.labels, (-1, 0, 1)).all():
            raise PromptError("point labels must be 1 (inside) or 0 (outside); correct them")
        if self.boxes_yxyx is not None and self.boxes_yxyx.shape != (n, 4):
            raise PromptError(f"boxes must be ({n}, 4), got {self.boxes_yxyx.shape}; one a prompt")
        for name in ("points_yx", "boxes_yxyx"):
            values = getattr(self, name)
            if values is not None and not np.isfinite(values).all():
                raise PromptError(f"{name} must be finite numbers, got NaN or infinity")
        if self.masks is not None:
            _require_masks(self.masks, n)

    @property
    def previous(self) -> MaskWindows | None:
        """The mask prompts as windows, whichever way they came; not copied."""
        if self.masks is None or isinstance(self.masks, MaskWindows):
            return self.masks
        return MaskWindows.of_grids(self.masks)

    def __len__(self) -> int:
        return len(self.points_yx)

    def take(self, index: npt.NDArray[Any]) -> "PromptBatch":
        """The prompts at ``index``, (n,) positions or (N,) bool; mask prompts are not copied."""
        return PromptBatch(
            self.points_yx[index],
            self.labels[index],
            None if self.boxes_yxyx is None else self.boxes_yxyx[index],
            None if self.previous is None else self.previous.take(index),
        )

    @classmethod
    def of_boxes(cls, boxes_yxyx: npt.NDArray[np.float32]) -> "PromptBatch":
        """One box a nucleus and no points.

        Parameters
        ----------
        boxes_yxyx : (N, 4) float32, half-open px of the picture
        """
        n = len(boxes_yxyx)
        points = np.zeros((n, 0, 2), np.float32)
        return cls(points, np.zeros((n, 0), np.int64), boxes_yxyx)


def _require_masks(masks: npt.NDArray[np.float32] | MaskWindows, n: int) -> None:
    if not isinstance(masks, MaskWindows):
        if masks.ndim != 3 or len(masks) != n:
            raise PromptError(f"mask prompts must be ({n}, h, w), got {masks.shape}; one a prompt")
        masks = MaskWindows.of_grids(masks)
    if len(masks) != n:
        raise PromptError(f"mask prompts must be {n}, got {len(masks)}; one a prompt")
    if not all(np.isfinite(logits).all() for logits in masks.logits):
        raise PromptError("masks must be finite numbers, got NaN or infinity")


@dataclass(frozen=True, slots=True, eq=False)
class DecodedMasks:
    """Answer to N prompts: each mask in its own crop of the picture.

    Attributes
    ----------
    origins_yx : (N, 2) int64, px of the picture; a crop may reach past the border
    logits : (N, K, h, w) float32 at picture resolution; inside where above 0
    ious : (N, K) float32 in [0, 1], the decoder's own estimate
    low_res : (N, K, h', w') float32 logits of the window on the logit grid
    low_res_corners_yx : (N, 2) int64, first cell of the window on the field's logit grid
    """

    origins_yx: npt.NDArray[np.int64]
    logits: npt.NDArray[np.float32]
    ious: npt.NDArray[np.float32]
    low_res: npt.NDArray[np.float32]
    low_res_corners_yx: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.origins_yx)

    def take(self, index: npt.NDArray[Any]) -> "DecodedMasks":
        """The answers at ``index``, (n,) positions or (N,) bool."""
        return DecodedMasks(
            self.origins_yx[index],
            self.logits[index],
            self.ious[index],
            self.low_res[index],
            self.low_res_corners_yx[index],
        )
