"""Model files: safetensors weights beside a card; nothing pickled is loaded unguarded."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from napari_uninuc.errors import CheckpointError
from napari_uninuc.network.uninuc import UniNuc


def save_weights(model: UniNuc, path: Path, dtype: torch.dtype = torch.float16) -> None:
    """Write a model's weights as safetensors, floating-point tensors as ``dtype``."""
    state = {
        name: (value.to(dtype) if value.is_floating_point() else value).contiguous()
        for name, value in model.state_dict().items()
    }
    save_file(state, str(path))


def load_weights(model: UniNuc, path: Path) -> None:
    """Read safetensors weights into ``model``; every tensor must be there with its shape.

    Raises
    ------
    CheckpointError
        The file is missing, truncated, not safetensors, or holds another architecture.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such model file; check the path")
    try:
        state = load_file(str(path))
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path}: not a readable .safetensors file ({error}); it may be truncated, get it again"
        ) from error
    own = model.state_dict()
    missing, extra = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    wrong = [k for k in own.keys() & state.keys() if own[k].shape != state[k].shape]
    for kind, names in (("lacks", missing), ("has unknown", extra), ("has misshapen", wrong)):
        if names:
            raise CheckpointError(
                f"{path}: {kind} {len(names)} tensors for {model.config.id} (first: {names[0]}); "
                "it belongs to another architecture"
            )
    model.load_state_dict({k: v.to(own[k].dtype) for k, v in state.items()})
