"""From pixels of the picture to pixels of the network's input, and back, without a half-pixel slip.

Pixel centres are integers in both. With scale ``s`` (input px per picture px) the centre of picture
pixel ``i`` lies at ``(i + 0.5) s - 0.5``, and the corner ``i`` (of a box) at ``i s``. SAM 2 scales
points as corners; frames of models without a scale of their own do as SAM 2 does.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_uninuc.core.geometry import Field

__all__ = ["Frame", "square_frame", "uniform_frame"]

_MULTIPLE = 32


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a field of the picture lies in the network's input.

    Attributes
    ----------
    origin_yx : first pixel of the field, px of the picture
    shape_hw : size of the field, px of the picture
    content_hw : size of the field in input px, before padding
    input_hw : size of the input, a multiple of 32; the content lies top left
    centred : pixel centres map to pixel centres (False: SAM 2's convention)
    """

    origin_yx: tuple[int, int]
    shape_hw: tuple[int, int]
    content_hw: tuple[int, int]
    input_hw: tuple[int, int]
    centred: bool

    @property
    def scale_yx(self) -> npt.NDArray[np.float64]:
        """Input px per picture px: (2,) float64, y before x."""
        return np.divide(self.content_hw, self.shape_hw, dtype=np.float64)

    def points_to_input(self, points_yx: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """(..., 2) pixel positions of the picture -> input px."""
        local = np.asarray(points_yx, np.float64) - self.origin_yx
        if not self.centred:
            return local * self.scale_yx
        return (local + 0.5) * self.scale_yx - 0.5

    def boxes_to_input(self, boxes_yxyx: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """(..., 4) half-open boxes of the picture -> input px."""
        local = np.asarray(boxes_yxyx, np.float64) - np.tile(self.origin_yx, 2)
        scaled: npt.NDArray[np.float64] = local * np.tile(self.scale_yx, 2)
        return scaled

    def boxes_to_picture(self, boxes_yxyx: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """(..., 4) boxes in input px -> half-open boxes of the picture."""
        scaled = np.asarray(boxes_yxyx, np.float64) / np.tile(self.scale_yx, 2)
        moved: npt.NDArray[np.float64] = scaled + np.tile(self.origin_yx, 2)
        return moved


def uniform_frame(field: Field, scale: float, smallest: int) -> Frame:
    """The frame of a field enlarged by ``scale`` on both axes and padded to whole cells.

    ``smallest`` is the least side of the input, px: a decoding window must fit.
    """
    y0, x0, y1, x1 = field.outer_yxyx
    shape = (y1 - y0, x1 - x0)
    content = (max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale)))
    height, width = (max(smallest, -(-side // _MULTIPLE) * _MULTIPLE) for side in content)
    return Frame((y0, x0), shape, content, (height, width), centred=True)


def square_frame(shape: tuple[int, int], side: int) -> Frame:
    """The whole picture stretched to a square, as SAM 2 does."""
    return Frame((0, 0), shape, (side, side), (side, side), centred=False)
