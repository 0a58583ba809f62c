"""A model in a learnt state: as much of it as a field looks like what the state was taught on.

Outlines are a matter of tissue, stain and laboratory: a state that is better on what a person
corrected is worse on what looks otherwise (docs/learn.md). So what was learnt is added to the
weights in proportion to how like the field looks. The encoder has no part in that.
"""

from collections import OrderedDict
from collections.abc import Mapping
from threading import Lock

import numpy as np
import torch
from torch import Tensor

from napari_uninuc.engine.appearance import Appearance, appearance_of, likeness
from napari_uninuc.engine.beside import with_own
from napari_uninuc.engine.cache import EmbeddingKey
from napari_uninuc.engine.embedding import TileEmbedding
from napari_uninuc.network.adapter import Looks
from napari_uninuc.network.card import ModelCard
from napari_uninuc.network.uninuc import UniNuc

__all__ = ["InState", "stored"]

_LEVELS = 4
_MOST = 64
"""Fields whose looks are kept with a state."""
_REMEMBERED = 4096


class InState:
    """What a model becomes on each field.

    Parameters
    ----------
    model : in the weights as they are, which stay so
    difference : by name of the parameter, what is added
    taught : how the fields look that it was taught on; None takes it everywhere in full
    card_before : of the model in the weights as they are
    """

    def __init__(
        self,
        model: UniNuc,
        difference: Mapping[str, Tensor],
        taught: Appearance | None,
        card_before: ModelCard,
    ) -> None:
        self.card_before = card_before
        self._model, self._difference, self._taught = model, difference, taught
        self._made: dict[int, UniNuc] = {}
        self._levels: OrderedDict[EmbeddingKey, int] = OrderedDict()
        self._lock = Lock()

    def model_for(self, embedding: TileEmbedding) -> UniNuc:
        """The model for a field; parts that nothing is added to are shared with the original."""
        with self._lock:
            level = self._level(embedding)
            if level == 0:
                return self._model
            if level not in self._made:
                self._made[level] = _added(self._model, self._difference, level / _LEVELS)
            return self._made[level]

    def share(self, embedding: TileEmbedding) -> float:
        """How much of the state a field gets, in [0, 1]."""
        with self._lock:
            return self._level(embedding) / _LEVELS

    def _level(self, embedding: TileEmbedding) -> int:
        if self._taught is None:
            return _LEVELS
        key = embedding.key
        if key not in self._levels:
            self._levels[key] = round(_LEVELS * likeness(appearance_of(embedding), self._taught))
            if len(self._levels) > _REMEMBERED:
                self._levels.popitem(last=False)
        return self._levels[key]

    def forget(self) -> None:
        """Let go of all that was made; the model moved to another device."""
        with self._lock:
            self._made.clear()


def stored(several: Appearance) -> Looks:
    """How fields look, as a state keeps it; of very many, some that are spread over them."""
    rows = np.unique(np.linspace(0, len(several) - 1, _MOST).round().astype(np.int64))
    features, colours = (torch.from_numpy(x[rows]) for x in (several.features, several.colours))
    return Looks(features.half(), colours.half())


def _added(model: UniNuc, difference: Mapping[str, Tensor], share: float) -> UniNuc:
    """The model with a share of a difference; it copies only the parts that change."""
    made = with_own(model, {each.split(".", 1)[0] for each in difference})
    parameters = dict(made.named_parameters())
    with torch.no_grad():
        for name, value in difference.items():
            parameters[name].add_(share * value.to(parameters[name]))
    return made
