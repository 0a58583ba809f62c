"""A label pyramid on disk, level by level, of which only what is asked for is read."""

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_uninuc.errors import LabelsError
from napari_uninuc.io.ome_zarr_labels import LabelPyramid, open_zarr_labels

__all__ = ["LabelLevels", "is_large_pyramid", "label_levels"]

_LARGEST_PICTURE = 6000 * 6000
"""Px of labels that are read whole, as those of a picture."""


@dataclass(frozen=True, slots=True, eq=False)
class LabelLevels:
    """The levels of a label image.

    Attributes
    ----------
    levels : (H, W) integer arrays that read what is asked for, finest first
    mpp : micrometres per px of the first; None where the folder does not say
    origin_yx_slide : its first pixel on the slide, px; (0, 0) where the folder does not say
    """

    levels: list[Any]
    mpp: float | None
    origin_yx_slide: tuple[int, int]


def is_large_pyramid(path: Path) -> bool:
    """Whether an OME-Zarr folder holds labels of a slide: several levels, too large to read."""
    try:
        levels = label_levels(path).levels
    except LabelsError:
        return False
    height, width = levels[0].shape
    return len(levels) > 1 and height * width > _LARGEST_PICTURE


def label_levels(path: Path) -> LabelLevels:
    """Open the levels of a label image, the folder itself.

    Raises
    ------
    LabelsError
        As `open_zarr_labels`, or floats.
    """
    pyramid = open_zarr_labels(path, beneath=False)
    if any(level.dtype.kind not in "ui" for level in pyramid.levels):
        raise LabelsError(f"{path}: expected whole numbers, got floats; convert the labels first")
    levels = [_plane(pyramid, level) for level in pyramid.levels]
    return LabelLevels(levels, pyramid.placement.mpp, pyramid.placement.origin_yx)


def _plane(pyramid: LabelPyramid, level: Any) -> Any:
    if level.ndim == 2 and pyramid.placement.y_axis < pyramid.placement.x_axis:
        return level
    lazily: Any = importlib.import_module("dask.array")
    return pyramid.plane(lazily.from_zarr(level))
