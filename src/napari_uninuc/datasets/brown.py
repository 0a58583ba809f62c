"""H&E painted as immunohistochemistry (DAB), with the nuclei's outlines at hand.

Labelled sections of immunohistochemistry are rare. Where each nucleus is known, some can turn
brown, each at its own strength, or rings around them become membranes, as antibodies do it.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

__all__ = ["paint_brown"]

_NUCLEAR_SHARE = 0.6
"""How often the antibody is one of nuclei; else it is one of membranes and cytoplasm."""


def paint_brown(amounts: Tensor, labels: np.ndarray, rng: np.random.Generator) -> Tensor:
    """Move stain amounts from H&E to haematoxylin and DAB.

    Shapes
    ------
    amounts  (3, H, W) haematoxylin, eosin, DAB, see `napari_uninuc.datasets.stains`
    labels   (H, W) instance ids, 0 is background
    returns  (3, H, W): a paler counterstain, next to no eosin, and DAB in nuclei or around them
    """
    blue = amounts[0].clamp(min=0).numpy()
    pink = amounts[1].clamp(min=0).numpy()
    ids, where = np.unique(labels, return_inverse=True)
    where = where.reshape(labels.shape)
    strengths = _strengths(len(ids), rng)
    strengths[ids == 0] = 0
    if rng.random() < _NUCLEAR_SHARE:
        brown = _in_nuclei(blue, labels, strengths[where], rng)
        kept = np.where(brown > 0, rng.uniform(0.1, 0.8), 1.0)
    else:
        brown = _around_nuclei(pink, labels, strengths, ids, rng)
        kept = np.ones_like(blue)
    brown = ndimage.gaussian_filter(brown, rng.uniform(0.4, 1.3))
    unspecific = rng.uniform(0, 0.25) * pink + rng.uniform(0, 0.04)
    counterstain = rng.uniform(0.3, 1.0) * blue * ndimage.gaussian_filter(kept, 0.7)
    eosin = rng.uniform(0, 0.1) * pink
    stained = np.stack([counterstain + 0.15 * eosin, eosin, brown + unspecific])
    return torch.from_numpy(stained.astype(np.float32))


def _strengths(count: int, rng: np.random.Generator) -> np.ndarray:
    """DAB of each nucleus in units of optical density; some or most have none."""
    positive = rng.random(count) < rng.choice([rng.uniform(0, 1), 1.0], p=[0.8, 0.2])
    return positive * rng.uniform(0.1, 0.7) * np.exp(rng.normal(0, rng.uniform(0.1, 0.6), count))


def _in_nuclei(
    blue: np.ndarray, labels: np.ndarray, strength: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Brown that follows the chromatin a little, within the nuclei."""
    inside = labels > 0
    usual = float(blue[inside].mean()) if inside.any() else 1.0
    follows = rng.uniform(0.1, 0.8)
    texture = (1 - follows) + follows * blue / max(usual, 0.02)
    return strength * texture.clip(0, 2.5)


def _around_nuclei(
    pink: np.ndarray,
    labels: np.ndarray,
    strengths: np.ndarray,
    ids: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Brown membranes, and paler cytoplasm up to them; a cell is what lies nearest its nucleus."""
    if not (labels > 0).any():
        return rng.uniform(0.2, 1.0) * pink
    distance, nearest = ndimage.distance_transform_edt(labels == 0, return_indices=True)
    cells = labels[nearest[0], nearest[1]]
    reach = rng.uniform(3, 14)
    within = distance <= reach
    width = rng.uniform(1.0, 2.5)
    low, high = ndimage.minimum_filter(cells, 3), ndimage.maximum_filter(cells, 3)
    membrane = ((low != high) & within) | ((distance > reach - width) & within)
    strength = strengths[np.searchsorted(ids, cells)] * rng.uniform(0.8, 1.6)
    usual = float(pink[within].mean())
    texture = 0.6 + 0.4 * (pink / max(usual, 0.02)).clip(0, 2.5)
    cytoplasm = within & (labels == 0)
    filled = membrane + rng.uniform(0, 0.7) * (cytoplasm & ~membrane)
    over = rng.uniform(0, 0.4) * (labels > 0)  # a section is thicker than a membrane
    return strength * texture * (filled + over)
