"""Nuclei outlined over their picture, as an image for people."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from skimage.segmentation import find_boundaries

from napari_uninuc.core.tile import Tile
from napari_uninuc.errors import LabelsError
from napari_uninuc.io.targets import replacing

__all__ = ["draw_outlines", "write_overlay"]

_OUTLINE = (255, 230, 0)
"""Yellow: on neither side of haematoxylin, eosin or DAB."""


def draw_outlines(
    tile: Tile, labels: npt.NDArray[np.int32], scale: int = 2
) -> npt.NDArray[np.uint8]:
    """Enlarge a picture and draw the outline of every nucleus on it, inside its border.

    Parameters
    ----------
    tile : (H, W)
    labels : (H, W) int32, 0 background
    scale : times larger, a whole number >= 1; an outline is `scale` px of the result wide

    Returns
    -------
    rgb : (scale * H, scale * W, 3) uint8

    Raises
    ------
    LabelsError
        Labels of another shape than the picture.
    """
    if labels.shape != tile.shape:
        raise LabelsError(
            f"labels must have the picture's shape {tile.shape}, got {labels.shape}; "
            "pass those of this picture"
        )
    height, width = tile.shape
    enlarged = Image.fromarray(tile.rgb).resize(
        (scale * width, scale * height), Image.Resampling.BICUBIC
    )
    rgb = np.array(enlarged)
    outline = find_boundaries(labels, mode="inner")
    rgb[outline.repeat(scale, axis=0).repeat(scale, axis=1)] = _OUTLINE
    return rgb


def write_overlay(tile: Tile, labels: npt.NDArray[np.int32], path: Path, scale: int = 2) -> None:
    """Write `draw_outlines` as PNG, whole or not at all.

    Parameters
    ----------
    tile, labels, scale : as `draw_outlines`
    path : replaced if there

    Raises
    ------
    LabelsError
        As `draw_outlines`.
    OutputError
        It cannot be written.
    """
    picture = Image.fromarray(draw_outlines(tile, labels, scale))
    with replacing(path) as part:
        picture.save(part, format="PNG")
