"""What a written sequence is worth: NuNext, equations (13) to (17), and the task's part of (19)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from torch import Tensor

__all__ = ["PointMatch", "match_points", "panoptic_of"]


@dataclass(frozen=True, slots=True, eq=False)
class PointMatch:
    """Points found against true ones.

    Attributes
    ----------
    hits : (found,) bool, those that are near a true point of their own
    n_true : true points
    """

    hits: np.ndarray
    n_true: int

    @property
    def f1(self) -> float:
        """Equation (17); 1 where there is nothing and nothing was found."""
        whole = len(self.hits) + self.n_true
        return 1.0 if whole == 0 else 2 * float(self.hits.sum()) / whole


def match_points(found_yx: Tensor, true_yx: Tensor, radius: float) -> PointMatch:
    """Match one to one at the least sum of distances, then drop those too far: (13) and (14).

    Parameters
    ----------
    found_yx, true_yx : (n, 2) and (m, 2) px
    radius : largest distance of a hit, px
    """
    found, true = found_yx.cpu().numpy(), true_yx.cpu().numpy()
    distance = np.linalg.norm(found[:, None] - true[None], axis=2)
    rows, columns = linear_sum_assignment(distance)
    hits = np.zeros(len(found), bool)
    hits[rows] = distance[rows, columns] <= radius
    return PointMatch(hits, len(true))


def panoptic_of(ious: np.ndarray, n_true: int) -> float:
    """Panoptic quality of masks: sum of IoU above 0.5, over matches and half of what is left.

    Parameters
    ----------
    ious : (found, true) of every mask with every nucleus; two masks may lie on one nucleus, and
        then the better counts
    n_true : nuclei
    """
    n_found = len(ious)
    if n_found + n_true == 0:
        return 1.0
    best = ious.max(axis=0, initial=0.0) if n_true else np.zeros(0)
    matched = best[best > 0.5]
    n = len(matched)
    return float(matched.sum()) / (n + 0.5 * (n_found - n) + 0.5 * (n_true - n))
