"""What can be measured of nuclei without a model: shape, optical densities, who lies beside."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import cKDTree

from napari_uninuc.core.instances import InstanceMask, cut_to_picture

__all__ = [
    "N_MEASURED",
    "N_NEIGHBOURS",
    "N_SHAPES",
    "N_TEXTURES",
    "Places",
    "measure_neighbours",
    "measure_shapes",
    "measure_texture",
    "middles_of",
]

_NEIGHBOURS = (1, 2, 4, 8)
_WITHIN_UM = (12.5, 25.0, 50.0)
N_SHAPES = 5 + 3 * 3
"""Columns of `measure_shapes`."""
_GRAIN_UM = (0.25, 0.5)
_WIDE_SIGMAS = 4.0
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
N_TEXTURES = 3 * (3 * len(_GRAIN_UM) + len(_QUANTILES)) + 2
"""Columns of `measure_texture`."""
N_NEIGHBOURS = len(_NEIGHBOURS) + len(_WITHIN_UM)
"""Columns of `measure_neighbours`."""
N_MEASURED = N_TEXTURES + N_SHAPES + N_NEIGHBOURS
"""Columns of what is measured without a model, at the end of every description."""

_LONELY_UM = 250.0
"""Distance that stands for a neighbour that is not there."""
_DENSITY = -np.log10(np.maximum(np.arange(256), 1) / 255)


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Pixels of many nuclei in one list.

    Attributes
    ----------
    count : N nuclei
    owner : (P,) int64 in 0..N-1, ascending
    yx : (P, 2) int64, px of the tile
    """

    count: int
    owner: npt.NDArray[np.int64]
    yx: npt.NDArray[np.int64]

    @classmethod
    def inside(cls, masks: Sequence[InstanceMask], shape: tuple[int, int]) -> Self:
        """Every pixel of masks, cut to a tile of ``shape`` (H, W)."""
        found = []
        for mask in masks:
            (rows, columns), crop = cut_to_picture(mask, shape)
            found.append(np.add(np.argwhere(crop), (rows.start, columns.start)))
        return cls._of(found)

    @classmethod
    def around(cls, masks: Sequence[InstanceMask], shape: tuple[int, int], width: int) -> Self:
        """A ring of ``width`` px around masks, other nuclei included; as `inside`."""
        found = []
        for mask in masks:
            grown = np.pad(mask.mask, width)
            ring = ndimage.distance_transform_edt(~grown) <= width
            ring &= ~grown
            y, x = mask.origin_yx
            yx = np.add(np.argwhere(ring), (y - width, x - width))
            found.append(yx[((yx >= 0) & (yx < shape)).all(axis=1)])
        return cls._of(found)

    @classmethod
    def _of(cls, found: Sequence[npt.NDArray[Any]]) -> Self:
        owner = np.repeat(np.arange(len(found)), [len(each) for each in found])
        yx = np.concatenate([np.zeros((0, 2), np.int64), *found])
        return cls(len(found), owner, yx)

    def mean(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Mean over each nucleus of a value a pixel, (P,) -> (N,); 0 without pixels."""
        sums = np.bincount(self.owner, values, self.count)
        counted: npt.NDArray[np.float64] = sums / np.maximum(self.sizes, 1)
        return counted

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """(N,) pixels of each."""
        return np.bincount(self.owner, minlength=self.count)


def measure_shapes(
    rgb: npt.NDArray[np.uint8], inside: Places, around: Places, mpp: float
) -> npt.NDArray[np.float32]:
    """Measure nuclei of one tile, each by itself.

    Parameters
    ----------
    rgb : (H, W, 3) of the tile
    inside, around : of the same N nuclei
    mpp : micrometres per px

    Returns
    -------
    rows : (N, `N_SHAPES`) float32
        log area in um2, log of both axes of the ellipse with the same moments in um, how much of
        that ellipse it fills, log of the pixels on its border; mean and spread inside and mean
        around of the optical density of red, green and blue
    """
    if inside.count == 0:
        return np.zeros((0, N_SHAPES), np.float32)
    area = np.maximum(inside.sizes, 1)
    y, x = inside.yx.T
    centre = np.stack([inside.mean(y), inside.mean(x)], axis=1)
    dy, dx = (inside.yx - centre[inside.owner]).T
    yy, xx, xy = (
        inside.mean(part) + own for part, own in ((dy**2, 1 / 12), (dx**2, 1 / 12), (dx * dy, 0.0))
    )
    spread = np.sqrt((yy - xx) ** 2 + 4 * xy**2)
    long, short = (yy + xx + spread) / 2, np.maximum((yy + xx - spread) / 2, 1 / 12)
    fills = area / (4 * np.pi * np.sqrt(long * short))
    columns = [np.log(area * mpp**2), np.log(long * mpp**2) / 2, np.log(short * mpp**2) / 2, fills]
    columns += [np.log(_border(inside) * mpp + mpp)]
    for channel in range(3):
        own = _DENSITY[rgb[y, x, channel]]
        mean = inside.mean(own)
        rim = _DENSITY[rgb[around.yx[:, 0], around.yx[:, 1], channel]]
        columns += [mean, np.sqrt(np.maximum(inside.mean(own**2) - mean**2, 0)), around.mean(rim)]
    return np.stack(columns, axis=1).astype(np.float32)


def _border(inside: Places) -> npt.NDArray[np.int64]:
    """(N,) pixels with one of their four neighbours outside their nucleus."""
    if len(inside.yx) == 0:
        return np.zeros(inside.count, np.int64)
    y, x = (inside.yx - inside.yx.min(axis=0) + 1).T
    width = int(x.max()) + 2
    here = (inside.owner * (int(y.max()) + 2) + y) * width + x  # one number for owner and place
    here.sort()
    surrounded = np.ones(len(here), np.bool_)
    for step in (-1, 1, -width, width):
        near = np.searchsorted(here, here + step).clip(max=len(here) - 1)
        surrounded &= here[near] == here + step
    owner = here // (width * (int(y.max()) + 2))
    return np.bincount(owner[~surrounded], minlength=inside.count)


def measure_texture(
    rgb: npt.NDArray[np.uint8], inside: Places, mpp: float
) -> npt.NDArray[np.float32]:
    """Measure how nuclei are grained, each by itself.

    Parameters
    ----------
    rgb : (H, W, 3) of the tile
    inside : of N nuclei
    mpp : micrometres per px

    Returns
    -------
    rows : (N, `N_TEXTURES`) float32
        of the optical density of red, green and blue: means of the slope, of the curvature and of
        its size, at 0.25 and 0.5 um, and five quantiles; then mean saturation and value
    """
    if inside.count == 0:
        return np.zeros((0, N_TEXTURES), np.float32)
    margin = int(np.ceil(_WIDE_SIGMAS * max(_GRAIN_UM) / mpp)) + 1
    low = np.maximum(inside.yx.min(axis=0) - margin, 0)
    high = inside.yx.max(axis=0) + margin + 1
    part = rgb[low[0] : high[0], low[1] : high[1]]
    y, x = (inside.yx - low).T
    ends = np.concatenate([[0], np.cumsum(inside.sizes)])
    places = [
        (ends[:-1] + share * np.maximum(inside.sizes - 1, 0)).astype(np.int64).clip(max=len(y) - 1)
        for share in _QUANTILES
    ]
    columns = []
    for channel in range(3):
        density = _DENSITY[part[..., channel]].astype(np.float32)
        for sigma_um in _GRAIN_UM:
            slope = ndimage.gaussian_gradient_magnitude(density, sigma_um / mpp)[y, x]
            bend = ndimage.gaussian_laplace(density, sigma_um / mpp)[y, x]
            columns += [inside.mean(each) for each in (slope, bend, np.abs(bend))]
        own = density[y, x]
        ranked = own[np.lexsort((own, inside.owner))]
        columns += [ranked[place] for place in places]
    pixels = part[y, x].astype(np.float64)
    most, least = pixels.max(axis=1), pixels.min(axis=1)
    columns += [inside.mean(255 * (most - least) / np.maximum(most, 1)), inside.mean(most)]
    return np.stack(columns, axis=1).astype(np.float32)


def middles_of(masks: Sequence[InstanceMask]) -> npt.NDArray[np.float64]:
    """Middles of the boxes of masks, (N, 2) px."""
    boxes = np.array([mask.box_yxyx for mask in masks], np.float64).reshape(-1, 4)
    middles: npt.NDArray[np.float64] = (boxes[:, :2] + boxes[:, 2:] - 1) / 2
    return middles


def measure_neighbours(middles_um: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Measure who lies beside whom, of all nuclei of a tile.

    Parameters
    ----------
    middles_um : (N, 2)

    Returns
    -------
    rows : (N, `N_NEIGHBOURS`) float32
        log distance in um to the 1st, 2nd, 4th and 8th neighbour; log of nuclei within 12.5, 25
        and 50 um, itself included
    """
    if len(middles_um) == 0:
        return np.zeros((0, N_NEIGHBOURS), np.float32)
    tree = cKDTree(middles_um)
    far, _ = tree.query(middles_um, k=max(_NEIGHBOURS) + 1)
    far = np.minimum(far, _LONELY_UM)  # infinite where there are fewer
    columns = [np.log(np.maximum(far[:, k], 0.1)) for k in _NEIGHBOURS]
    for reach in _WITHIN_UM:
        number = tree.query_ball_point(middles_um, reach, return_length=True)
        columns.append(np.log(number.astype(np.float64)))
    return np.stack(columns, axis=1).astype(np.float32)
