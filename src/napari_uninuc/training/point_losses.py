"""What teaches a `PointDecoder` under supervision: NuNext, equations (7) to (10)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from napari_uninuc.network.point_tokens import PAD, PointGrammar

__all__ = ["sequence_loss", "soft_labels", "thought_loss"]


def soft_labels(bins: int, sigma: float) -> Tensor:
    """Targets of every coordinate token, equation (7).

    Parameters
    ----------
    sigma : of the Gaussian, in bins; 0 gives one-hot targets, those of equation (2)

    Returns
    -------
    targets : (bins, bins) float32; row t is s(. | t), and sums to 1
    """
    if sigma == 0:
        return torch.eye(bins)
    at = torch.arange(bins, dtype=torch.float32)
    return torch.softmax(-(at[None] - at[:, None]).square() / (2 * sigma**2), dim=1)


def sequence_loss(logits: Tensor, tokens: Tensor, grammar: PointGrammar, soft: Tensor) -> Tensor:
    """Cross-entropy of what follows each token, equation (8); softly for coordinates.

    The mean is over all tokens of the batch, so that a crowded window counts more than glass.

    Shapes
    ------
    logits   (N, L, bins + 2) of `PointDecoder.forward`
    tokens   (N, L) whose first is the start; `PAD` after the end
    soft     (bins, bins) of `soft_labels`
    returns  ()
    """
    logits, truth = logits[:, :-1], tokens[:, 1:]
    told = truth != PAD
    log_p = torch.log_softmax(logits[told].float(), dim=-1)  # (T, bins + 2)
    truth = truth[told]
    place = truth < grammar.bins
    hard = -log_p[~place].gather(1, truth[~place, None]).sum()
    spread = -(soft.to(log_p)[truth[place]] * log_p[place, : grammar.bins]).sum()
    return (hard + spread) / max(1, len(truth))


def thought_loss(logits: Tensor, foreground: Tensor) -> Tensor:
    """Binary cross-entropy and Dice of what the latents make the mask decoder paint, equation (9).

    Shapes
    ------
    logits      (N, H, W)
    foreground  (N, H, W) in [0, 1]
    returns     () mean over windows
    """
    bce = functional.binary_cross_entropy_with_logits(logits, foreground)
    p = torch.sigmoid(logits)
    common = (p * foreground).sum((1, 2))
    dice = 1 - (2 * common + 1) / (p.sum((1, 2)) + foreground.sum((1, 2)) + 1)
    return bce + dice.mean()
