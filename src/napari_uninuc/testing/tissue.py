"""Tissue that never was: H&E-like tiles and label maps whose nuclei are known."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_uninuc.core.geometry import label_boxes
from napari_uninuc.core.labels import LabelMap
from napari_uninuc.core.nuclei import Nucleus, Status
from napari_uninuc.core.tile import Tile

__all__ = ["EOSIN", "HAEMATOXYLIN", "SyntheticTile", "ellipse", "make_label_map", "make_tile"]

EOSIN, HAEMATOXYLIN = (234, 188, 212), (100, 72, 142)
"""Mean RGB of stroma and of nuclei."""
_GAP_PX = 2.0
_TRIES = 40


@dataclass(frozen=True, slots=True, eq=False)
class SyntheticTile:
    """A made-up tile and the truth about it.

    Attributes
    ----------
    tile : the picture
    labels : (H, W) int32; nucleus ``i + 1`` is ``centres_yx[i]``
    centres_yx : px of the tile
    """

    tile: Tile
    labels: npt.NDArray[np.int32]
    centres_yx: tuple[tuple[float, float], ...]


def make_tile(
    shape: tuple[int, int] = (256, 256),
    n_nuclei: int = 30,
    *,
    radius_px: tuple[float, float] = (5.0, 10.0),
    mpp: float | None = 0.25,
    seed: int = 0,
) -> SyntheticTile:
    """Paint elliptic nuclei, none touching another, in the colours of H&E.

    Parameters
    ----------
    shape : (H, W) px
    n_nuclei : wanted; a tile that is full gets fewer
    radius_px : smallest and largest half-axis, px
    mpp : micrometres per pixel, None for a tile without a scale
    seed : the same seed gives the same pixels
    """
    rng = np.random.default_rng(seed)
    labels, centres = _place_nuclei(shape, n_nuclei, radius_px, rng)
    stroma = ndimage.gaussian_filter(rng.normal(0, 60, shape), 6)[..., None]
    chromatin = rng.normal(0, 9, shape)[..., None]
    inside = (labels > 0)[..., None]
    rgb = np.where(inside, np.array(HAEMATOXYLIN) + chromatin, np.array(EOSIN) + stroma)
    rgb = ndimage.gaussian_filter(rgb, (0.6, 0.6, 0)) + rng.normal(0, 2, rgb.shape)
    pixels = rgb.clip(0, 255).astype(np.uint8)
    return SyntheticTile(Tile.from_array(pixels, mpp, name=f"synthetic {seed}"), labels, centres)


def make_label_map(
    shape: tuple[int, int] = (256, 256),
    n_nuclei: int = 30,
    *,
    status: Status = Status.AUTOMATIC,
    n_classes: int = 1,
    seed: int = 0,
) -> LabelMap:
    """Make nuclei, none touching another, with rows as an automatic run leaves them.

    Parameters
    ----------
    shape : (H, W) px
    n_nuclei : wanted; a full picture gets fewer
    status : of every row
    n_classes : class ids are drawn from 0..n_classes-1
    seed : of places, scores in [0.4, 1], predicted IoUs in [0.5, 1], and detected boxes, which
        lie within 3 px of the true ones
    """
    rng = np.random.default_rng(seed)
    labels, _ = _place_nuclei(shape, n_nuclei, (4.0, 8.0), rng)
    ids, boxes = label_boxes(labels)
    rows = {}
    for nucleus, box in zip(ids.tolist(), boxes, strict=True):
        y0, x0, y1, x1 = (box + rng.uniform(-3, 3, 4)).tolist()
        score, iou = float(rng.uniform(0.4, 1)), float(rng.uniform(0.5, 1))
        class_id = int(rng.integers(n_classes))
        rows[nucleus] = Nucleus(nucleus, class_id, score, iou, status, (y0, x0, y1, x1))
    return LabelMap.from_labels(labels, rows)


def _place_nuclei(
    shape: tuple[int, int],
    n_nuclei: int,
    radius_px: tuple[float, float],
    rng: np.random.Generator,
) -> tuple[npt.NDArray[np.int32], tuple[tuple[float, float], ...]]:
    """Draw ellipses until there are enough, or no room for `_TRIES` times as many."""
    labels = np.zeros(shape, np.int32)
    centres: list[tuple[float, float]] = []
    for _ in range(_TRIES * n_nuclei):
        if len(centres) == n_nuclei:
            break
        radii, angle = rng.uniform(*radius_px, 2), float(rng.uniform(0, math.pi))
        margin = float(radii.max()) + _GAP_PX
        if min(shape) <= 2 * margin:
            continue
        y, x = (float(rng.uniform(margin, side - margin)) for side in shape)
        window = tuple(slice(int(c - margin), int(c + margin) + 2) for c in (y, x))
        centre = (y - window[0].start, x - window[1].start)
        crop = labels[window]
        if not crop[ellipse(crop.shape, centre, radii + _GAP_PX, angle)].any():
            centres.append((y, x))
            crop[ellipse(crop.shape, centre, radii, angle)] = len(centres)
    return labels, tuple(centres)


def ellipse(
    shape: tuple[int, ...],
    centre_yx: tuple[float, float],
    radii: npt.NDArray[np.float64],
    angle: float = 0.0,
) -> npt.NDArray[np.bool_]:
    """Mark the pixels of an (h, w) crop whose centre lies in an ellipse, or on its edge."""
    ys = np.arange(shape[0])[:, None] - centre_yx[0]
    xs = np.arange(shape[1])[None] - centre_yx[1]
    along = (ys * math.cos(angle) + xs * math.sin(angle)) / radii[0]
    across = (xs * math.cos(angle) - ys * math.sin(angle)) / radii[1]
    inside: npt.NDArray[np.bool_] = along**2 + across**2 <= 1
    return inside
