"""What two readers outlined at the place under review, in two colours over the nuclei."""

from collections.abc import Sequence
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap
from scipy import ndimage

from napari_uninuc.core.extents import Box, join_boxes, slices
from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.gui.layers.placement import Placement

__all__ = ["READER_COLOURS", "ReaderOutlines"]

_NAME = "two readers"


class _Line(IntEnum):
    """Whose outline a pixel is on."""

    FIRST = 1
    SECOND = 2
    BOTH = 3


READER_COLOURS = "#ff7a00", "#00c8ff"
"""Of the first and of the second reader; white is where both run."""

_COLOURS = DirectLabelColormap(
    color_dict={
        None: "transparent",
        0: "transparent",
        _Line.FIRST: READER_COLOURS[0],
        _Line.SECOND: READER_COLOURS[1],
        _Line.BOTH: "#ffffff",
    }
)


class ReaderOutlines:
    """A layer of its own, made when there is something to show and again if it was deleted.

    Parameters
    ----------
    viewer : gets the layer
    shape : (H, W) of the tile, px
    placement : where the tile lies
    """

    def __init__(self, viewer: Any, shape: tuple[int, int], placement: Placement) -> None:
        self._viewer, self._shape, self._placement = viewer, shape, placement
        self._shown: Box | None = None
        self.layer: Labels | None = None

    def show(self, first: Sequence[InstanceMask], second: Sequence[InstanceMask]) -> None:
        """Draw the outlines of both readers, and no others any more."""
        pixels = self._there()
        if self._shown is not None:
            pixels[slices(self._shown)] = 0
        masks = [*first, *second]
        self._shown = join_boxes(*(mask.box_yxyx for mask in masks)) if masks else None
        for line, own in ((_Line.FIRST, first), (_Line.SECOND, second)):
            for mask in own:
                pixels[slices(mask.box_yxyx)][_edge(mask.mask)] |= np.uint8(line)
        if self.layer is not None:
            self.layer.visible = bool(masks)
            self.layer.refresh()

    def hide(self) -> None:
        """Draw nothing."""
        if self._shown is not None and self.layer in self._viewer.layers:
            self.show((), ())

    def close(self) -> None:
        """Take the layer out of the window."""
        if self.layer in self._viewer.layers:
            self._viewer.layers.remove(self.layer)
        self.layer = None

    def _there(self) -> npt.NDArray[np.uint8]:
        """The pixels of the layer, which is made where it is not there."""
        if self.layer is None or self.layer not in self._viewer.layers:
            pixels = np.zeros(self._shape, np.uint8)
            self.layer = Labels(
                pixels, name=_NAME, colormap=_COLOURS, opacity=1.0, **self._placement.keywords()
            )
            self.layer.editable = False
            self._shown = None
            layers = self._viewer.layers
            chosen, active = set(layers.selection), layers.selection.active
            layers.append(self.layer)
            layers.selection.clear()
            layers.selection.update(chosen)
            layers.selection.active = active
        shown: npt.NDArray[np.uint8] = self.layer.data
        return shown


def _edge(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Pixels of a mask beside one that is not; the border of the crop counts as such."""
    inner = ndimage.binary_erosion(np.pad(mask, 1))[1:-1, 1:-1]
    edge: npt.NDArray[np.bool_] = mask & ~inner
    return edge
