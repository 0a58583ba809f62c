"""What can be asked of an engine and what it answers: frozen values, numpy only."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_uninuc.errors import PromptError

__all__ = ["DecodedMasks", "PromptBatch"]

FloatArray = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class PromptBatch:
    """Prompts of N nuclei of one picture.

    Attributes
    ----------
    points_yx : (N, P, 2) float32, px of the picture, pixel centres at integers
    labels : (N, P) int64: 1 inside, 0 outside, -1 no point
    boxes_yxyx : (N, 4) float32, px, half-open; None without boxes
    masks : (N, h, w) float32 logits on the field's logit grid, as an answer's `low_res`; or None

    Raises
    ------
    PromptError
        Shapes that do not belong together, or values that are not finite.
    """

    points_yx: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    boxes_yxyx: npt.NDArray[np.float32] | None = None
    masks: npt.NDArray[np.float32] | None = None

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
        if self.masks is not None and (self.masks.ndim != 3 or len(self.masks) != n):
            raise PromptError(f"mask prompts must be ({n}, h, w), got {self.masks.shape}")
        for name in ("points_yx", "boxes_yxyx", "masks"):
            values = getattr(self, name)
            if values is not None and not np.isfinite(values).all():
                raise PromptError(f"{name} must be finite numbers, got NaN or infinity")

    def __len__(self) -> int:
        return len(self.points_yx)

    def take(self, index: npt.NDArray[Any]) -> "PromptBatch":
        """The prompts at ``index``, an index or boolean array."""
        return PromptBatch(
            self.points_yx[index],
            self.labels[index],
            None if self.boxes_yxyx is None else self.boxes_yxyx[index],
            None if self.masks is None else self.masks[index],
        )

    @classmethod
    def of_boxes(cls, boxes_yxyx: npt.NDArray[np.float32]) -> "PromptBatch":
        """One box a nucleus and no points."""
        n = len(boxes_yxyx)
        points = np.zeros((n, 0, 2), np.float32)
        return cls(points, np.zeros((n, 0), np.int64), boxes_yxyx)


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
