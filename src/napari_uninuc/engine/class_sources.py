"""Where classes of nuclei that were found come from, besides the detector: one protocol."""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.classifier import Taught
from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.tile import Tile

__all__ = ["ClassSource", "Describe", "ExamplesSource"]

Describe = Callable[[Tile, Sequence[InstanceMask]], npt.NDArray[np.float32]]
"""`engine.protocol.Describer.describe`."""


class ClassSource(Protocol):
    """Says how likely each class is for each nucleus: `ExamplesSource`, `dense_parts.MapSource`."""

    @property
    def palette(self) -> ClassPalette:
        """Its classes, in the order of `probabilities`."""
        ...

    @property
    def by(self) -> str:
        """What stands in the column `CLASS_BY` of what it has classed."""
        ...

    def probabilities(self, tile: Tile, masks: Sequence[InstanceMask]) -> npt.NDArray[np.float64]:
        """How likely each class is, (N, C) in [0, 1], rows sum to 1.

        Parameters
        ----------
        masks : all nuclei of the tile, px of it, with a pixel inside it each; N of 1 or more
        """
        ...


class ExamplesSource:
    """What a person has taught by a few clicks.

    Parameters
    ----------
    describe : what nuclei look like, of the weights that it was taught with
    taught : a classifier ready for use
    """

    by = "examples"

    def __init__(self, describe: Describe, taught: Taught) -> None:
        self._describe, self._taught = describe, taught

    @property
    def palette(self) -> ClassPalette:
        """The classes that were taught."""
        return self._taught.palette

    def probabilities(self, tile: Tile, masks: Sequence[InstanceMask]) -> npt.NDArray[np.float64]:
        """How likely each class is, see `ClassSource`."""
        return self._taught.classifier.probabilities(self._describe(tile, masks))
