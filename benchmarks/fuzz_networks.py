"""Models and checkpoints as `fuzz_inputs` gives them to their readers, of a very small network."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

__all__ = [
    "learn",
    "make_cards",
    "make_checkpoints",
    "make_sam2",
    "make_weights",
    "read_card",
    "read_checkpoint",
    "read_sam2",
    "read_weights",
    "trainer_in",
]


def make_cards(folder: Path) -> None:
    """Put a model folder, card and weights, into a folder."""
    from dataclasses import replace

    from napari_uninuc.network.card import card_for_preset, sha256_of, write_card

    made = folder / "model"
    made.mkdir()
    make_weights(made)
    card = replace(card_for_preset("uninuc-n"), id="mine", metrics={"dice": 0.5})
    write_card(replace(card, sha256=sha256_of(made / "model.safetensors")), made)


def small_network() -> Any:
    """A network of the names that SAM 2 checkpoints are known by, and little else."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    network = nn.Module()
    inner = network
    for name in ("image_encoder", "trunk", "patch_embed"):
        inner.add_module(name, nn.Module())
        inner = inner.get_submodule(name)
    inner.proj = nn.Conv2d(3, 4, 3)
    inner.bn = nn.BatchNorm2d(4)
    network.config = SimpleNamespace(id="uninuc-small")
    return network


def make_weights(folder: Path) -> None:
    """Put weights of the small network into a folder."""
    from napari_uninuc.network.checkpoint import save_weights

    save_weights(small_network(), folder / "model.safetensors")


def make_sam2(folder: Path) -> None:
    """Put checkpoints as SAM 2 has them into a folder."""
    import torch

    torch.save({"model": small_network().state_dict()}, folder / "official.pt")
    torch.save(small_network().state_dict(), folder / "bare.pt")


def trainer_in(folder: Path) -> Any:
    """A trainer of the small network that reads and writes in `folder`."""
    import torch

    from napari_uninuc.training.loop import Trainer
    from napari_uninuc.training.optim import MovingAverage, build_optimiser
    from napari_uninuc.training.ranks import ALONE
    from napari_uninuc.training.recipe import OptimiserSection

    trainer: Any = Trainer.__new__(Trainer)
    trainer.ranks = ALONE
    trainer.device, trainer.output = torch.device("cpu"), folder
    trainer.model = small_network()
    trainer.optimiser = build_optimiser(trainer.model, OptimiserSection())
    trainer.full_rates = [group["lr"] for group in trainer.optimiser.param_groups]
    trainer.average = MovingAverage(trainer.model, 0.9)
    trainer.generator = torch.Generator().manual_seed(0)
    trainer.step, trainer.seconds, trainer.recipe = 3, 1.5, SimpleNamespace(steps=20)
    return trainer


def learn(trainer: Any) -> None:
    """One step with what was read, as a run would make it."""
    for parameter in trainer.model.parameters():
        parameter.grad = parameter.detach().clone()
    for group, rate in zip(trainer.optimiser.param_groups, trainer.full_rates, strict=True):
        group["lr"] = rate
    trainer.optimiser.step()
    trainer.average.update(trainer.model, trainer.step)


def make_checkpoints(folder: Path) -> None:
    """Put the output folder of a training run into a folder."""
    made = folder / "run"
    made.mkdir()
    trainer = trainer_in(made)
    learn(trainer)
    trainer._save()


def read_card(folder: Path) -> int:
    """List, verify and find a model."""
    from napari_uninuc.network.registry import find_model, list_models, verify

    os.environ["UNINUC_MODELS"] = str(folder.parent)
    list_models(print)
    verify(folder)
    find_model(folder)
    return 0


def read_weights(path: Path) -> int:
    """Load weights into the small network."""
    from napari_uninuc.network.checkpoint import load_weights

    load_weights(small_network(), path)
    return 0


def read_sam2(path: Path) -> int:
    """Read a checkpoint as `uninuc models convert` does, without writing."""
    from napari_uninuc.errors import CheckpointError
    from napari_uninuc.network.sam2_checkpoint import guess_architecture, load_sam2, sam2_state

    state = sam2_state(path)
    load_sam2(small_network(), state, path)
    try:
        guess_architecture(state, path)
    except CheckpointError as problem:  # there is no preset so small
        if "no preset" not in str(problem):
            raise
    return 0


def read_checkpoint(folder: Path) -> int:
    """Go on with a run, for one step."""
    trainer = trainer_in(folder)
    trainer._resume()
    learn(trainer)
    return 0
