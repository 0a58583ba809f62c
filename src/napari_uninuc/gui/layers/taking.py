"""Nuclei of a labels layer, brought to the pixels of the picture they are seen on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from napari.layers import Labels, Layer

from napari_uninuc.core.extents import count_ids
from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.errors import LabelsError
from napari_uninuc.gui.layers.layer_tables import segmentation_of
from napari_uninuc.gui.layers.pictures import plane_of
from napari_uninuc.gui.layers.placement import unit_factors

__all__ = ["NucleiSource", "Taken", "TakenFrom", "nuclei_source", "pixels_to_layer"]

_SAME_PX = 1e-3
"""Places closer than this are the same: sums of scales do not come out even."""
_SAME = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
"""A layer that lies on the picture pixel by pixel, as most do."""
_BAND = 64  # rows of a turned layer looked up at once; bounds memory


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """Nuclei of a labels layer as they lie on a picture.

    Attributes
    ----------
    nuclei : labels of the picture's size, with class, score and status
    left_out : nuclei of the layer that no pixel of the picture has
    """

    nuclei: Segmentation
    left_out: int


class TakenFrom(Protocol):
    """Nuclei of any layer, seen on a picture."""

    @property
    def name(self) -> str:
        """Name of the layer."""

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of the picture, px."""

    def read(self) -> Taken:
        """Bring them to the pixels of the picture; raises LabelsError where that cannot be."""


@dataclass(frozen=True, slots=True, eq=False)
class NucleiSource:
    """A labels layer seen on a picture, and all that is to be known of it to read it.

    Attributes
    ----------
    name : of the layer
    plane : (h, w) its pixels; numpy, dask or zarr
    to_layer : (2, 3) turns a pixel (y, x, 1) of the picture into one of the layer
    shape : (H, W) of the picture, px
    attributes : of the layer, by name
    """

    name: str
    plane: Any
    to_layer: npt.NDArray[np.float64]
    shape: tuple[int, int]
    attributes: Mapping[str, Any]

    def read(self) -> Taken:
        """Take each pixel of the picture from that of the layer that is seen there.

        Slow for dask and large pictures, so call it in the worker.

        Raises
        ------
        LabelsError
            The layer has no nucleus on the picture, or is not integers.
        """
        plane, shape, to_layer = self.plane, self.shape, self.to_layer
        crop, origin = _cut(plane, to_layer, shape)
        if crop.dtype.kind not in "iu":
            raise LabelsError(f"labels must be integers, got {crop.dtype}; convert the layer")
        as_it_is = crop.shape == shape == plane.shape and np.allclose(
            to_layer, _SAME, atol=_SAME_PX
        )
        # A copy: somebody may paint on the layer while its nuclei are looked at.
        drawn = crop.copy() if as_it_is else _resampled(crop, origin, to_layer, shape)
        nuclei = segmentation_of(drawn, self.attributes)
        if nuclei.table.empty:
            raise LabelsError(
                f"{self.name} has no nucleus on the picture, as the window shows it; choose "
                "another layer, or move it to where its nuclei are"
            )
        present = len(nuclei.table) if as_it_is else _count(plane, self.attributes)
        return Taken(nuclei, max(present - len(nuclei.table), 0))


def nuclei_source(
    layer: Labels, shown_on: Layer, shape: tuple[int, int], step_of: tuple[int, ...]
) -> NucleiSource:
    """Look where a labels layer lies on a picture; its pixels are not read yet.

    Parameters
    ----------
    layer : of any size, scale, place and turn; of a pyramid the finest level, of a stack the
        plane shown
    shown_on : a layer with two axes that lies exactly on the picture
    shape : (H, W) of the picture, px
    step_of : the viewer's current step along each of its axes

    Raises
    ------
    LabelsError
        The layer counts in another kind of unit, so that where it belongs is not known.
    """
    finest = layer.data[0] if layer.multiscale else layer.data
    plane = finest[plane_of(layer, step_of)] if layer.ndim > 2 else finest
    to_layer = pixels_to_layer(shown_on, layer)
    attributes = layer.as_layer_data_tuple()[1]
    return NucleiSource(layer.name, plane, to_layer, shape, attributes)


