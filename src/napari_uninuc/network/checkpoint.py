"""Model files: safetensors weights beside a card; nothing pickled is loaded unguarded."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from napari_uninuc.errors import CheckpointError, OutputError
from napari_uninuc.network.card import WEIGHTS_NAME, ModelCard, sha256_of, write_card
from napari_uninuc.network.uninuc import UniNuc


def save_weights(model: nn.Module, path: Path, dtype: torch.dtype = torch.float16) -> None:
    """Write a model's weights as safetensors, floating-point tensors as ``dtype``.

    Written beside and renamed, so that an interrupted run leaves the earlier file.

    Raises
    ------
    CheckpointError
        A weight is not finite, or too large for ``dtype``.
    OutputError
        The file cannot be written.
    """
    state = {name: _stored(name, value, dtype) for name, value in model.state_dict().items()}
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.touch()
        mode = partial.stat().st_mode  # as the umask wants it; save_file makes its own, private one
        save_file(state, str(partial))
        partial.chmod(mode)
        os.replace(partial, path)
    except (OSError, SafetensorError) as error:
        with suppress(OSError):
            partial.unlink()
        raise OutputError(
            f"{path}: cannot write the weights ({_flat(error)}); "
            "choose a folder you can write to, with room for them"
        ) from error


def load_weights(model: UniNuc, path: Path) -> None:
    """Read safetensors weights into ``model``; every tensor must be there with its shape.

    Raises
    ------
    CheckpointError
        The file is missing, truncated, not safetensors, or holds another architecture.
    """
    put_weights(model, read_weights(path), path)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, by name.

    Raises
    ------
    CheckpointError
        The file is missing, truncated or not safetensors.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such model file; check the path")
    try:
        return dict(load_file(str(path)))
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path}: not a readable .safetensors file ({_flat(error)}); "
            "it may be truncated, get it again"
        ) from error


def put_weights(model: UniNuc, state: dict[str, Tensor], path: Path) -> None:
    """Put tensors that came from ``path`` into a model; its own precision stays.

    Raises
    ------
    CheckpointError
        Names or shapes are not those of the model.
    """
    own = model.state_dict()
    check_names_and_shapes(own, state, f"{path}: ", model.config.id)
    model.load_state_dict({k: v.to(own[k].dtype) for k, v in state.items()})


def save_model(
    model: UniNuc, card: ModelCard, folder: Path, dtype: torch.dtype = torch.float16
) -> ModelCard:
    """Write a model folder: weights, then the card with their sha256.

    Parameters
    ----------
    folder : made where it is not there; a model in it is replaced

    Returns
    -------
    card : as written

    Raises
    ------
    CheckpointError, OutputError
        As `save_weights` and `napari_uninuc.network.card.write_card`.
    """
    new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot make the model folder: {error.strerror}; choose another"
        ) from error
    try:
        save_weights(model, folder / WEIGHTS_NAME, dtype)
        written = replace(card, sha256=sha256_of(folder / WEIGHTS_NAME))
        write_card(written, folder)
    except (CheckpointError, OutputError):
        if new:
            (folder / WEIGHTS_NAME).unlink(missing_ok=True)
            folder.rmdir()
        raise
    return written


def check_names_and_shapes(
    own: dict[str, Tensor], state: dict[str, Tensor], where: str, architecture: str
) -> None:
    """Compare tensors with those that an architecture needs.

    Parameters
    ----------
    own, state : needed ones and those there are, by name
    where : how the error begins
    architecture : its id, for the error

    Raises
    ------
    CheckpointError
        Names the first that is missing, unknown or of another shape.
    """
    missing, extra = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    wrong = sorted(k for k in own.keys() & state.keys() if own[k].shape != state[k].shape)
    for kind, names in (("lacks", missing), ("has unknown", extra), ("has misshapen", wrong)):
        if names:
            raise CheckpointError(
                f"{where}{kind} {len(names)} tensors for {architecture} (first: {names[0]}); "
                "it belongs to another architecture"
            )


def _stored(name: str, value: Tensor, dtype: torch.dtype) -> Tensor:
    if not value.is_floating_point():
        return value.contiguous()
    stored = value.to(dtype).contiguous()
    if not bool(torch.isfinite(stored).all()):
        raise CheckpointError(
            f"{name} holds values that are not finite as {dtype}; "
            "save as torch.float32, or train again from an earlier state"
        )
    return stored


def _flat(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
