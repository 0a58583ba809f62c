"""Where on a slide a picture was cut, so that its nuclei can be found there again."""

import math
import re
from dataclasses import dataclass

from napari_uninuc.errors import ImageError

__all__ = ["SlidePlace"]

_FINGERPRINT = re.compile("[0-9a-f]{32}")
_FARTHEST = 2**31


@dataclass(frozen=True, slots=True)
class SlidePlace:
    """A rectangle of one level of one slide.

    Attributes
    ----------
    slide : name of the slide's file, without its folder
    fingerprint : 32 hexadecimal digits, the same wherever the slide lies
    level : of the slide's pyramid, 0 the finest
    downsample : px of full resolution per px of that level, at least 1
    box_yxyx : half-open, px of full resolution; rounded outwards where `downsample` is no whole
        number
    result : names the run whose nuclei it began with; empty where it began with none
    own_from : ids below this came from that run, those from here on were given here

    Raises
    ------
    ImageError
        Any of it out of range.
    """

    slide: str
    fingerprint: str
    level: int
    downsample: float
    box_yxyx: tuple[int, int, int, int]
    result: str = ""
    own_from: int = 1

    def __post_init__(self) -> None:
        y0, x0, y1, x1 = self.box_yxyx
        sound = (
            _FINGERPRINT.fullmatch(self.fingerprint)
            and 0 <= self.level < 64
            and math.isfinite(self.downsample)
            and 1 <= self.downsample < _FARTHEST
            and 0 <= y0 < y1 < _FARTHEST
            and 0 <= x0 < x1 < _FARTHEST
            and 1 <= self.own_from <= _FARTHEST
        )
        if not sound:
            raise ImageError(
                "a place on a slide must have a fingerprint, a level, a downsample of 1 or more "
                f"and a box with pixels, got {self}; cut the region again"
            )
