"""Where a tile lies in napari's world: exactly where its image layer shows it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from napari.layers import Layer

__all__ = ["PLACED_BY", "Placement", "unit_factors"]

PLACED_BY = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
"""Attributes of a layer that say where it lies; each has an event of the same name."""


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """Position of a tile's pixels, in napari's own terms, for layers with two axes.

    World = affine(translate + rotate @ shear @ (scale * yx)); the centre of a pixel is at
    whole numbers.

    Attributes
    ----------
    scale, translate : world units per tile px; world position of the tile's first pixel
    rotate : (2, 2)
    shear : (1,)
    affine : (3, 3)
    units, axis_labels : of both axes, as the image layer has them
    origin_yx_image, step : tile px (y, x) is image px ``origin + step * (y, x)``
    """

    scale: npt.NDArray[np.float64]
    translate: npt.NDArray[np.float64]
    rotate: npt.NDArray[np.float64]
    shear: npt.NDArray[np.float64]
    affine: npt.NDArray[np.float64]
    units: tuple[Any, ...]
    axis_labels: tuple[str, ...]
    origin_yx_image: tuple[float, float]
    step: float

    @classmethod
    def of(
        cls, image: "Layer", origin_yx_image: tuple[float, float] = (0.0, 0.0), step: float = 1.0
    ) -> Self:
        """Read the placement of a tile cut from an image layer.

        Parameters
        ----------
        image : a layer whose last two axes are the picture; RGB or not, of any scale or turn.
            Of a layer with more axes, how the last two lie among themselves is taken over
        origin_yx_image : centre of the tile's first pixel, px of the layer (of its finest level)
        step : px of the layer per tile px; above 1 for a tile from a coarser level
        """
        scale = np.asarray(image.scale, dtype=np.float64)[-2:]
        rotate = np.asarray(image.rotate, dtype=np.float64)[-2:, -2:]
        shear = _plane_shear(np.asarray(image.shear, dtype=np.float64))
        linear = rotate @ np.array([[1.0, shear[0]], [0.0, 1.0]]) @ np.diag(scale)
        translate = np.asarray(image.translate, dtype=np.float64)[-2:]
        return cls(
            scale=scale * step,
            translate=translate + linear @ np.asarray(origin_yx_image, dtype=np.float64),
            rotate=rotate,
            shear=shear,
            affine=_plane_affine(np.asarray(image.affine.affine_matrix, dtype=np.float64)),
            units=tuple(image.units)[-2:],
            axis_labels=tuple(image.axis_labels)[-2:],
            origin_yx_image=origin_yx_image,
            step=step,
        )

    def keywords(self) -> dict[str, Any]:
        """Return what to pass to the constructor of a layer with two axes."""
        return {name: getattr(self, name) for name in PLACED_BY}

    def apply_to(self, layer: "Layer") -> None:
        """Move a layer with two axes here; what is right already is not touched."""
        for name in PLACED_BY:
            wanted, present = getattr(self, name), getattr(layer, name)
            if name == "affine":
                present = present.affine_matrix
            same = (
                tuple(present) == wanted
                if isinstance(wanted, tuple)
                else np.shape(present) == wanted.shape and np.array_equal(present, wanted)
            )
            if not same:
                setattr(layer, name, wanted)

    def to_tile(self, position_yx_image: npt.ArrayLike) -> tuple[float, float]:
        """Turn image px, (n,) of which the last two are y and x, into tile px."""
        y, x = np.asarray(position_yx_image, dtype=np.float64)[-2:]
        oy, ox = self.origin_yx_image
        return float((y - oy) / self.step), float((x - ox) / self.step)


def unit_factors(units: tuple[Any, ...], into: tuple[Any, ...]) -> npt.NDArray[np.float64] | None:
    """Numbers in one tuple of pint units, times this, are numbers in another.

    Returns
    -------
    factors : one an axis; None where a unit is a length and the other none (px, for example)
    """
    if units == into:
        return np.ones(len(units))
    if not all(unit.is_compatible_with(other) for unit, other in zip(units, into, strict=True)):
        return None
    pairs = zip(units, into, strict=True)
    return np.array([float((1 * unit).to(other).magnitude) for unit, other in pairs])


def _plane_shear(shear: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Shear of the last two axes: napari gives the upper triangle, row by row, or a matrix."""
    if shear.ndim == 2:
        return np.array([shear[-2, -1]])
    return shear[-1:].copy()


def _plane_affine(matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    keep = np.array([-3, -2, -1])
    return matrix[np.ix_(keep, keep)].copy()
