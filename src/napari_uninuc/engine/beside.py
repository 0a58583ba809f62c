"""A model beside the same model, without its weights twice."""

import copy

from torch import nn

from napari_uninuc.network.uninuc import UniNuc

__all__ = ["sharing_weights"]


def sharing_weights(model: UniNuc) -> UniNuc:
    """Make the same model anew; its parameters are its own, what they hold is shared.

    So one of the two may go to another device.
    """
    shared: dict[int, object] = {
        id(value): nn.Parameter(value.detach(), value.requires_grad) for value in model.parameters()
    }
    shared |= {id(value): value for value in model.buffers()}
    return copy.deepcopy(model, shared)
