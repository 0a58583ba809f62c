"""Where on a slide there is tissue, so that no time is spent on glass."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_uninuc.slides.overview import overview_of
from napari_uninuc.slides.protocol import Slide

__all__ = ["TISSUE_MPP", "Tissue", "find_tissue", "tissue_mask"]

TISSUE_MPP = 8.0
"""Micrometres per px at which tissue is looked for."""

_LEAST_DENSITY, _MOST_DENSITY = 0.03, 0.08
"""Otsu's threshold is held between these optical densities: a slide that is all tissue has no
glass to tell it from, and one that is all glass no tissue."""
_BLACK = 25
"""Brightest channel below which a pixel is a hole in the scan and no tissue."""
_GLASS_PERCENTILE = 99
_DARKEST_GLASS = 200
_CLOSED_UM, _MARGIN_UM = 24.0, 24.0
_SMALLEST_UM2 = 2_000.0
"""A piece of 45 um across; below lies dust."""
_SMALLEST_HOLE_UM2 = 60_000.0
"""Smaller holes are filled: lumina and vessels have nuclei at their rims."""


@dataclass(frozen=True, slots=True, eq=False)
class Tissue:
    """The tissue of one slide, seen from afar.

    Attributes
    ----------
    overview : (h, w, 3) uint8, the whole slide at `mpp`
    mask : (h, w) bool
    mpp : micrometres per px of both
    """

    overview: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.bool_]
    mpp: float

    @property
    def area_mm2(self) -> float:
        """Square millimetres of tissue."""
        return float(self.mask.sum()) * self.mpp**2 / 1e6

    def touches(self, box_um: tuple[float, float, float, float]) -> bool:
        """Whether a box (y0, x0, y1, x1) in um of the slide holds tissue, or lies close to it."""
        first = [max(0, int((value - _MARGIN_UM) / self.mpp)) for value in box_um[:2]]
        last = [int((value + _MARGIN_UM) / self.mpp) + 1 for value in box_um[2:]]
        return bool(self.mask[first[0] : last[0], first[1] : last[1]].any())


def find_tissue(slide: Slide) -> Tissue:
    """Look for tissue from afar; a mask without a pixel where there is none."""
    mpp = max(TISSUE_MPP, slide.mpp)
    overview = overview_of(slide, mpp)
    return Tissue(overview, tissue_mask(overview, mpp), mpp)


def tissue_mask(rgb: npt.NDArray[np.uint8], mpp: float) -> npt.NDArray[np.bool_]:
    """Tell tissue from glass by how much light it takes in any colour.

    Ink marks and coloured cover-slip edges count as tissue: they cost time, not nuclei.

    Parameters
    ----------
    rgb : (H, W, 3) uint8
    mpp : micrometres per px

    Returns
    -------
    mask : (H, W) bool; small holes filled, dust removed
    """
    density = _density(rgb)
    threshold = min(max(_otsu(density), _LEAST_DENSITY), _MOST_DENSITY)
    mask = (density > threshold) & (rgb.max(axis=2) >= _BLACK)
    radius = max(1, round(_CLOSED_UM / mpp / 2))
    near = np.pad(mask, radius)  # closing must not eat at the border
    closed = ndimage.binary_closing(near, iterations=radius)[radius:-radius, radius:-radius]
    kept = _without_small(closed | mask, _SMALLEST_UM2 / mpp**2)
    holes = ndimage.binary_fill_holes(kept) & ~kept  # glass at the border is no hole
    filled: npt.NDArray[np.bool_] = kept | (
        holes & ~_without_small(holes, _SMALLEST_HOLE_UM2 / mpp**2)
    )
    return filled


def _density(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Optical density of the most absorbed channel, against the slide's own glass."""
    glass = np.percentile(rgb.reshape(-1, 3), _GLASS_PERCENTILE, axis=0)
    glass = np.clip(glass, _DARKEST_GLASS, 255)
    ratio = (rgb.astype(np.float32) + 1) / (glass.astype(np.float32) + 1)
    density: npt.NDArray[np.float32] = -np.log10(ratio.min(axis=2))
    return density


def _otsu(values: npt.NDArray[np.float32]) -> float:
    """Otsu's threshold of all values; the lowest value where all are equal."""
    counts, edges = np.histogram(values, bins=256)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    sums = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = (sums / below - (sums[-1] - sums) / above) ** 2 * below * above
    return float(centres[int(np.nanargmax(apart))]) if values.min() < values.max() else 0.0


def _without_small(mask: npt.NDArray[np.bool_], least: float) -> npt.NDArray[np.bool_]:
    """Drop pieces of fewer pixels."""
    pieces, _ = ndimage.label(mask)
    large = np.bincount(pieces.ravel()) >= least
    large[0] = False
    kept: npt.NDArray[np.bool_] = large[pieces]
    return kept
