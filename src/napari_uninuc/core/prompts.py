"""What a person has said about the nucleus in hand, and what the model answers."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.errors import PromptError

__all__ = ["DRAWN_LOGIT", "LOGIT_LIMIT", "Answer", "MaskLogits", "Prompt"]

DRAWN_LOGIT = 8.0
"""Logit of a pixel that a person has drawn: probability 0.9997."""
LOGIT_LIMIT = 32.0
"""SAM 2 clamps the logits it feeds back to +-32."""


@dataclass(frozen=True, slots=True, eq=False)
class MaskLogits:
    """How sure the model is of every pixel of one nucleus.

    Attributes
    ----------
    origin_yx : the crop's first pixel, px of the tile; the crop may reach past the border
    logits : (h, w) float32 at the tile's resolution; inside where above 0

    Raises
    ------
    PromptError
        Logits that are not a (h, w) plane of finite float32.
    """

    origin_yx: tuple[int, int]
    logits: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.logits.ndim != 2 or self.logits.dtype != np.float32:
            raise PromptError(
                f"mask logits must be (h, w) float32, got {self.logits.shape} "
                f"{self.logits.dtype}; pass one plane"
            )
        if not np.isfinite(self.logits).all():
            raise PromptError("mask logits must be finite, got NaN or infinity; clip them")

    @classmethod
    def from_mask(cls, mask: InstanceMask) -> Self:
        """Take a drawn mask for certain: logit 8 inside, -8 outside, over the mask's crop."""
        return cls(
            mask.origin_yx, np.where(mask.mask, DRAWN_LOGIT, -DRAWN_LOGIT).astype(np.float32)
        )

    @property
    def box_yxyx(self) -> tuple[int, int, int, int]:
        """Half-open box of the crop, px of the tile."""
        y, x = self.origin_yx
        height, width = self.logits.shape
        return y, x, y + height, x + width


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """Clicks, box and previous mask of the nucleus in hand; all empty by default.

    Attributes
    ----------
    points_yx : clicks, px of the tile, pixel centres at integers, oldest first
    inside : for each click, whether it lies on the nucleus or on what is not it
    box_yxyx : half-open px of the tile, or None
    previous : the mask to start from, or None

    Raises
    ------
    PromptError
        Clicks and `inside` of different lengths, numbers that are not finite, or a box
        without any area.

    Examples
    --------
    >>> from napari_uninuc.core.prompts import Prompt
    >>> prompt = Prompt().with_box((62, 67, 72, 77)).with_point((66, 71), inside=True)
    >>> prompt.points_yx, prompt.inside, bool(Prompt())
    (((66.0, 71.0),), (True,), False)
    """

    points_yx: tuple[tuple[float, float], ...] = ()
    inside: tuple[bool, ...] = ()
    box_yxyx: tuple[float, float, float, float] | None = None
    previous: MaskLogits | None = None

    def __post_init__(self) -> None:
        if len(self.points_yx) != len(self.inside):
            raise PromptError(
                f"every click must be inside or outside, got {len(self.points_yx)} clicks and "
                f"{len(self.inside)} answers; pass one for each"
            )
        if not np.isfinite(np.asarray(self.points_yx, dtype=np.float64)).all():
            raise PromptError("clicks must be finite numbers, got NaN or infinity")
        if self.box_yxyx is not None:
            y0, x0, y1, x1 = self.box_yxyx
            if not (np.isfinite(self.box_yxyx).all() and y0 < y1 and x0 < x1):
                raise PromptError(
                    f"a box must be y0 < y1, x0 < x1 and finite, got {self.box_yxyx}; "
                    "drag from one corner to the opposite one"
                )

    def __bool__(self) -> bool:
        """Whether it says anything that a model can answer."""
        return bool(self.points_yx) or self.box_yxyx is not None or self.previous is not None

    def with_point(self, point_yx: tuple[float, float], inside: bool) -> Self:
        """Add one click, px of the tile; a copy."""
        y, x = point_yx
        return replace(
            self,
            points_yx=(*self.points_yx, (float(y), float(x))),
            inside=(*self.inside, bool(inside)),
        )

    def with_box(self, box_yxyx: tuple[float, float, float, float]) -> Self:
        """Set or replace the box, half-open px of the tile; a copy."""
        return replace(self, box_yxyx=box_yxyx)

    def with_previous(self, previous: MaskLogits | None) -> Self:
        """Set, replace or drop the mask to start from; a copy."""
        return replace(self, previous=previous)


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What the model makes of a prompt.

    Attributes
    ----------
    mask : the nucleus, one crop of the tile
    logits : the same nucleus before it was cut at 0; the next prompt's `previous`
    """

    mask: InstanceMask
    logits: MaskLogits