def pixels_to_layer(picture: Layer, layer: Layer) -> npt.NDArray[np.float64]:
    """Matrix (2, 3) that turns a pixel (y, x, 1) of a picture into one of a layer."""
    factors = unit_factors(picture.units[-2:], layer.units[-2:])
    if factors is None:
        raise LabelsError(
            f"{layer.name} counts in {layer.units[-1]} and the picture in {picture.units[-1]}, so "
            "where it belongs is not known; give it the scale and the units of the picture "
            f"(scale {tuple(np.round(picture.scale[-2:], 6).tolist())})"
        )

    def of(place: tuple[float, float]) -> npt.NDArray[np.float64]:
        world = np.asarray(picture.data_to_world(place))[-2:] * factors
        return np.asarray(layer.world_to_data((0.0,) * (layer.ndim - 2) + tuple(world)))[-2:]

    first = of((0.0, 0.0))
    return np.column_stack([of((1.0, 0.0)) - first, of((0.0, 1.0)) - first, first])


def _cut(
    plane: Any, matrix: npt.NDArray[np.float64], shape: tuple[int, int]
) -> tuple[npt.NDArray[Any], tuple[int, int]]:
    """The part of a plane that lies under a picture, and its first pixel; perhaps none."""
    corners = np.array([(y, x, 1) for y in (0, shape[0] - 1) for x in (0, shape[1] - 1)]).T
    places = matrix @ corners
    low = np.clip(np.floor(places.min(axis=1)), 0, plane.shape).astype(int).tolist()
    high = np.clip(np.ceil(places.max(axis=1)) + 1, 0, plane.shape).astype(int).tolist()
    return np.asarray(plane[low[0] : high[0], low[1] : high[1]]), (low[0], low[1])


def _resampled(
    crop: npt.NDArray[Any],
    origin: tuple[int, int],
    matrix: npt.NDArray[np.float64],
    shape: tuple[int, int],
) -> npt.NDArray[Any]:
    """The nearest pixel of a crop for every pixel of a picture, (H, W); 0 where there is none."""
    drawn = np.zeros(shape, crop.dtype)
    (a, b, c), (d, e, f) = (matrix - np.array([[0, 0, y] for y in origin])).tolist()
    y, x = np.arange(shape[0])[:, None], np.arange(shape[1])[None]
    turned = max(abs(b) * shape[1], abs(d) * shape[0]) > _SAME_PX
    if not turned:  # rows and columns each by themselves, which is twenty times faster
        rows, columns = _nearest(a * y[:, 0] + c), _nearest(e * x[0] + f)
        there = np.ix_(_in(rows, crop.shape[0]), _in(columns, crop.shape[1]))
        drawn[there] = crop[np.ix_(rows[there[0][:, 0]], columns[there[1][0]])]
        return drawn
    for top in range(0, shape[0], _BAND):
        band = y[top : top + _BAND]
        rows, columns = _nearest(a * band + b * x + c), _nearest(d * band + e * x + f)
        inside = _in(rows, crop.shape[0]) & _in(columns, crop.shape[1])
        drawn[top : top + _BAND][inside] = crop[rows[inside], columns[inside]]
    return drawn


def _nearest(places: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """Halves go up, so that two picture pixels in one of the layer share it evenly."""
    return np.floor(places + 0.5 + _SAME_PX).astype(np.intp)


def _in(places: npt.NDArray[np.intp], side: int) -> npt.NDArray[np.bool_]:
    inside: npt.NDArray[np.bool_] = (places >= 0) & (places < side)
    return inside


def _count(plane: Any, attributes: Mapping[str, Any]) -> int:
    """Nuclei of the whole plane; of a pyramid's finest level too, if it is in memory."""
    if isinstance(plane, np.ndarray):
        return len(count_ids(plane))
    features = attributes.get("features")
    return len(features) if features is not None else 0
