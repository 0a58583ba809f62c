"""The one place where a `UniNuc` is put together."""

from __future__ import annotations

import torch

from napari_uninuc.network.card import ModelCard
from napari_uninuc.network.config import ModelConfig, configured
from napari_uninuc.network.uninuc import UniNuc


def config_of(card: ModelCard) -> ModelConfig:
    """The network that the weights beside a card belong to."""
    note = card.language
    shape = None if note is None else (len(note.texts), note.dim)
    return configured(card.architecture, card.classes, shape, correction=card.correction)


def build_model(config: ModelConfig, *, seed: int | None = None) -> UniNuc:
    """Build an architecture with random weights; ``seed`` makes them reproducible."""
    if seed is None:
        return UniNuc(config)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return UniNuc(config)
