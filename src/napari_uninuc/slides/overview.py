"""A small picture of a whole slide, resampled exactly to a scale, in bounded memory."""

import numpy as np
import numpy.typing as npt
from PIL import Image

from napari_uninuc.errors import ImageError
from napari_uninuc.slides.protocol import Slide, level_for

__all__ = ["overview_of"]

_MOST_PIXELS = 2**28
"""Of an overview: nine times a microscope slide that is scanned to its rims, at 8 um."""

_PIXELS_AT_ONCE = 2**24
"""Read at once from the coarsest fine level: 50 MB of RGB."""


def overview_of(slide: Slide, mpp: float) -> npt.NDArray[np.uint8]:
    """See the whole slide at `mpp`, which is coarser than its full resolution.

    Pixels are averaged over their area from the coarsest level at least as fine. A slide whose
    coarsest level is still large is read block by block; where a pixel does not cover whole px of
    the level, those at the edges of blocks are averaged over one px more or less.

    Parameters
    ----------
    mpp : micrometres per px; a scale finer than the slide's gives its own

    Returns
    -------
    rgb : (H, W, 3) uint8, at least 1 x 1; pixel i covers [i, i + 1) times ``mpp`` um, the last
        ones may reach past the slide

    Raises
    ------
    ImageError
        Larger than any slide is, or as `Slide.read`.
    """
    place = level_for(slide, mpp)
    level = slide.levels[place]
    step = max(1.0, mpp / (slide.mpp * level.downsample))
    height, width = (max(1, round(side / step)) for side in level.shape)
    if height * width > _MOST_PIXELS:
        raise ImageError(
            f"{slide.path}: expected a slide of at most {_MOST_PIXELS} px at {mpp:g} um, got "
            f"{height} x {width}; check what the file says of its size and scale"
        )
    rgb = np.empty((height, width, 3), np.uint8)
    side = max(1, int(_PIXELS_AT_ONCE**0.5 / step))
    for y in range(0, height, side):
        for x in range(0, width, side):
            box = (y, x, min(y + side, height), min(x + side, width))
            rgb[y : box[2], x : box[3]] = _resampled(slide, place, box, (height, width))
    return rgb


def _resampled(
    slide: Slide, place: int, box_yxyx: tuple[int, int, int, int], shape: tuple[int, int]
) -> npt.NDArray[np.uint8]:
    """Average the part of a level that a box of the overview of `shape` covers."""
    level = slide.levels[place].shape
    steps = [full / small for full, small in zip(level, shape, strict=True)]
    (top, bottom), (left, right) = (
        (box_yxyx[axis] * steps[axis], box_yxyx[axis + 2] * steps[axis]) for axis in (0, 1)
    )
    y0, x0 = int(top), int(left)
    y1, x1 = min(int(np.ceil(bottom)), level[0]), min(int(np.ceil(right)), level[1])
    picture = Image.fromarray(slide.read(place, (y0, x0, y1, x1)))
    size = (box_yxyx[3] - box_yxyx[1], box_yxyx[2] - box_yxyx[0])
    inside = (left - x0, top - y0, min(right - x0, x1 - x0), min(bottom - y0, y1 - y0))
    return np.asarray(picture.resize(size, Image.Resampling.BOX, box=inside))
