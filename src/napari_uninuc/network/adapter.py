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

__all__ = ["Adapter", "read_adapter", "write_adapter"]

_MAX_BYTES = 2**26


@dataclass(frozen=True, slots=True, eq=False)
class Adapter:
    """A learnt state.

    Attributes
    ----------
    card : what it is
    difference : by name of the parameter, what is added to it; float16
    sha256 : of the file's bytes
    """

    card: AdapterCard
    difference: Mapping[str, Tensor]
    sha256: str

    @classmethod
    def of(cls, card: AdapterCard, difference: Mapping[str, Tensor]) -> Adapter:
        """Make one of differences of any precision; CheckpointError where one is not finite."""
        halves = {name: value.detach().cpu().half() for name, value in difference.items()}
        broken = [name for name, value in halves.items() if not bool(torch.isfinite(value).all())]
        if broken:
            raise CheckpointError(
                f"{broken[0]}: what was learnt is not finite; learn again, from fewer corrections"
            )
        made = cls(card, halves, "")
        return replace(made, sha256=hashlib.sha256(made.to_bytes()).hexdigest())

    def to_bytes(self) -> bytes:
        """The file."""
        tensors = {name: value.contiguous() for name, value in self.difference.items()}
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

    def applied_to(self, model: UniNuc, card: ModelCard) -> ModelCard:
        """Add it to a model's weights, in place.

        Parameters
        ----------
        model : with the weights of ``card``, to which no other state was added
        card : of the model

        Returns
        -------
        card : of the model in this state

        Raises
        ------
        CheckpointError
            It was taught on other weights; then the model is as it was.
        """
        own = self.card
        self.require(card)
        parameters = dict(model.named_parameters())
        for name, value in self.difference.items():
            if name not in parameters or parameters[name].shape != value.shape:
                raise CheckpointError(
                    f"the learnt state {own.name} has {name}, which {card.id} has not in this "
                    "shape; it is damaged, learn again"
                )
        with torch.no_grad():
            for name, value in self.difference.items():
                parameters[name].add_(value.to(parameters[name]))
        return replace(
            card,
            learnt=own.name,
            learnt_sha256=self.sha256,
            score_threshold=own.score_threshold,
        )


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
    return Adapter(card, difference, hashlib.sha256(raw).hexdigest())


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
        raise OutputError(
            f"{path}: the learnt state cannot be written ({problem.strerror or problem}); choose "
            "a place with room where you may write"
        ) from problem
