"""Several runs that began alike, as one: the mean of their weights.

Weights taught on from the same ones, in different orders, lie in one basin, and their mean is
better than each of them at the price of one (Wortsman et al., ICML 2022: model soups).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from napari_uninuc.errors import RecipeError
from napari_uninuc.network.card import ModelCard
from napari_uninuc.network.checkpoint import check_names_and_shapes, read_weights
from napari_uninuc.network.uninuc import UniNuc

__all__ = ["joint_card", "put_mean"]


@torch.no_grad()
def put_mean(model: UniNuc, others: Sequence[Path]) -> None:
    """Move a model to the mean of its weights and of those in files; whole numbers stay its own.

    Raises
    ------
    CheckpointError
        A file that cannot be read, or holds other tensors than the model.
    """
    own = model.state_dict()
    total = {name: value.double() for name, value in own.items() if value.is_floating_point()}
    for path in others:
        state = read_weights(path)
        check_names_and_shapes(own, state, f"{path}: ", model.config.id)
        for name, value in total.items():
            value += state[name]
    for name, value in total.items():
        own[name].copy_(value / (1 + len(others)))


def joint_card(first: ModelCard, others: Sequence[ModelCard]) -> ModelCard:
    """The first card, with what must be said of weights that others went into as well.

    Raises
    ------
    RecipeError
        Other classes or another scale than the first.
    """
    for other in others:
        for name in ("classes", "mpp", "language"):
            wanted, got = getattr(first, name), getattr(other, name)
            if wanted != got:
                raise RecipeError(
                    f"averaged_with: expected weights with the {name} of {first.id}, {wanted}, got "
                    f"{got} in {other.id}; average runs of one recipe"
                )
    cards = (first, *others)
    return replace(
        first,
        licence="; ".join(dict.fromkeys(card.licence for card in cards)),
        commercial_use=all(card.commercial_use for card in cards),
        attribution=tuple(dict.fromkeys(line for card in cards for line in card.attribution)),
        training_data=tuple(dict.fromkeys(name for card in cards for name in card.training_data)),
    )
