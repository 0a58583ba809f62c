"""Optimiser, schedule and moving average."""

from __future__ import annotations

import copy
import math
from typing import Any, Generic, TypeVar

import torch
from torch import nn

from napari_uninuc.network.uninuc import UniNuc
from napari_uninuc.training.recipe import OptimiserSection


def build_optimiser(model: UniNuc, section: OptimiserSection) -> torch.optim.AdamW:
    """AdamW; trunk and the rest at their own rates; no decay for vectors (norms, biases)."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            in_trunk = name.startswith(("image_encoder.trunk", "detector_backbone"))
            groups.setdefault((in_trunk, parameter.ndim > 1), []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "lr": section.trunk_lr if in_trunk else section.lr,
                "weight_decay": section.weight_decay if decays else 0.0,
            }
            for (in_trunk, decays), parameters in groups.items()
        ]
    )


def load_moments(optimiser: torch.optim.Optimizer, stored: dict[str, Any]) -> None:
    """Take an earlier run's moments over; rates and decay stay those of `optimiser`.

    Parameters
    ----------
    stored : `state_dict` of an optimiser of the same parameters; may come from anybody

    Raises
    ------
    ValueError, TypeError, LookupError, AttributeError
        Other parameters, or moments that cannot be theirs.
    """
    own = optimiser.state_dict()["param_groups"]
    if [group["params"] for group in stored["param_groups"]] != [g["params"] for g in own]:
        raise ValueError("the optimiser has other parameters")
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    for key, moments in stored["state"].items():
        shape = parameters[key].shape
        shapes = {"step": torch.Size([]), "exp_avg": shape, "exp_avg_sq": shape}
        if key < 0 or {name: value.shape for name, value in moments.items()} != shapes:
            raise ValueError(f"parameter {key} has the moments of another")
        if not all(value.is_floating_point() and not value.is_sparse for value in moments.values()):
            raise ValueError(f"parameter {key} has moments that are no numbers")
    optimiser.load_state_dict({"state": stored["state"], "param_groups": own})


def rate_at(step: int, steps: int, warmup: int, decay_share: float = 1.0) -> float:
    """Share of the full learning rate: linear warm-up, a plateau, half a cosine down to 1 %.

    The cosine takes the last ``decay_share`` of the steps after the warm-up. 1 is the paper's
    schedule; with less, ``steps`` of a run on its plateau can still be changed and resumed.
    """
    if step < warmup:
        return (step + 1) / warmup
    falling = max(1.0, decay_share * (steps - warmup))
    progress = min(1.0, max(0.0, (step - (steps - falling)) / falling))
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress))


_Network = TypeVar("_Network", bound=nn.Module)


class MovingAverage(Generic[_Network]):
    """Exponential moving average of parameters and buffers, warmed up over the first steps."""

    def __init__(self, model: _Network, decay: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Move towards the model's current values."""
        keep = min(self.decay, (1 + step) / (10 + step))
        new = model.state_dict()
        for name, value in self.model.state_dict().items():
            if value.is_floating_point():
                value.lerp_(new[name].detach(), 1 - keep)
            else:
                value.copy_(new[name])
