"""What a dense decoder is taught: distances, classes of pixels, and masks of words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

__all__ = [
    "IGNORED",
    "class_pixels",
    "distance_loss",
    "map_targets",
    "semantic_loss",
    "words_loss",
]

IGNORED = -100
"""Pixels of which nobody knows what they are."""
_FIT_SCALE = 10.0
_FIT_WEIGHT = 0.5
"""Of choosing the candidate, beside its mask; the paper prints no loss for it."""


def class_pixels(labels: Tensor, classes: Tensor, exhaustive: bool) -> Tensor:
    """Class of each pixel: 0 background, 1 + class, `IGNORED` where it is not known.

    Shapes
    ------
    labels   (H, W) int64, ids 1..n
    classes  (n,) int64; -1 is not known
    returns  (H, W) int64
    """
    outside = 0 if exhaustive else IGNORED
    known = torch.where(classes >= 0, classes + 1, torch.full_like(classes, IGNORED))
    return torch.cat([known.new_tensor([outside]), known])[labels]


def map_targets(labels: np.ndarray, maps: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Maps that instances should have, see `napari_uninuc.network.dense_decoder.KNOWN_MAPS`.

    Parameters
    ----------
    labels : (H, W) integers, ids 1..n without gaps
    maps : (3, H, W) of `napari_uninuc.datasets.crops.supervision_maps`
    names : which are wanted

    Returns
    -------
    targets : (M, H, W) float32 in [0, 1]; distances are 1 outside nuclei
    """
    nucleus, depth, contact = maps
    found = {"nucleus": nucleus, "distance": depth, "contact": contact, "boundary": 1 - depth}
    if "centre" in names:
        found["centre"] = _from_centre(labels)
    return np.stack([found[name] for name in names]).astype(np.float32)


def _from_centre(labels: np.ndarray) -> np.ndarray:
    """Distance to the middle of the own nucleus, 1 at its farthest pixel and outside all."""
    count = int(labels.max())
    apart = np.ones(labels.shape, np.float64)
    if count == 0:
        return apart
    middles = np.array(ndimage.center_of_mass(labels > 0, labels, np.arange(1, count + 1)))
    ys, xs = np.nonzero(labels)
    owner = labels[ys, xs] - 1
    far = np.hypot(ys - middles[owner, 0], xs - middles[owner, 1])
    farthest = np.full(count, 1e-6)
    np.maximum.at(farthest, owner, far)
    apart[ys, xs] = far / farthest[owner]
    return apart


def semantic_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of pixels, mean over those that are known (PathoSAM, sec. 2.4).

    Shapes
    ------
    logits  (B, 1 + C, h, w)
    target  (B, H, W) of `class_pixels`
    """
    size = (int(target.shape[1]), int(target.shape[2]))
    full = functional.interpolate(logits.float(), size, mode="bilinear", align_corners=False)
    each = functional.cross_entropy(full, target, ignore_index=IGNORED, reduction="sum")
    return each / (target != IGNORED).sum().clamp(min=1)


def distance_loss(logits: Tensor, target: Tensor, names: Sequence[str], told: Tensor) -> Tensor:
    """Dice of each map, distances inside nuclei only, as micro-sam's decoder is taught.

    Cross-entropy is added for maps that are no distance: ours, they begin sooner.

    Shapes
    ------
    logits, target  (B, M, h, w) and (B, M, H, W)
    told            (B,) bool: where not every nucleus is drawn, maps teach nothing
    """
    size = (int(target.shape[2]), int(target.shape[3]))
    full = functional.interpolate(logits.float(), size, mode="bilinear", align_corners=False)
    full, target = full[told], target[told]
    if len(full) == 0:
        return logits.sum() * 0
    likely = torch.sigmoid(full)
    inside = target[:, names.index("nucleus")] if "nucleus" in names else None
    total = logits.new_zeros(())
    for k, name in enumerate(names):
        p, t = likely[:, k], target[:, k]
        if name in ("centre", "boundary", "distance") and inside is not None:
            p, t = p * inside, t * inside
        else:
            total = total + functional.binary_cross_entropy_with_logits(full[:, k], target[:, k])
        total = total + 1 - (2 * (p * t).sum() + 1) / (p.square().sum() + t.square().sum() + 1)
    return total


def words_loss(masks: Tensor, fit: Tensor, target: Tensor, told: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy and Dice of the best candidate (PathSegmentor, equation 8), and choosing it.

    Shapes
    ------
    masks    (P, n, h, w) logits of n candidates for each text
    fit      (P, n) cosine of candidate and text
    target   (P, h, w) in [0, 1]
    told     (P, h, w) in [0, 1], how much of each cell is known
    returns  the loss, and (P,) which candidate was the best
    """
    wanted = target[:, None].expand_as(masks)
    weight = told[:, None]
    each = functional.binary_cross_entropy_with_logits(masks, wanted, reduction="none")
    bce = (each * weight).flatten(2).sum(2) / weight.flatten(2).sum(2).clamp(min=1)  # (P, n)
    p = torch.sigmoid(masks) * weight
    t = wanted * weight
    common, both = (p * t).flatten(2).sum(2), (p + t).flatten(2).sum(2)
    cost = bce + 1 - (2 * common + 1) / (both + 1)
    best = cost.detach().argmin(dim=1)
    chosen = cost.gather(1, best[:, None]).mean()
    return chosen + _FIT_WEIGHT * functional.cross_entropy(_FIT_SCALE * fit, best), best
