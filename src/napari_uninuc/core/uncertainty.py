"""How likely an outline is to be wrong, as a sum of reasons a person can be shown."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Self

import numpy as np

from napari_uninuc.core.extents import Box
from napari_uninuc.core.labels import LabelMap
from napari_uninuc.core.nuclei import Status
from napari_uninuc.errors import RecipeError

__all__ = ["ReviewWeights", "SizeScale", "Uncertainty", "uncertainty"]

_SPREAD_OF_MAD = 1.4826
"""Standard deviation of a normal distribution whose median absolute deviation is 1."""
_SMALLEST_SPREAD = 0.1
"""Of log area: nuclei of one size to 10 % are not made unusual by a pixel."""
_STRANGE_Z = 4.0


@dataclass(frozen=True, slots=True)
class Uncertainty:
    """Reasons to look at a nucleus, each in [0, 1]; 0 where it does not apply.

    Attributes
    ----------
    score : 1 - the detector's score
    predicted_iou : 1 - the IoU that the model expects; of an automatic outline with a true nucleus,
        where the model's card was calibrated for it, else the mask decoder's own estimate
    disagreement : 1 - IoU of the detector's box and the mask's tight box
    border : 1 where it touches the tile's border, and so may be cut
    size : robust z of log area among the nuclei of the tile, over 4, at most 1
    class_doubt : 1 - how likely its class is, where examples have told it
    """

    score: float
    predicted_iou: float
    disagreement: float
    border: float
    size: float
    class_doubt: float = 0.0

    def terms(self) -> Mapping[str, float]:
        """The reasons by name."""
        return asdict(self)

    def total(self, weights: "ReviewWeights") -> float:
        """Their weighted mean, in [0, 1]."""
        weighted = (  # written out: asked for ten thousand times in a row
            weights.score * self.score
            + weights.predicted_iou * self.predicted_iou
            + weights.disagreement * self.disagreement
            + weights.border * self.border
            + weights.size * self.size
            + weights.class_doubt * self.class_doubt
        )
        return weighted / weights.sum

    def main_reason(self, weights: "ReviewWeights") -> str:
        """Name of the term that adds most to the total."""
        return max(_TERMS, key=lambda name: getattr(weights, name) * getattr(self, name))


_TERMS = tuple(item.name for item in fields(Uncertainty))


@dataclass(frozen=True, slots=True)
class ReviewWeights:
    """How much each term of `Uncertainty` counts; only their ratios matter.

    The defaults suit models whose card turns the predicted IoU of automatic outlines into the one
    to be expected, which knows the score already. Chosen on four validation tiles of MoNuSeg and
    eight training tiles of CoNSeP, measured on others (docs/review.md). There no classes were
    taught: how much their doubt counts is a judgement.

    Raises
    ------
    RecipeError
        A weight below 0 or not finite, or none above 0.
    """

    score: float = 0.25
    predicted_iou: float = 1.0
    disagreement: float = 0.1
    border: float = 0.1
    size: float = 0.1
    class_doubt: float = 0.5

    def __post_init__(self) -> None:
        values = [getattr(self, name) for name in _TERMS]
        if not all(math.isfinite(v) and v >= 0 for v in values) or sum(values) <= 0:
            raise RecipeError(f"review weights must be 0 or above and not all 0, got {values}")

    @property
    def sum(self) -> float:
        """All weights together."""
        outline = self.score + self.predicted_iou + self.disagreement
        return outline + self.border + self.size + self.class_doubt


@dataclass(frozen=True, slots=True)
class SizeScale:
    """What size is usual on a tile: median and robust spread of log area (natural, of px)."""

    median: float
    spread: float

    @classmethod
    def of(cls, areas_px: Iterable[int]) -> Self:
        """Estimate it from areas above 0; without any, every size is usual."""
        logs = np.log(np.fromiter(areas_px, np.float64))
        if len(logs) == 0:
            return cls(0.0, math.inf)
        median = float(np.median(logs))
        spread = _SPREAD_OF_MAD * float(np.median(np.abs(logs - median)))
        return cls(median, max(spread, _SMALLEST_SPREAD))

    def strangeness(self, area_px: int) -> float:
        """Distance from the median in spreads, as a share of 4 of them, at most 1."""
        return min(abs(math.log(area_px) - self.median) / self.spread / _STRANGE_Z, 1.0)


def uncertainty(labels: LabelMap, id_: int, sizes: SizeScale) -> Uncertainty:
    """Find the reasons to look at a nucleus.

    What a person has drawn (EDITED) is not doubted for what the model had thought of it: only
    border and size count then. Unknown numbers (NaN, no box) give no reason.

    Raises
    ------
    LabelsError
        It has no pixels, or there is no such nucleus.
    """
    box, row = labels.box(id_), labels.nuclei[id_]
    border = float(min(box[:2]) <= 0 or box[2] >= labels.shape[0] or box[3] >= labels.shape[1])
    size = sizes.strangeness(labels.area(id_))
    if row.status is Status.EDITED:
        return Uncertainty(0.0, 0.0, 0.0, border, size)
    disagreement = 0.0
    if row.detected_box_yxyx is not None:
        disagreement = 1.0 - _box_iou(row.detected_box_yxyx, box, labels.shape)
    return Uncertainty(_doubt(row.score), _doubt(row.predicted_iou), disagreement, border, size)


def _doubt(confidence: float) -> float:
    return 0.0 if math.isnan(confidence) else min(max(1.0 - confidence, 0.0), 1.0)


def _box_iou(
    detected: tuple[float, float, float, float], own: Box, shape: tuple[int, int]
) -> float:
    """IoU of two boxes, the detected one cut to the tile; plain numbers, it is asked for often."""
    y0, x0 = max(detected[0], 0.0), max(detected[1], 0.0)
    y1, x1 = min(detected[2], float(shape[0])), min(detected[3], float(shape[1]))
    height, width = min(y1, own[2]) - max(y0, own[0]), min(x1, own[3]) - max(x0, own[1])
    if height <= 0 or width <= 0:
        return 0.0
    shared = height * width
    union = (y1 - y0) * (x1 - x0) + (own[2] - own[0]) * (own[3] - own[1]) - shared
    return shared / union
