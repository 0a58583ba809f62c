"""What can be measured of nuclei without a model: shape, optical densities, who lies beside."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import cKDTree

from napari_uninuc.core.instances import InstanceMask, cut_to_picture

__all__ = ["N_SHAPES", "Places", "measure_shapes"]

_NEIGHBOURS = (1, 2, 4, 8)
_WITHIN_UM = (12.5, 25.0, 50.0)
N_SHAPES = 5 + 3 * 3 + len(_NEIGHBOURS) + len(_WITHIN_UM)
"""Columns of `measure_shapes`."""

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
    """Measure nuclei of one tile, all that are there, for neighbours count.

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
        around of the optical density of red, green and blue; log distance in um to the 1st, 2nd,
        4th and 8th neighbour; log of neighbours within 12.5, 25 and 50 um
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
    columns += _beside(centre * mpp)
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


def _beside(centre_um: npt.NDArray[np.float64]) -> list[npt.NDArray[np.float64]]:
    """Columns of `measure_shapes` that tell of neighbours; of (N, 2) centres."""
    tree = cKDTree(centre_um)
    far, _ = tree.query(centre_um, k=max(_NEIGHBOURS) + 1)
    far = np.minimum(far, _LONELY_UM)  # infinite where there are fewer
    columns = [np.log(np.maximum(far[:, k], 0.1)) for k in _NEIGHBOURS]
    for reach in _WITHIN_UM:
        number = tree.query_ball_point(centre_um, reach, return_length=True)
        columns.append(np.log(number.astype(np.float64)))
    return columns
