"""A model beside the same model, without its weights twice."""

import copy
from collections.abc import Iterable
from threading import Lock
from weakref import WeakKeyDictionary

import torch
from torch import nn

from napari_uninuc.network.uninuc import UniNuc

__all__ = ["LowDecoders", "sharing_weights", "with_own"]


def sharing_weights(model: UniNuc) -> UniNuc:
    """Make the same model anew; its parameters are its own, what they hold is shared.

    So one of the two may go to another device.
    """
    shared: dict[int, object] = {
        id(value): nn.Parameter(value.detach(), value.requires_grad) for value in model.parameters()
    }
    shared |= {id(value): value for value in model.buffers()}
    return copy.deepcopy(model, shared)


def with_own(model: UniNuc, names: Iterable[str]) -> UniNuc:
    """Make the same model anew; the parts named are copies, all others are shared."""
    made = copy.copy(model)
    parts: dict[str, nn.Module | None] = dict(model._modules)
    for name in names:
        parts[name] = copy.deepcopy(model._modules[name])
    made.__dict__["_modules"] = parts
    return made


class LowDecoders:
    """Models whose mask decoder computes in bfloat16, made once of each and as long as it lives.

    Without autocast, which turns numbers to and fro between every two steps, boxes are decoded in
    half the time (docs/speed.md). One whose weights were changed where they lie is made anew.
    """

    def __init__(self) -> None:
        self._made: WeakKeyDictionary[UniNuc, tuple[int, UniNuc]] = WeakKeyDictionary()
        self._lock = Lock()

    def of(self, model: UniNuc, dtype: torch.dtype) -> UniNuc:
        """The model with its mask decoder in a precision; itself in float32."""
        if dtype == torch.float32:
            return model
        weights = model.sam_mask_decoder.parameters()
        changes = sum(each._version for each in weights if not each.is_inference())
        with self._lock:
            if model not in self._made or self._made[model][0] != changes:
                low = with_own(model, ["sam_mask_decoder"])
                low.sam_mask_decoder.to(dtype)
                self._made[model] = changes, low
            return self._made[model][1]

    def forget(self) -> None:
        """Let go of all that was made; the models moved to another device."""
        with self._lock:
            self._made.clear()
