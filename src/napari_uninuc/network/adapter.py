"""A learnt state: what corrections have changed of a model's weights, as one small file.

The file is safetensors with a card in its head. It holds differences, never weights: without the
model it was taught on it is nothing, and taking it away gives that model back to the last bit.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from napari_uninuc.errors import CheckpointError, OutputError
from napari_uninuc.network.adapter_card import CARD_KEY, AdapterCard, read_adapter_card
from napari_uninuc.network.card import ModelCard
from napari_uninuc.network.uninuc import UniNuc

__all__ = ["Adapter", "Looks", "read_adapter", "write_adapter", "write_new_adapter"]

_MAX_BYTES = 2**26
_BEHIND = ("detector.", "sam_mask_decoder.")
"""Parts that may change: they lie behind what is cached of a picture."""
_FEATURES, _COLOURS = "looks.features", "looks.colours"
_COLOUR_NUMBERS = 6


@dataclass(frozen=True, slots=True, eq=False)
class Looks:
    """How the fields look that a state was taught on (`napari_uninuc.engine.appearance`).

    Attributes
    ----------
    features : (K, D) float16
    colours : (K, 6) float16
    """

    features: Tensor
    colours: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Adapter:
    """A learnt state.

    Attributes
    ----------
    card : what it is
    difference : by name of the parameter, what is added to it; float16
    sha256 : of the file's bytes
    looks : how the fields look that it was taught on: it is used on others in proportion to how
        like them they are. None uses it everywhere
    """

    card: AdapterCard
    difference: Mapping[str, Tensor]
    sha256: str
    looks: Looks | None = None

    @classmethod
    def of(
        cls, card: AdapterCard, difference: Mapping[str, Tensor], looks: Looks | None = None
    ) -> Adapter:
        """Make one of differences of any precision; CheckpointError where one is not finite."""
        halves = {name: value.detach().cpu().half() for name, value in difference.items()}
        broken = [name for name, value in halves.items() if not bool(torch.isfinite(value).all())]
        if broken:
            raise CheckpointError(
                f"{broken[0]}: what was learnt is not finite; learn again, from fewer corrections"
            )
        made = cls(card, halves, "", looks)
        return replace(made, sha256=hashlib.sha256(made.to_bytes()).hexdigest())

    def to_bytes(self) -> bytes:
        """The file."""
        tensors = {name: value.contiguous() for name, value in self.difference.items()}
        if self.looks is not None:
            tensors[_FEATURES] = self.looks.features.half().contiguous()
            tensors[_COLOURS] = self.looks.colours.half().contiguous()
        return save(tensors, metadata={CARD_KEY: self.card.model_dump_json()})

    def require(self, card: ModelCard) -> None:
        """Refuse a model that it was not taught on; CheckpointError."""
        own = self.card
        if (own.model, own.weights_sha256) != (card.id, card.sha256):
            raise CheckpointError(
                f"the learnt state {own.name} was taught on {own.model} "
                f"({own.weights_sha256[:12] or 'no weights file'}), got {card.id} "
                f"({card.sha256[:12] or 'no weights file'}); load that model, or learn again"
            )

    def require_fit(self, model: UniNuc, card: ModelCard) -> None:
        """Refuse a model that it cannot be added to; CheckpointError.

        Parameters
        ----------
        model : with the weights of ``card``, in no other state
        """
        self.require(card)
        if card.learnt:
            raise CheckpointError(
                f"expected {card.id} in the weights as they are, got it in the state "
                f"{card.learnt}; load it anew"
            )
        parameters = dict(model.named_parameters())
        for name, value in self.difference.items():
            known = name in parameters and parameters[name].shape == value.shape
            if not known or not name.startswith(_BEHIND):
                raise CheckpointError(
                    f"the learnt state {self.card.name} has {name}, which {card.id} has not in "
                    "this shape or place; it is damaged, learn again"
                )

    def named_on(self, card: ModelCard) -> ModelCard:
        """The card of a model in this state."""
        return replace(
            card,
            learnt=self.card.name,
            learnt_sha256=self.sha256,
            score_threshold=self.card.score_threshold,
        )

    def applied_to(self, model: UniNuc, card: ModelCard) -> ModelCard:
        """Add it in full to a model's weights, in place; see `require_fit`.

        To begin a training there. What outlines pictures adds it in proportion to how they look
        (`napari_uninuc.engine.in_state`).

        Returns
        -------
        card : of the model in this state

        Raises
        ------
        CheckpointError
            It was taught on other weights; then the model is as it was.
        """
        self.require_fit(model, card)
        parameters = dict(model.named_parameters())
        with torch.no_grad():
            for name, value in self.difference.items():
                parameters[name].add_(value.to(parameters[name]))
        return self.named_on(card)


def read_adapter(path: Path) -> Adapter:
    """Read a learnt state.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, or no learnt state.
    """
    card = read_adapter_card(path)
    try:
        with path.open("rb") as stream:
            raw = stream.read(_MAX_BYTES + 1)
        if len(raw) > _MAX_BYTES:
            raise CheckpointError(
                f"{path}: expected a learnt state, got a file of more than {_MAX_BYTES >> 20} MiB; "
                "choose one that uninuc learn has written"
            )
        difference = load(raw)
    except (SafetensorError, OSError, ValueError) as problem:
        if isinstance(problem, CheckpointError):
            raise
        reason = " ".join(str(problem).split())[:200]
        raise CheckpointError(
            f"{path}: the learnt state cannot be read ({reason}); get it again, or learn again"
        ) from problem
    for name, value in difference.items():
        if not value.is_floating_point() or not bool(torch.isfinite(value).all()):
            raise CheckpointError(f"{path}: {name} holds what is no number; learn again")
    looks = _looks(path, difference.pop(_FEATURES, None), difference.pop(_COLOURS, None))
    return Adapter(card, difference, hashlib.sha256(raw).hexdigest(), looks)


def _looks(path: Path, features: Tensor | None, colours: Tensor | None) -> Looks | None:
    if features is None and colours is None:
        return None
    if (
        features is None
        or colours is None
        or features.ndim != 2
        or len(features) == 0
        or colours.shape != (len(features), _COLOUR_NUMBERS)
    ):
        raise CheckpointError(f"{path}: what the state was taught on is damaged; learn again")
    return Looks(features, colours)


def write_adapter(adapter: Adapter, path: Path) -> None:
    """Write a learnt state, whole or not at all.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    part = path.with_name(f".{path.name[:100]}.{uuid4().hex[:12]}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(adapter.to_bytes())
        os.replace(part, path)
    except OSError as problem:
        with suppress(OSError):
            part.unlink()
        raise _not_written(path, problem) from problem


def write_new_adapter(adapter: Adapter, path: Path) -> Path:
    """Write a learnt state beside others; none is overwritten, also where two are written at once.

    Parameters
    ----------
    path : where that is taken, a number is put behind the name, of the file and of the state

    Returns
    -------
    path : the file

    Raises
    ------
    OutputError
        As `write_adapter`.
    """
    number, target = 1, path
    while True:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.open("xb").close()
            break
        except FileExistsError:
            number += 1
            target = path.with_stem(f"{path.stem}-{number}")
        except OSError as problem:
            raise _not_written(target, problem) from problem
    try:
        card = adapter.card.model_copy(update={"name": target.stem})
        write_adapter(Adapter.of(card, adapter.difference, adapter.looks), target)
    except OutputError:
        target.unlink(missing_ok=True)
        raise
    return target


def _not_written(path: Path, problem: OSError) -> OutputError:
    return OutputError(
        f"{path}: the learnt state cannot be written ({problem.strerror or problem}); choose "
        "a place with room where you may write"
    )
