"""The one place where a `UniNuc` is put together."""

from __future__ import annotations

import torch

from napari_uninuc.errors import ModelNotFoundError
from napari_uninuc.network.config import PRESETS, ModelConfig
from napari_uninuc.network.uninuc import UniNuc


def preset(name: str) -> ModelConfig:
    """The architecture called ``name``.

    Raises
    ------
    ModelNotFoundError
        No such preset.
    """
    if name not in PRESETS:
        raise ModelNotFoundError(
            f"architecture must be one of {', '.join(PRESETS)}, got {name!r}; choose one of them"
        )
    return PRESETS[name]


def build_model(config: ModelConfig, *, seed: int | None = None) -> UniNuc:
    """Build an architecture with random weights; ``seed`` makes them reproducible."""
    if seed is None:
        return UniNuc(config)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return UniNuc(config)
