"""Nuclei read off the dense maps, bottom up: peaks of distance, and what belongs to each.

The detector works top down, from queries to boxes. The maps that `DenseHead` was taught beside it
(nucleus, normalised distance to the boundary, contact line) give a second opinion at the price of
a watershed. Prompting a mask decoder from such maps is automatic prompt generation (Archit and
Pape, MIDL 2026, sec. 3.2); UniNuc, sec. 3.6, compares both ways.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.segmentation import watershed

from napari_uninuc.errors import PromptError

__all__ = ["Basins", "PeakSettings", "find_basins"]

_NUCLEUS, _DISTANCE = 0, 1
_peak_local_max: Callable[..., npt.NDArray[np.int64]] = peak_local_max  # untyped
_watershed: Callable[..., npt.NDArray[np.int32]] = watershed  # untyped


@dataclass(frozen=True, slots=True)
class PeakSettings:
    """How maps become nuclei; lengths in cells of the maps (2 input px with `uninuc-n`).

    Chosen on four validation tiles of MoNuSeg, docs/experiments.md.

    Attributes
    ----------
    foreground : probability above which a cell belongs to some nucleus
    sigma : standard deviation of the blur of nucleus x distance
    spacing : least distance of two peaks, by rows and columns
    height : least height of a peak, in [0, 1]; lower ones make no basin
        Far below any score threshold: a basin that will be dropped still keeps others small.

    Raises
    ------
    PromptError
        A value out of range.
    """

    foreground: float = 0.5
    sigma: float = 1.5
    spacing: int = 3
    height: float = 0.12

    def __post_init__(self) -> None:
        for name in ("foreground", "height"):
            if not 0 <= getattr(self, name) <= 1:
                raise PromptError(f"{name} must lie in 0..1, got {getattr(self, name)}; correct it")
        if self.sigma < 0 or self.spacing < 1:
            raise PromptError(
                f"sigma must be 0 or more and spacing 1 or more, got {self.sigma} and "
                f"{self.spacing}; correct them"
            )


_DEFAULTS = PeakSettings()


@dataclass(frozen=True, slots=True, eq=False)
class Basins:
    """N nuclei of one field, on the grid of its maps.

    Attributes
    ----------
    labels : (h, w) int32; basin ``i + 1`` belongs to row ``i`` of the others
    peaks_yx : (N, 2) int64, the highest cell of each
    boxes_yxyx : (N, 4) int64, half-open cells
    scores : (N,) float32 in [0, 1], height of the peak: nucleus x distance, blurred
        It means about what the detector's score does (docs/experiments.md).
    """

    labels: npt.NDArray[np.int32]
    peaks_yx: npt.NDArray[np.int64]
    boxes_yxyx: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.peaks_yx)


def find_basins(maps: npt.NDArray[Any], settings: PeakSettings = _DEFAULTS) -> Basins:
    """Split the foreground of a field into nuclei.

    Parameters
    ----------
    maps : (3, h, w) probabilities: nucleus, distance to the boundary (1 at the deepest), contact
        The contact line is not used: it is seldom above 0.5, and what it says the distance says.
    settings : see `PeakSettings`

    Returns
    -------
    basins : highest peak first; each holds its peak, and foreground without a peak belongs to none
    """
    maps = np.asarray(maps, np.float32)
    inside = maps[_NUCLEUS] > settings.foreground
    height = ndimage.gaussian_filter(maps[_NUCLEUS] * maps[_DISTANCE], settings.sigma)
    peaks = _peak_local_max(
        height,
        min_distance=settings.spacing,
        threshold_abs=settings.height,
        labels=inside.astype(np.int32),
        exclude_border=False,
    )
    peaks = peaks[np.argsort(-height[tuple(peaks.T)], kind="stable")].astype(np.int64)
    seeds = np.zeros(height.shape, np.int32)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    labels = _watershed(-height, seeds, mask=inside).astype(np.int32)
    return Basins(labels, peaks, _boxes(labels, len(peaks)), height[tuple(peaks.T)].clip(0, 1))


def _boxes(labels: npt.NDArray[np.int32], count: int) -> npt.NDArray[np.int64]:
    """Half-open boxes (count, 4) of ids 1..count, none of which is missing."""
    found = [] if count == 0 else ndimage.find_objects(labels, count)
    corners = [(y.start, x.start, y.stop, x.stop) for y, x in found]
    return np.array(corners, np.int64).reshape(-1, 4)
