"""A label pyramid on disk, level by level, of which only what is asked for is read."""

from pathlib import Path
from typing import Any

import zarr

from napari_uninuc.errors import LabelsError
from napari_uninuc.io.resolution import mpp_of_scale
from napari_uninuc.io.sources import DECODING_ERRORS

__all__ = ["is_large_pyramid", "label_levels"]

_LARGEST_PICTURE = 6000 * 6000
"""Px of labels that are read whole, as those of a picture."""


def is_large_pyramid(path: Path) -> bool:
    """Whether an OME-Zarr folder holds labels of a slide: several levels, too large to read."""
    try:
        levels, _ = label_levels(path)
    except LabelsError:
        return False
    height, width = levels[0].shape
    return len(levels) > 1 and height * width > _LARGEST_PICTURE


def label_levels(path: Path) -> tuple[list[Any], float | None]:
    """Open the levels of a label image.

    Returns
    -------
    levels : (H, W) integer zarr arrays, finest first
    mpp : micrometres per px of the first; None where the folder does not say

    Raises
    ------
    LabelsError
        Not a label image of two axes, or damaged.
    """
    try:
        group: Any = zarr.open_group(str(path), mode="r")
        attributes = dict(group.attrs)
        attributes = attributes.get("ome", attributes)
        described = attributes["multiscales"][0]
        levels = [group[entry["path"]] for entry in described["datasets"]]
        flat = "image-label" in attributes and all(
            level.ndim == 2 and level.dtype.kind in "ui" for level in levels
        )
        if not levels or not flat:
            raise LabelsError(f"{path}: expected labels of two axes, got others; name them")
        steps = described["datasets"][0]["coordinateTransformations"][0]["scale"]
        unit = str(described["axes"][0].get("unit", ""))
        mpp = mpp_of_scale((float(steps[0]), float(steps[1])), unit) if unit else None
        return levels, mpp
    except LabelsError:
        raise
    except (*DECODING_ERRORS, AttributeError) as problem:
        reason = " ".join(str(problem).split()) or type(problem).__name__
        raise LabelsError(f"{path}: expected a label pyramid, got {reason}; check it") from None
