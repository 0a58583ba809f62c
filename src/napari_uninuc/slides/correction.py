"""A region of a slide as a person corrected it, ready to go back into the result."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.nuclei import Nucleus
from napari_uninuc.slides.protocol import Box

__all__ = ["Correction"]


@dataclass(frozen=True, slots=True, eq=False)
class Correction:
    """A region as it was corrected.

    Attributes
    ----------
    box_yxyx : px of the level that was outlined
    pixels : (h, w) int32, what is visible
    rows : of every id in them; detected boxes in px of the region
    classes : of the rows
    own_from : ids below are those of the result; 1 for a region that did not begin with it
    """

    box_yxyx: Box
    pixels: npt.NDArray[np.int32]
    rows: Mapping[int, Nucleus]
    classes: ClassPalette
    own_from: int
