"""From a rectangle dragged on the canvas to px of the slide, and whether it may be a region."""

from collections.abc import Sequence

import numpy as np
import psutil  # type: ignore[import-untyped]  # napari needs it itself

from napari_uninuc.errors import ImageError
from napari_uninuc.gui.slides.open_slide import OpenSlide
from napari_uninuc.slides.protocol import Box, level_for
from napari_uninuc.slides.regions import fitting_side, level_box, require_size

__all__ = ["box_between", "require_fitting", "words_for"]


def box_between(
    slide: OpenSlide, first: Sequence[float], last: Sequence[float], models_mpp: float
) -> tuple[int, Box]:
    """Choose the level of a region and cut the rectangle to its px.

    Parameters
    ----------
    first, last : two opposite corners as mouse events have them, in the viewer's world
    models_mpp : micrometres per px of the model

    Returns
    -------
    level : the one a result was made at, where the slide has one; else the model's
    box_yxyx : px of that level

    Raises
    ------
    ImageError
        The slide's scale is not known yet.
    """
    if slide.result is not None:
        level = slide.result.plan.level
    else:
        level = level_for(slide.slide, models_mpp)
    ends = [np.asarray(slide.layer.world_to_data(tuple(each)))[-2:] for each in (first, last)]
    (y0, x0), (y1, x1) = (tuple(map(float, end)) for end in ends)
    return level, level_box(slide.slide, level, (y0, x0), (y1, x1))


def words_for(slide: OpenSlide, level: int, box_yxyx: Box) -> tuple[str, bool]:
    """Say how large a rectangle is, and the largest that fits where it does not; True if it may be.

    Parameters
    ----------
    level, box_yxyx : as `box_between` gives them
    """
    mpp = slide.slide.mpp * slide.levels[level].downsample
    height, width = box_yxyx[2] - box_yxyx[0], box_yxyx[3] - box_yxyx[1]
    words = f"{width:,} x {height:,} px, {width * mpp:,.0f} x {height * mpp:,.0f} um"
    try:
        require_fitting(box_yxyx)
    except ImageError:
        side = fitting_side(_free_bytes())
        too_large = height * width > side * side
        return words + (f": at most {side:,} x {side:,} px" if too_large else ""), False
    return words, True


def require_fitting(box_yxyx: Box) -> None:
    """Raise ImageError unless a region is large enough to be meant and fits into free memory."""
    require_size(box_yxyx, _free_bytes())


def _free_bytes() -> int:
    return int(psutil.virtual_memory().available)
