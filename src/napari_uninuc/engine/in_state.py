"""A model in a learnt state: as much of it as a field looks like what the state was taught on.

Outlines are a matter of tissue, stain and laboratory: a state that is better on what a person
corrected is worse on what looks otherwise (docs/learn.md). So what was learnt is added to the
weights in proportion to how like the field looks. The encoder has no part in that.
"""

import copy
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.appearance import Appearance, appearance_of, likeness
from napari_uninuc.engine.cache import EmbeddingKey
from napari_uninuc.engine.embedding import TileEmbedding
from napari_uninuc.errors import CheckpointError
from napari_uninuc.network.adapter import Adapter, Looks
from napari_uninuc.network.card import ModelCard
from napari_uninuc.network.uninuc import UniNuc

if TYPE_CHECKING:
    from napari_uninuc.engine.torch_engine import TorchEngine

__all__ = ["InState", "change_state", "in_state", "put_into", "share_on", "stored"]

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


def put_into(engine: "TorchEngine", adapter: Adapter) -> None:
    """Put an engine, in the weights as they are, into a learnt state.

    Raises
    ------
    CheckpointError
        A state of other weights, or a damaged one; then the engine is as it was.
    """
    adapter.require_fit(engine.model, engine.card)
    looks = adapter.looks
    if looks is not None and looks.features.shape[1] != 2 * engine.config.mask.dim:
        raise CheckpointError(
            f"the learnt state {adapter.card.name} does not say how {engine.card.id} sees what it "
            "was taught on; it is damaged, learn again"
        )
    taught = None if looks is None else Appearance(*map(_array, (looks.features, looks.colours)))
    engine.state = InState(engine.model, adapter.difference, taught, engine.card)
    engine.card = adapter.named_on(engine.card)


@contextmanager
def in_state(engine: "TorchEngine", adapter: Adapter) -> Iterator[None]:
    """An engine in a learnt state while the block runs; then it is as it was; see `put_into`."""
    before = engine.state, engine.card
    put_into(engine, adapter)
    try:
        yield
    finally:
        engine.state, engine.card = before


def change_state(engine: "TorchEngine", adapter: Adapter | None) -> None:
    """Put an engine, whatever its state, into another; None is the weights as they are.

    Nothing else may use the engine meanwhile. Embeddings stay.

    Raises
    ------
    CheckpointError
        As `put_into`; then the engine is as it was.
    """
    before = engine.state, engine.card
    if engine.state is not None:
        engine.card = engine.state.card_before
        engine.state = None
    if adapter is not None:
        try:
            put_into(engine, adapter)
        except CheckpointError:
            engine.state, engine.card = before
            raise


def share_on(engine: "TorchEngine", tile: Tile) -> float | None:
    """How much of its state is used on a picture, in [0, 1]: the mean of the fields in memory.

    None without a state, or where nothing of the picture is in memory.
    """
    if engine.state is None:
        return None
    held = [
        engine.state.share(engine.embed(tile, field))
        for field in engine.fields(tile)
        if engine.holds(tile, field)
    ]
    return float(np.mean(held)) if held else None


def stored(several: Appearance) -> Looks:
    """How fields look, as a state keeps it; of very many, some that are spread over them."""
    rows = np.unique(np.linspace(0, len(several) - 1, _MOST).round().astype(np.int64))
    features, colours = (torch.from_numpy(x[rows]) for x in (several.features, several.colours))
    return Looks(features.half(), colours.half())


def _array(tensor: Tensor) -> npt.NDArray[np.float32]:
    array: npt.NDArray[np.float32] = tensor.float().cpu().numpy()
    return array


def _added(model: UniNuc, difference: Mapping[str, Tensor], share: float) -> UniNuc:
    """The model with a share of a difference; it copies only the parts that change."""
    made = copy.copy(model)
    parts: dict[str, nn.Module | None] = dict(model._modules)
    for name in {each.split(".", 1)[0] for each in difference}:
        parts[name] = copy.deepcopy(model._modules[name])
    made.__dict__["_modules"] = parts
    parameters = dict(made.named_parameters())
    with torch.no_grad():
        for name, value in difference.items():
            parameters[name].add_(share * value.to(parameters[name]))
    return made
