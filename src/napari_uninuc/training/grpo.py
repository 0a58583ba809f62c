"""Reinforcement by groups: NuNext, equations (11), (12) and (18), and its filter of groups.

Samples of one window are a group. Nothing here knows what a sample says; rewards and hits come from
`napari_uninuc.training.point_rewards`.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["advantages", "clipped_objective", "shaped", "varied"]

_LEAST_DEVIATION = 1e-6


def advantages(rewards: Tensor) -> Tensor:
    """Rewards of groups (W, G) less their mean, over their deviation: equation (12).

    The deviation is that of the G samples themselves, not of what they were drawn from; a group of
    equal rewards has no advantages.
    """
    deviation = rewards.std(dim=1, correction=0, keepdim=True)
    centred = rewards - rewards.mean(dim=1, keepdim=True)
    return torch.where(deviation > _LEAST_DEVIATION, centred / deviation, torch.zeros_like(centred))


def varied(rewards: Tensor, least: float) -> Tensor:
    """Which groups (W, G) teach something: low-variance group filtering (NuNext, sec. 3.4).

    Parameters
    ----------
    least : the paper's delta; groups whose rewards deviate less are dropped. 0 keeps all

    Returns
    -------
    kept : (W,) bool
    """
    return rewards.std(dim=1, correction=0) >= least


def shaped(advantage: Tensor, hits: Tensor, decay: float) -> Tensor:
    """Give each token its share of its sequence's advantage: equation (18).

    Parameters
    ----------
    advantage : (N,) of the sequences
    hits : (N, L) int64: 1 for tokens of a true point, -1 of a false one, 0 for those of no point
    decay : the paper's beta in [0, 1]; 1 leaves all tokens alike

    Returns
    -------
    shaped : (N, L)
    """
    whole = advantage[:, None].expand(hits.shape)
    against = ((whole > 0) & (hits < 0)) | ((whole < 0) & (hits > 0))
    return torch.where(against, decay * whole, whole)


def clipped_objective(
    log_p: Tensor, log_p_before: Tensor, advantage: Tensor, told: Tensor, clip: float
) -> Tensor:
    """What is to be raised, equation (11), without the divergence that the paper leaves out.

    Shapes
    ------
    log_p         (N, L) of each token by the network as it is
    log_p_before  (N, L) by the network that drew them
    advantage     (N, L)
    told          (N, L) bool: tokens that were drawn
    returns       () mean over sequences of the mean over their tokens
    """
    ratio = torch.exp(log_p - log_p_before)
    gain = torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)
    counts = told.sum(dim=1).clamp(min=1)
    return ((gain * told).sum(dim=1) / counts).mean()
