"""A model in a learnt state beside the same model as it came, without its weights twice."""

import copy

from torch import nn

from napari_uninuc.errors import CheckpointError
from napari_uninuc.network.adapter import Adapter
from napari_uninuc.network.card import ModelCard
from napari_uninuc.network.uninuc import UniNuc

__all__ = ["in_state_beside"]

_ENCODERS = ("image_encoder.", "detector_backbone.")


def in_state_beside(model: UniNuc, card: ModelCard, adapter: Adapter) -> tuple[UniNuc, ModelCard]:
    """Make a model in a learnt state that shares all other weights with the one as it came.

    The parameters are its own and only what they hold is shared, so that one of the two may go to
    another device.

    Raises
    ------
    CheckpointError
        It was taught on other weights, or changes what pictures are encoded with: then what one of
        them has encoded would not be the other's.
    """
    for name in adapter.difference:
        if name.startswith(_ENCODERS):
            raise CheckpointError(
                f"the learnt state {adapter.card.name} changes {name}, with which pictures are "
                "encoded; it cannot be used beside the model as it came, learn again"
            )
    shared: dict[int, object] = {
        id(value): nn.Parameter(value.detach(), value.requires_grad)
        for name, value in model.named_parameters()
        if name not in adapter.difference
    }
    shared |= {id(value): value for value in model.buffers()}
    made = copy.deepcopy(model, shared)
    return made, adapter.applied_to(made, card)
