"""A `DenseDecoder` on disk: one file beside the weights whose features it reads."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from torch import Tensor

from napari_uninuc.errors import CheckpointError
from napari_uninuc.network.checkpoint import check_names_and_shapes
from napari_uninuc.network.dense_decoder import KNOWN_MAPS, DenseConfig, DenseDecoder
from napari_uninuc.network.part_files import put_state, read_part, write_part

__all__ = [
    "DISTANCES_NAME",
    "SEMANTIC_NAME",
    "WORDS_NAME",
    "DenseNote",
    "StoredDense",
    "file_name_of",
    "is_dense_file",
    "load_dense",
    "save_dense",
]

DISTANCES_NAME = "distances.safetensors"
SEMANTIC_NAME = "semantic.safetensors"
WORDS_NAME = "words.safetensors"
"""Beside ``model.safetensors``, by what a decoder paints; see `file_name_of`."""
_NOTE = "uninuc-dense"
_TEXTS = "texts"
_MOST_CHANNELS = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseNote:
    """What a file of a decoder says of itself.

    Attributes
    ----------
    weights : sha256 of the ``model.safetensors`` whose features it was taught to read
    config : its architecture
    licence : what it may be used for; never more than the data sets allow
    training_data : names of the data sets
    created : ISO date
    notes : how it was taught
    encoder : which text encoder made ``texts`` of the file; empty without words
    names : objects that can be asked for by word, in the order of ``texts``
    region : what texts say of where the pictures are from; empty for nothing
    """

    weights: str
    config: DenseConfig
    licence: str
    training_data: tuple[str, ...]
    created: str
    notes: str = ""
    encoder: str = ""
    names: tuple[str, ...] = ()
    region: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class StoredDense:
    """A decoder that was read, in float32 and for evaluation.

    Attributes
    ----------
    decoder : on the CPU at first
    note : what its file says
    texts : (T, L, D) float32, what the text encoder made of each of ``note.names``
    """

    decoder: DenseDecoder
    note: DenseNote
    texts: Tensor


_NOTES = TypeAdapter(DenseNote)


def file_name_of(config: DenseConfig) -> str:
    """How the file of a decoder is called beside the weights."""
    if config.words is not None:
        return WORDS_NAME
    return SEMANTIC_NAME if config.classes else DISTANCES_NAME


def save_dense(
    decoder: DenseDecoder, note: DenseNote, path: Path, texts: Tensor | None = None
) -> None:
    """Write a decoder in half precision, beside and renamed.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    state = dict(decoder.state_dict())
    if texts is not None:
        state[_TEXTS] = texts
    write_part(state, _NOTE, asdict(note), path, "the dense decoder")


def is_dense_file(path: Path) -> bool:
    """Whether a file says that it holds a dense decoder; no file is no error."""
    try:
        read_part(path, _NOTE)
    except (SafetensorError, OSError, LookupError, ValueError, TypeError):
        return False
    return True


def load_dense(path: Path, weights: str | None = None) -> StoredDense:
    """Read a decoder.

    Parameters
    ----------
    weights : sha256 of the weights whose features it will read; None takes any

    Raises
    ------
    CheckpointError
        No such file, damaged, of another kind, or taught on other weights.
    """
    if not path.is_file():
        raise CheckpointError(
            f"{path}: no dense decoder; teach one (docs/train-your-own.md), or check the path"
        )
    try:
        stored, state = read_part(path, _NOTE)
        note = _checked(stored)
    except (SafetensorError, OSError, LookupError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"{path}: expected a dense decoder, got another or a damaged file ({reason}); get it "
            "again"
        ) from error
    if weights is not None and note.weights != weights:
        raise CheckpointError(
            f"{path}: expected a decoder taught on weights {weights[:12]}, got one of "
            f"{note.weights[:12]}; teach it on these"
        )
    texts = state.pop(_TEXTS, torch.zeros(0, 0, 0)).float()
    words = note.config.words
    if words is not None and (texts.ndim != 3 or len(texts) != len(note.names)):
        raise CheckpointError(f"{path}: has no text for each of its names; get it again")
    with torch.device("meta"):
        own = DenseDecoder(note.config).state_dict()
    check_names_and_shapes(own, state, f"{path}: ", "dense decoder")
    decoder = DenseDecoder(note.config)
    put_state(decoder, state, path)
    return StoredDense(decoder, note, texts)


def _checked(stored: Any) -> DenseNote:
    """A note whose sizes can be built; ValueError otherwise."""
    try:
        note = _NOTES.validate_python(stored)
    except ValidationError as error:
        raise ValueError(error.errors(include_url=False)[0]["msg"]) from error
    config, words = note.config, note.config.words
    sizes = [*config.channels, config.width]
    if words is not None:
        sizes += [words.text_dim, words.queries, words.heads, words.layers]
    if len(config.channels) < 2 or min(sizes) < 1 or max(sizes) > _MOST_CHANNELS:
        raise ValueError("sizes that cannot be")
    if not 0 <= config.auxiliary <= _MOST_CHANNELS or len(config.classes) > _MOST_CHANNELS:
        raise ValueError("sizes that cannot be")
    if words is not None and (config.width % words.heads or words.layers > 64):
        raise ValueError("sizes that cannot be")
    if set(config.maps) - set(KNOWN_MAPS) or len(set(config.classes)) < len(config.classes):
        raise ValueError("names that cannot be")
    return note
