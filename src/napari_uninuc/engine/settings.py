"""Choices of an automatic run, in one place with one default each."""

import math
from dataclasses import dataclass

from napari_uninuc.core.instances import MAX_OVERLAP

__all__ = ["SegmentSettings", "fewest_px"]


@dataclass(frozen=True, slots=True)
class SegmentSettings:
    """How detections become nuclei.

    Attributes
    ----------
    score_threshold : in [0, 1]; None takes the model card's, tuned on validation images
    max_overlap : a mask that better ones already cover by more than this share is dropped
    min_area_um2 : smaller nuclei are dropped; deliberately tiny, confidence should decide
    """

    score_threshold: float | None = None
    max_overlap: float = MAX_OVERLAP
    min_area_um2: float = 1.0


def fewest_px(area_um2: float, mpp: float | None) -> int:
    """Fewest px a nucleus of an area in square micrometres has; 1 where px have no size.

    Parameters
    ----------
    area_um2 : 0 or more
    mpp : micrometres per px
    """
    return 1 if mpp is None else max(1, math.ceil(area_um2 / mpp**2))
