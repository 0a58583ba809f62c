"""From the name of a model to an engine that runs it."""

from collections.abc import Callable
from pathlib import Path

import torch

from napari_uninuc.engine.device import choose_device, device_name, is_out_of_memory
from napari_uninuc.engine.embedding_store import default_store
from napari_uninuc.engine.full_device import on_the_cpu_now
from napari_uninuc.engine.proposers import proposers_of, with_proposer
from napari_uninuc.engine.states import put_into
from napari_uninuc.engine.torch_engine import TorchEngine
from napari_uninuc.errors import CheckpointError
from napari_uninuc.network.adapter import read_adapter
from napari_uninuc.network.build import build_model, config_of
from napari_uninuc.network.card import card_for_preset
from napari_uninuc.network.checkpoint import load_weights
from napari_uninuc.network.config import preset
from napari_uninuc.network.dense_files import DISTANCES_NAME, load_dense
from napari_uninuc.network.registry import find_model

__all__ = ["load_engine", "untrained_engine"]


def load_engine(
    model: str | Path,
    device: str = "auto",
    *,
    embeddings_gb: float | None = 0,
    adapter: str | Path | None = None,
    proposer: str | None = None,
    notice: Callable[[str], object] = lambda text: None,
) -> TorchEngine:
    """Find a model, build its network, and put its weights on a device.

    Parameters
    ----------
    model : an id (``uninuc-n``), a model folder, or a ``.safetensors`` file with a card beside it
    device : auto, cpu, cuda, cuda:N or mps
    embeddings_gb : bound of what is kept on disk, so that a picture that is opened again needs no
        encoder; 0 keeps nothing, None what `default_store` says
    adapter : file of a learnt state, see `napari_uninuc.network.adapter`; None takes the weights
        as they are
    proposer : what finds nuclei unless the engine is told otherwise, one of
        `napari_uninuc.network.card.PROPOSERS`; None takes the card's
    notice : told with one line for the user where the device has no room for the model, and the
        CPU computes

    Raises
    ------
    ModelNotFoundError
        No such model.
    CheckpointError
        Its files are missing, damaged or belong to another architecture; or the learnt state is
        damaged or of other weights; or there is no decoder of next points beside them.
    PromptError
        No such proposer.
    DeviceError
        The device is not there.
    """
    where = choose_device(device)
    files = find_model(model)
    network = build_model(config_of(files.card))
    load_weights(network, files.weights_path)
    card = files.card
    state = None if adapter is None else read_adapter(Path(adapter))
    if state is not None:
        state.require_fit(network, card)
    store = default_store(embeddings_gb)
    try:
        engine = TorchEngine(network, card, where, store)
    except RuntimeError as error:
        if where.type == "cpu" or not is_out_of_memory(error):
            raise
        engine = TorchEngine(network, card, torch.device("cpu"), store)
        notice(on_the_cpu_now(device_name(where)))
    if state is not None:
        put_into(engine, state)
    engine.folder = files.weights_path.parent
    distances = engine.folder / DISTANCES_NAME
    if distances.is_file():
        try:
            engine.distances = load_dense(distances, card.sha256)
        except CheckpointError as error:  # what lies beside a model never keeps it from working
            notice(f"{error}; the model's own maps are used")
    if proposer is not None:
        proposers_of(engine, proposer)
        engine.card = with_proposer(engine.card, proposer)
    return engine


def untrained_engine(architecture: str, device: str = "auto") -> TorchEngine:
    """Build a preset with random weights, the same ones every time.

    Raises
    ------
    ModelNotFoundError
        No such preset.
    DeviceError
        The device is not there.
    """
    where = choose_device(device)
    return TorchEngine(
        build_model(preset(architecture), seed=0), card_for_preset(architecture), where
    )
