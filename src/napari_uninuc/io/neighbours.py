"""How nuclei lie among others, and how round they are."""

import numpy as np
import numpy.typing as npt
from scipy.spatial import KDTree

__all__ = ["RADIUS_UM", "circularity", "neighbourhood"]

RADIUS_UM = 50.0
"""In which neighbours are counted."""

_SLICES = 256


def circularity(
    area: npt.NDArray[np.int64], perimeter: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return 4 pi area / perimeter^2, at most 1; NaN where there is no perimeter."""
    round_ = 4 * np.pi * area
    found = np.divide(round_, perimeter**2, out=np.full(len(area), np.nan), where=perimeter > 0)
    at_most_one: npt.NDArray[np.float64] = np.minimum(found, 1)
    return at_most_one


def neighbourhood(
    y: npt.NDArray[np.float64],
    x: npt.NDArray[np.float64],
    shape: tuple[int, ...],
    mpp: float | None,
) -> dict[str, npt.NDArray[np.float64]]:
    """Measure distances and density by centroids.

    Parameters
    ----------
    y, x : (N,) centroids, px, the centre of the first pixel is 0; NaN of a nucleus without pixels
    shape : (H, W) px of the picture
    mpp : micrometres per px; None leaves all but the distance in px empty

    Returns
    -------
    columns : nearest_px, nearest_um, neighbours_50um, density_50um_per_mm2; NaN where unknown
    """
    known = np.isfinite(y) & np.isfinite(x)
    nearest, others, density = (np.full(len(y), np.nan) for _ in range(3))
    places = np.stack([y[known], x[known]], axis=1)
    if len(places) > 1:
        nearest[known] = KDTree(places).query(places, k=2)[0][:, 1]
    if mpp is not None and len(places):
        radius = RADIUS_UM / mpp
        counts = KDTree(places).query_ball_point(places, radius, return_length=True)
        others[known] = counts - 1
        inside_mm2 = _disc_inside(places + 0.5, radius, shape) * mpp * mpp / 1e6
        density[known] = counts / inside_mm2
    return {
        "nearest_px": nearest,
        "nearest_um": nearest * (np.nan if mpp is None else mpp),
        "neighbours_50um": others,
        "density_50um_per_mm2": density,
    }


def _disc_inside(
    centres: npt.NDArray[np.float64], radius: float, shape: tuple[int, ...]
) -> npt.NDArray[np.float64]:
    """Area of a disc around each centre that lies in the picture, px^2."""
    whole = np.full(len(centres), np.pi * radius * radius)
    low, high = centres - radius, centres + radius
    cut = np.flatnonzero(((low < 0) | (high > shape)).any(axis=1))
    for start in range(0, len(cut), 4096):
        chosen = cut[start : start + 4096]
        angle = (np.arange(_SLICES) + 0.5) / _SLICES * np.pi  # finer towards the ends
        dy, half = -np.cos(angle) * radius, np.sin(angle) * radius
        y, x = centres[chosen, 0, None] + dy, centres[chosen, 1, None]
        chord = np.minimum(x + half, shape[1]) - np.maximum(x - half, 0)
        inside = np.where((y >= 0) & (y <= shape[0]), np.maximum(chord, 0), 0)
        whole[chosen] = (inside * half).sum(axis=1) * np.pi / _SLICES  # dy is sin(angle) d(angle)
    return whole
