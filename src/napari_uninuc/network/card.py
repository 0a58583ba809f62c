"""The card of a model: what it is, what it was taught, what it may be used for.

A card is ``card.toml`` beside ``model.safetensors``. TOML has no null: a value that is not known
(micrometres per pixel, training hours) is left out.
"""

from __future__ import annotations

import hashlib
import math
import os
import reprlib
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from datetime import date
from pathlib import Path
from typing import Annotated, ClassVar, Literal, get_args

import tomli_w
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from napari_uninuc.errors import CheckpointError, OutputError
from napari_uninuc.network.config import PRESETS, PyramidConfig, preset

CARD_NAME = "card.toml"
WEIGHTS_NAME = "model.safetensors"
DEFAULT_SCORE_THRESHOLD = 0.4
"""Until ``uninuc evaluate`` on validation images says better; scores are taught to be the IoU."""
ProposerName = Literal[
    "detector", "peaks", "both", "ais", "apg", "grid", "next-point", "detector+next-point"
]
DecodingName = Literal["local", "whole"]
"""Masks from a window around the prompt, or from all that was encoded at once."""
PROPOSERS: tuple[str, ...] = get_args(ProposerName)
"""Where automatic prompts come from; `napari_uninuc.engine.proposers` says how."""
ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._+-]*$"
"""Ids are typed in commands and name folders: no spaces, no slashes."""

_LEAST = 1e-3
_MAX_CARD_BYTES = 2**16  # tomllib takes time with the square of nested tables
_SHORT = reprlib.Repr()
"""Says what was got in one short line, however much it was."""
_SHORT.maxstring = _SHORT.maxother = 100

