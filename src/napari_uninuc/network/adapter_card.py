"""What a learnt state says about itself, and where such states lie; without torch."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from math import comb
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from napari_uninuc.errors import CheckpointError
from napari_uninuc.network.card import ID_PATTERN
from napari_uninuc.network.registry import user_models

__all__ = [
    "AdapterCard",
    "LearntState",
    "Proof",
    "free_path",
    "in_words",
    "list_states",
    "read_adapter_card",
    "states_folder",
]

CARD_KEY = "uninuc-adapter"
_MAX_HEAD_BYTES = 2**22
_CHANCE = 0.05
_Count = Annotated[int, Field(ge=0)]
_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Name = Annotated[str, Field(min_length=1, max_length=200)]


class Proof(BaseModel):
    """What was measured on corrections that were kept aside.

    Attributes
    ----------
    nuclei : kept aside, that are nuclei
    right_before, right_after : of them, outlined with an IoU above 0.5
    deleted : places kept aside that hold none
    false_before, false_after : of them, outlined all the same
    better, worse : of all of these, in how many the quality rose, and fell, by more than nothing
    gain, low, high : mean over all that was kept aside of the change in quality, and its interval;
        see `napari_uninuc.training.proof`
    confidence : of the interval
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    nuclei: _Count
    right_before: _Count
    right_after: _Count
    deleted: _Count
    false_before: _Count
    false_after: _Count
    better: _Count = 0
    worse: _Count = 0
    gain: _Finite
    low: _Finite
    high: _Finite
    confidence: Annotated[float, Field(gt=0, lt=1)]

    @property
    def is_better(self) -> bool:
        """Whether the state is better by more than chance: the mean, and in how many.

        Either may lie: a mean hangs on the few that changed most, and a count says nothing of how
        much.
        """
        return self.low > 0 and _at_least(self.better, self.better + self.worse) <= _CHANCE

    @property
    def is_worse(self) -> bool:
        """Whether the state is worse by more than chance, likewise."""
        return self.high < 0 and _at_least(self.worse, self.better + self.worse) <= _CHANCE


def _at_least(heads: int, tosses: int) -> float:
    """How likely a coin falls on so many heads, or more."""
    return sum(comb(tosses, k) for k in range(heads, tosses + 1)) / 2**tosses


class AdapterCard(BaseModel):
    """What a learnt state is.

    Attributes
    ----------
    name : how people call it
    model, weights_sha256 : what it was taught on
    sessions : what it was taught from, by name
    accepted, redrawn, added, deleted : corrections it was taught
    proof : what it is worth
    score_threshold : below which automatic nuclei are dropped by default
    licence, commercial_use, attribution : those of the model
    made : when, UTC
    made_by : program and version
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    name: Annotated[str, Field(pattern=ID_PATTERN)]
    model: _Name
    weights_sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]
    sessions: tuple[_Name, ...]
    accepted: _Count
    redrawn: _Count
    added: _Count
    deleted: _Count
    proof: Proof
    score_threshold: Annotated[float, Field(ge=0, le=1)]
    licence: _Name
    commercial_use: bool
    attribution: tuple[_Name, ...] = ()
    made: AwareDatetime
    made_by: _Name

    @property
    def nuclei(self) -> int:
        """Corrections it was taught, of all kinds."""
        return self.accepted + self.redrawn + self.added + self.deleted


def states_folder(model_id: str) -> Path:
    """Where the learnt states of a model lie; it may not exist yet."""
    return user_models() / "learnt" / model_id


@dataclass(frozen=True, slots=True)
class LearntState:
    """A learnt state on this machine."""

    path: Path
    card: AdapterCard


def list_states(model_id: str, weights_sha256: str) -> list[LearntState]:
    """The learnt states of a model, the oldest first; files that are none of its are left out."""
    found = []
    for path in states_folder(model_id).glob("*.safetensors"):
        try:
            own = read_adapter_card(path)
        except CheckpointError:
            continue  # damaged, or of a version to come: whoever names it is told
        if (own.model, own.weights_sha256) == (model_id, weights_sha256):
            found.append(LearntState(path, own))
    return sorted(found, key=lambda state: (state.card.made, state.path.name))


def free_path(model_id: str, name: str) -> Path:
    """A file for a new state of a model, called after ``name``; nothing is there yet."""
    plain = re.sub(r"[^A-Za-z0-9._+-]+", "-", name).strip("-._+")[:60] or "state"
    folder, number = states_folder(model_id), 1
    path = folder / f"{plain}.safetensors"
    while path.exists():
        number += 1
        path = folder / f"{plain}-{number}.safetensors"
    return path


def read_adapter_card(path: Path) -> AdapterCard:
    """Read the card of a learnt state, and nothing of the state.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, or no learnt state.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such learnt state; check the path")
    try:
        with path.open("rb") as stream:
            size = int.from_bytes(stream.read(8), "little")
            head = json.loads(stream.read(min(size, _MAX_HEAD_BYTES)).decode("utf-8"))
        said = head.get("__metadata__", {}).get(CARD_KEY)
        if said is None:
            raise CheckpointError(
                f"{path}: expected a learnt state, got another file; choose one that uninuc learn "
                "has written"
            )
        return AdapterCard.model_validate_json(said)
    except CheckpointError:
        raise
    except (OSError, ValueError, AttributeError, RecursionError, ValidationError) as problem:
        reason = " ".join(str(problem).split())[:200]
        raise CheckpointError(
            f"{path}: the learnt state cannot be read ({reason}); get it again, or learn again"
        ) from problem


def in_words(proof: Proof) -> str:
    """What was measured, for people."""
    text = (
        f"of {proof.nuclei} nuclei kept aside, {proof.right_before} right before, "
        f"{proof.right_after} now"
    )
    if proof.deleted:
        text += (
            f"; of {proof.deleted} deleted ones, {proof.false_before} outlined before, "
            f"{proof.false_after} now"
        )
    if proof.better + proof.worse:
        text += f"; {proof.better} came out better, {proof.worse} worse"
    return (
        f"{text}; quality {proof.gain:+.3f} a correction "
        f"({100 * proof.confidence:.0f} % sure: {proof.low:+.3f} to {proof.high:+.3f})"
    )
