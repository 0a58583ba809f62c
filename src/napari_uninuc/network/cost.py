"""What a network costs: parameters, and multiply-accumulates of its linear layers and convolutions.

Counted by torch's `FlopCounterMode`. Products inside attention are left out, as in the paper's
table 4 (facts 0.1: four of its rows are reproduced that way, and none with attention counted).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from napari_uninuc.network.config import ModelConfig
from napari_uninuc.network.image_encoder import DetectorBackbone, build_encoder

_COUNTED = frozenset({torch.ops.aten.convolution, torch.ops.aten.mm, torch.ops.aten.addmm})
"""What convolutions and linear layers come down to; attention multiplies in batches (bmm)."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Parameters, and multiply-accumulates of one forward pass."""

    parameters: int
    macs: int

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.parameters + other.parameters, self.macs + other.macs)


def count_macs(model: nn.Module, shape: Sequence[int]) -> Cost:
    """Run ``model`` once on zeros and count.

    Parameters
    ----------
    model : on any device; on ``meta`` nothing is computed. Called with one float32 tensor
    shape : of that tensor, as (1, 3, 1024, 1024)
    """
    image = torch.zeros(*shape, device=next(model.parameters()).device)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(image)
    flops = counter.get_flop_counts()["Global"]
    total = sum(number for operation, number in flops.items() if operation in _COUNTED) // 2
    return Cost(sum(p.numel() for p in model.parameters()), total)


def encoder_cost(config: ModelConfig, side: int = 1024) -> Cost:
    """Cost of all that is computed once per image of ``side`` x ``side`` input pixels.

    The mask trunk with its neck, and the detector's backbone where it has its own; neither the
    mask decoder nor the detector's head. Needs no memory for weights or activations.
    """
    shape = (1, 3, side, side)
    with torch.device("meta"), _RangesOnCpu():
        cost = count_macs(build_encoder(config.encoder).eval(), shape)
        if config.detector.backbone is not None:
            cost += count_macs(DetectorBackbone(config.detector.backbone).eval(), shape)
    return cost


class _RangesOnCpu(TorchFunctionMode):
    """Keeps `torch.linspace` off ``meta``: trunks read numbers (drop-path rates) from it."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.linspace:
            kwargs["device"] = "cpu"
        return func(*args, **kwargs)