_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Mean = Annotated[float, Field(allow_inf_nan=False)]
_Word = Annotated[str, Field(min_length=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageNote:
    """Where the text embeddings come from that the weights carry (appendix A.1).

    Attributes
    ----------
    encoder : which text encoder made them, with its version
    dim : their width
    texts : what each stands for; no encoder is needed to run the model
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    encoder: _Word
    dim: Annotated[int, Field(ge=1)]
    texts: Annotated[tuple[_Word, ...], Field(min_length=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedIou:
    """IoU that an automatic mask will have with a true nucleus, as log odds of two guesses.

    ``log odds = bias + score x log odds of the score + predicted x log odds of the predicted IoU``,
    and ``brown`` more on immunohistochemistry, fitted on labelled pictures
    (`napari_uninuc.evaluation.expected_iou`). The predicted IoU alone judges a mask for its box,
    and not whether a nucleus is there.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    bias: Annotated[float, Field(ge=-50, le=50)]
    score: Annotated[float, Field(ge=0, le=50)]
    predicted: Annotated[float, Field(ge=0, le=50)]
    brown: Annotated[float, Field(ge=-50, le=50)] = 0.0

    def of(self, score: float, predicted: float, *, brown: bool = False) -> float:
        """Expected IoU in [0, 1]; grows with both, which lie in [0, 1]."""
        odds = self.bias + self.score * log_odds(score) + self.predicted * log_odds(predicted)
        return 1 / (1 + math.exp(-odds - self.brown * brown))


def log_odds(share: float) -> float:
    """Natural log odds of a share, as if it were between 0.001 and 0.999."""
    kept = min(max(share, _LEAST), 1 - _LEAST)
    return math.log(kept / (1 - kept))


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """What travels with the weights.

    Attributes
    ----------
    id : how commands call the model
    architecture : one of `napari_uninuc.network.config.PRESETS`
    mpp : micrometres per input pixel the model was taught at; None where it knows no scale
    mean, std : of RGB in [0, 1], taken off before the network
    classes : names of the nucleus classes, in the order of class ids
    language : the language prior of the weights; None where they have none
    correction : the weights have a part that was taught what a click on an outline changes
    licence : of the weights
    commercial_use : the licences of the weights, of where they began and of all they were taught
        on allow commercial use
    attribution : who is to be named wherever the weights are offered, a line each, as those
        licences ask
    training_data : data sets the weights have seen, first ones first
    initialisation : where training began
    sha256 : of the weights file, 64 hexadecimal digits; empty where the weights are in no file
    score_threshold : in [0, 1], below which automatic nuclei are dropped by default
    logit_shift : added to every mask logit; moves outlines by a fraction of a pixel, chosen on
        validation pictures like the threshold. Clicks are obeyed whatever it is
    proposer : one of `PROPOSERS`, whichever measured best on validation pictures
    flips : automatic outlines are the mean of each field and its mirror: better, and twice the
        work
    decoding : one of `DecodingName`, as the weights were taught. "whole" is SAM 2's own way, for
        weights that must give SAM 2's masks to the last digits: nothing of them is computed in
        low precision either
    dynamic_multimask : where the single mask is unstable, give the best of SAM's three candidates
        instead, as SAM 2's predictor does by default (`network.mask_decoder.MaskDecoder.single`);
        for weights whose candidates were taught as SAM 2's were
    box_margin : input px by which boxes of a proposer are grown on each side before they become
        prompts, likewise chosen; boxes of people are taken as they are
    expected_iou : what becomes of score and predicted IoU of the detector's masks; None leaves the
        predicted IoU as it is. Those of clicks and boxes are right as they are
    learnt, learnt_sha256 : name and sha256 of the learnt state that the model is in
        (`network.adapter`); empty for the weights as they lie in their file, and so in every
        ``card.toml``
    created : date, YYYY-MM-DD
    training_hours : hours of training by us; None where not known
    metrics : measured figures by name
    notes : anything else a user should know
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    id: Annotated[str, Field(pattern=ID_PATTERN)]
    architecture: _Word
    mpp: _Positive | None = None
    mean: tuple[_Mean, _Mean, _Mean]
    std: tuple[_Positive, _Positive, _Positive]
    classes: Annotated[tuple[_Word, ...], Field(min_length=1)]
    language: LanguageNote | None = None
    correction: bool = False
    licence: _Word
    commercial_use: bool = False
    attribution: tuple[_Word, ...] = ()
    training_data: tuple[_Word, ...]
    initialisation: _Word
    sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]
    score_threshold: Annotated[float, Field(ge=0, le=1)] = DEFAULT_SCORE_THRESHOLD
    logit_shift: Annotated[float, Field(ge=-0.5, le=0.5)] = 0.0
    proposer: ProposerName = "detector"
    flips: bool = False
    decoding: DecodingName = "local"
    dynamic_multimask: bool = False
    box_margin: Annotated[float, Field(ge=0, le=8)] = 0.0
    expected_iou: ExpectedIou | None = None
    learnt: str = ""
    learnt_sha256: str = ""
    created: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    training_hours: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    notes: str = ""


_CARDS = TypeAdapter(ModelCard)
_KEYS = tuple(item.name for item in fields(ModelCard))


def use_in_words(commercial_use: bool) -> str:
    """What a licence means to somebody who wants to use a model."""
    return "free for commercial use" if commercial_use else "not for commercial use"


def card_path(folder_or_file: str | Path) -> Path:
    """Where the card of a model is: in its folder, or beside any of its files."""
    path = Path(folder_or_file)
    if path.is_dir():
        return path / CARD_NAME
    return path if path.name == CARD_NAME else path.parent / CARD_NAME


def read_card(folder_or_file: str | Path) -> ModelCard:
    """Read and check a card.

    Parameters
    ----------
    folder_or_file : model folder, its ``card.toml``, or its weights file

    Raises
    ------
    CheckpointError
        No card, not TOML, an unknown key, a missing one, or a value out of range.
    """
    path = card_path(folder_or_file)
    try:
        if path.exists() and not path.is_file():
            raise CheckpointError(f"{path}: expected a card, got no file; take it away")
        with path.open("rb") as stream:
            text = stream.read(_MAX_CARD_BYTES + 1)
        if len(text) > _MAX_CARD_BYTES:
            raise CheckpointError(
                f"{path}: expected a card of at most {_MAX_CARD_BYTES} bytes, got more; "
                "get the card again"
            )
        stored = tomllib.loads(text.decode("utf-8"))
    except CheckpointError:
        raise
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path}: no card; a model is a folder with {CARD_NAME} and {WEIGHTS_NAME}"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise CheckpointError(f"{path}: cannot read the card: {reason}") from error
    except (ValueError, RecursionError) as error:  # of TOML, and of numbers of too many digits
        raise CheckpointError(f"{path}: not valid TOML: {error}; get the card again") from error
    try:
        card = _CARDS.validate_python(stored)
    except ValidationError as error:
        raise CheckpointError(f"{path}: {_first_problem(error)}") from error
    if card.architecture not in PRESETS:
        raise CheckpointError(
            f"{path}: architecture must be one of {', '.join(PRESETS)}, got "
            f"{card.architecture!r}; a newer napari-uninuc may know it"
        )
    return card


def write_card(card: ModelCard, folder: str | Path) -> Path:
    """Write ``card.toml`` into a model folder, beside and renamed; returns its path.

    Raises
    ------
    CheckpointError
        A value that `read_card` would refuse.
    OutputError
        The folder is not there or cannot be written.
    """
    path = Path(folder) / CARD_NAME
    values = {key: value for key, value in asdict(card).items() if value is not None}
    for name in ("learnt", "learnt_sha256"):
        del values[name]
    try:
        _CARDS.validate_python(values)
    except ValidationError as error:
        raise CheckpointError(f"card of {card.id}: {_first_problem(error)}") from error
    values["metrics"] = dict(card.metrics)
    partial = path.with_name(f".{CARD_NAME}.{os.getpid()}.partial")
    try:
        partial.write_text(tomli_w.dumps(values), encoding="utf-8", newline="\n")
        os.replace(partial, path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise OutputError(
            f"{path}: cannot write the card: {error.strerror}; choose a folder you can write to"
        ) from error
    return path


def card_for_preset(name: str) -> ModelCard:
    """Card of an architecture with random weights.

    Raises
    ------
    ModelNotFoundError
        No such preset.
    """
    config = preset(name)
    return ModelCard(
        id=config.id,
        architecture=name,
        mpp=0.25 if isinstance(config.encoder, PyramidConfig) else None,
        mean=config.mean,
        std=config.std,
        classes=config.classes,
        licence="BSD-3-Clause",
        commercial_use=True,
        training_data=(),
        initialisation="random",
        sha256="",
        created=date.today().isoformat(),
        notes="Random weights: outlines mean nothing.",
    )


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, 64 hexadecimal digits.

    Raises
    ------
    CheckpointError
        The file cannot be read.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise CheckpointError(f"{path}: expected a file, got a pipe or a device; check the path")
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot read: {error.strerror}; check the path") from error


def _first_problem(error: ValidationError) -> str:
    """Say the first validation error on one line, and how many more there are."""
    problems = error.errors(include_url=False)
    first = problems[0]
    key = ".".join(str(part) for part in first["loc"])[:200]
    if first["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        text = f"unknown key {key!r}; expected only {', '.join(_KEYS)}"
    elif first["type"] in ("missing", "missing_keyword_only_argument"):
        text = f"{key}: expected a value, got none; add it"
    else:
        text = f"{key}: {first['msg']}, got {_SHORT.repr(first['input'])}; correct it"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return " ".join(f"{text}{more}".split())
