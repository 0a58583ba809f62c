"""Where a simulated annotator clicks: micro-sam's protocol, as PathoSAM and UniNuc report it.

A round is two clicks: one on what was missed, one on what is too much. Where nothing was missed the
first falls anywhere in the nucleus; where nothing is too much the second falls near it. Who trains
and who measures draws the pixel; here stand the regions that it is drawn from.
"""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

__all__ = ["NEAR_PX", "correction_regions", "deepest_pixel", "near_box"]

NEAR_PX = 3
"""By which the true box is grown for a click beside a nucleus (micro-sam)."""

Box = tuple[int, int, int, int]


def deepest_pixel(region: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """The pixel (y, x) of a region (H, W) that is farthest from its border.

    The border of the array counts as one of the region; of several pixels equally far the first in
    reading order is taken. (0, 0) of an empty region.
    """
    depth = ndimage.distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return int(row), int(column)


def near_box(box_yxyx: Box, shape: tuple[int, int]) -> Box:
    """A half-open box grown by `NEAR_PX`, px, cut at the border of (H, W)."""
    y0, x0, y1, x1 = box_yxyx
    height, width = shape
    return (
        max(y0 - NEAR_PX, 0),
        max(x0 - NEAR_PX, 0),
        min(y1 + NEAR_PX, height),
        min(x1 + NEAR_PX, width),
    )


def correction_regions(
    truth: npt.NDArray[np.bool_], shown: npt.NDArray[np.bool_], near_yxyx: Box
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Where the two clicks of a round may fall.

    Parameters
    ----------
    truth, shown : (H, W) the nucleus, and the answer to be corrected
    near_yxyx : `near_box` of the nucleus, px of the same array

    Returns
    -------
    positive, negative : (H, W)
        The negative one is empty where the nucleus leaves nothing beside it: then both clicks are
        the positive one.
    """
    missed, excess = truth & ~shown, shown & ~truth
    if not excess.any():
        y0, x0, y1, x1 = near_yxyx
        excess[y0:y1, x0:x1] = ~truth[y0:y1, x0:x1]
    return missed if missed.any() else truth, excess
