"""Putting engines into learnt states and back; what that means is in `engine.in_state`."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
from torch import Tensor

from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.appearance import Appearance
from napari_uninuc.engine.in_state import InState
from napari_uninuc.engine.torch_engine import TorchEngine
from napari_uninuc.errors import CheckpointError
from napari_uninuc.network.adapter import Adapter

__all__ = ["change_state", "differing", "engine_beside", "in_state", "put_into", "share_on"]


def put_into(engine: TorchEngine, adapter: Adapter) -> None:
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
def in_state(engine: TorchEngine, adapter: Adapter) -> Iterator[None]:
    """An engine in a learnt state while the block runs; then it is as it was; see `put_into`."""
    before = engine.state, engine.card
    put_into(engine, adapter)
    try:
        yield
    finally:
        engine.state, engine.card = before


@contextmanager
def differing(engine: TorchEngine, difference: Mapping[str, Tensor]) -> Iterator[None]:
    """An engine that answers on every field with a difference added to its weights, which stay.

    Nothing else may use the engine meanwhile.

    Parameters
    ----------
    difference : by name of the parameter
    """
    before, engine.state = engine.state, InState(engine.model, difference, None, engine.card)
    try:
        yield
    finally:
        engine.state = before


def change_state(engine: TorchEngine, adapter: Adapter | None) -> None:
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


def share_on(engine: TorchEngine, tile: Tile) -> float | None:
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


def engine_beside(engine: TorchEngine, adapter: Adapter) -> TorchEngine:
    """Make an engine in a learnt state beside one, which stays as it is; see `TorchEngine.twin`.

    Raises
    ------
    CheckpointError
        A state of other weights, or a damaged one.
    """
    made = engine.twin()
    put_into(made, adapter)
    return made


def _array(tensor: Tensor) -> npt.NDArray[np.float32]:
    array: npt.NDArray[np.float32] = tensor.float().cpu().numpy()
    return array
