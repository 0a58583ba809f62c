"""Choices of an automatic run, in one place with one default each."""

from dataclasses import dataclass

from napari_uninuc.core.instances import MAX_OVERLAP

__all__ = ["SegmentSettings"]


@dataclass(frozen=True, slots=True)
class SegmentSettings:
    """How detections become nuclei.

    Attributes
    ----------
    score_threshold : in [0, 1]; None takes the model card's, tuned on validation images
    max_overlap : a mask that better ones already cover by more than this share is dropped
    min_area_um2 : smaller nuclei are dropped; deliberately tiny, confidence should decide
    prompts_at_once : bounds memory while decoding
    """

    score_threshold: float | None = None
    max_overlap: float = MAX_OVERLAP
    min_area_um2: float = 1.0
    prompts_at_once: int = 256
