"""The one place where a `UniNuc` is put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from napari_uninuc.errors import ModelNotFoundError
from napari_uninuc.network.card import ModelCard
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


def configured(
    name: str,
    classes: Sequence[str],
    prior_shape: tuple[int, int] | None = None,
    *,
    correction: bool = False,
) -> ModelConfig:
    """A preset with classes, a language prior and a correction of its own.

    Parameters
    ----------
    name : of a preset
    classes : names, in the order of class ids
    prior_shape : (T, D) of the text embeddings that its weights carry; None for none
    correction : its weights have a `napari_uninuc.network.correction.Correction`

    Raises
    ------
    ModelNotFoundError
        No such preset.
    """
    config = replace(preset(name), classes=tuple(classes))
    if correction:
        config = replace(config, mask=replace(config.mask, correction=True))
    if prior_shape is None:
        return config
    tokens, dim = prior_shape
    return replace(config, detector=replace(config.detector, text_dim=dim, text_tokens=tokens))


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
