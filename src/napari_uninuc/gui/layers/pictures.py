"""From an image layer, whatever its kind, to the tile that is corrected on it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_uninuc.core.tile import Tile
from napari_uninuc.errors import ImageError
from napari_uninuc.gui.layers.placement import Placement

if TYPE_CHECKING:
    from napari.layers import Image

__all__ = [
    "MAX_PIXELS",
    "PictureSource",
    "extent_of",
    "layer_mpp",
    "picture_source",
    "plane_of",
]

MAX_PIXELS = 6000 * 6000
"""Corrected at once. A slide is larger: then it is the part in view."""

_MICROMETRES = {"micrometer": 1.0, "nanometer": 1e-3, "millimeter": 1e3, "centimeter": 1e4}


@dataclass(frozen=True, slots=True, eq=False)
class PictureSource:
    """A tile that is still to be read.

    Attributes
    ----------
    placement : where it lies
    plane : index along the axes in front of the last two; empty for a flat picture
    mpp : micrometres per px of the tile; None where the layer does not say
    read : fetches and converts the pixels; slow for dask and slides, so call it in the worker
    """

    placement: Placement
    plane: tuple[int, ...]
    mpp: float | None
    read: Callable[[], Tile]


def layer_mpp(layer: "Image") -> float | None:
    """Micrometres per px of a layer's last two axes; None without a unit of length."""
    scale = [abs(float(value)) for value in layer.scale[-2:]]
    units = [str(unit) for unit in layer.units[-2:]]
    if units[0] != units[1] or units[0] not in _MICROMETRES:
        return None
    if not math.isclose(*scale, rel_tol=1e-3) or scale[0] <= 0:
        return None
    return scale[0] * _MICROMETRES[units[0]]


def picture_source(
    layer: "Image",
    step_of: tuple[int, ...],
    dims_displayed: tuple[int, ...],
    mpp: float | None = None,
) -> PictureSource:
    """Choose plane, level and part of a layer.

    Parameters
    ----------
    layer : 2-D, a stack, several channels, RGB or RGBA, multiscale; numpy, dask or zarr
    step_of : the viewer's current step along each of its axes; picks the plane of a stack
    dims_displayed : the viewer's
    mpp : micrometres per px of the layer; None takes the layer's own

    Raises
    ------
    ImageError
        Fewer than two axes, seen in 3-D or along other axes, or too large with no part in view
        that is small enough.
    """
    axes = layer.ndim
    if axes < 2:
        raise ImageError(f"the image must have two axes or more, got {axes}; choose another layer")
    if len(dims_displayed) != 2 or sorted(dims_displayed)[0] != len(step_of) - 2:
        raise ImageError(
            "the picture must be seen flat, got a view in 3-D or along other axes; switch to 2-D "
            "and roll the axes back"
        )
    levels = list(layer.data) if layer.multiscale else [layer.data]
    plane = plane_of(layer, step_of)
    data, origin, stop = levels[0], (0, 0), extent_of(layer)
    if stop[0] * stop[1] > MAX_PIXELS:
        origin, stop = _part_in_view(layer, stop)
    own = layer_mpp(layer) if mpp is None else mpp
    name = layer.name

    def read() -> Tile:
        crop = _cut(data, plane, origin, stop)
        return Tile.from_array(crop, mpp=own, origin_yx_slide=origin, name=name)

    return PictureSource(Placement.of(layer, origin), plane, own, read)


def plane_of(layer: "Image", step_of: tuple[int, ...]) -> tuple[int, ...]:
    """Index of the plane of a layer that a viewer at that step shows; empty for a flat one."""
    return tuple(int(step) for step in step_of[len(step_of) - layer.ndim : -2])


def extent_of(layer: "Image") -> tuple[int, int]:
    """(H, W) of an image layer, px of its finest level."""
    finest = layer.data[0] if layer.multiscale else layer.data
    height, width = finest.shape[-3:-1] if layer.rgb else finest.shape[-2:]
    return int(height), int(width)


def _part_in_view(
    layer: "Image", extent: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """First and last (y, x) of what the canvas shows, px of the finest level."""
    corners = np.asarray(layer.corner_pixels, dtype=np.float64)[:, -2:]
    if layer.multiscale:
        corners = corners * np.asarray(layer.downsample_factors)[layer.data_level][-2:]
    low = np.clip(np.floor(corners[0]), 0, extent).astype(int)
    high = np.clip(np.ceil(corners[1]) + 1, 0, extent).astype(int)
    height, width = (high - low).tolist()
    if height * width > MAX_PIXELS or height < 1 or width < 1:
        side = math.isqrt(MAX_PIXELS)
        raise ImageError(
            f"expected at most {side} x {side} px at once, got {extent[0]} x {extent[1]} with "
            f"{height} x {width} in view; zoom in until the part to correct fills the window"
        )
    return (int(low[0]), int(low[1])), (int(high[0]), int(high[1]))


def _cut(
    data: Any, plane: tuple[int, ...], origin: tuple[int, int], stop: tuple[int, int]
) -> np.ndarray:
    index = (*plane, slice(origin[0], stop[0]), slice(origin[1], stop[1]))
    return np.asarray(data[index])
