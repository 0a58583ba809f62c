"""A `PointDecoder` on disk: one safetensors file beside the weights whose features it reads."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError

from napari_uninuc.errors import CheckpointError
from napari_uninuc.network.checkpoint import check_names_and_shapes
from napari_uninuc.network.next_point import NextPointConfig, PointDecoder
from napari_uninuc.network.part_files import put_state, read_part, write_part

__all__ = ["POINTS_NAME", "PointsNote", "load_points", "save_points"]

POINTS_NAME = "next-point.safetensors"
"""Beside ``model.safetensors``."""
_NOTE = "uninuc-next-point"
_MOST_WEIGHTS = 50_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PointsNote:
    """What a file of a decoder says of itself.

    Attributes
    ----------
    weights : sha256 of the ``model.safetensors`` whose features it was taught to read
    config : its architecture
    licence : what it may be used for; never more than the data sets allow
    training_data : names of the data sets
    created : ISO date
    notes : how it was taught
    """

    weights: str
    config: NextPointConfig
    licence: str
    training_data: tuple[str, ...]
    created: str
    notes: str = ""


_NOTES = TypeAdapter(PointsNote)


def save_points(decoder: PointDecoder, note: PointsNote, path: Path) -> None:
    """Write a decoder in half precision, beside and renamed.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    write_part(decoder.state_dict(), _NOTE, asdict(note), path, "the decoder")


def load_points(path: Path, weights: str | None = None) -> tuple[PointDecoder, PointsNote]:
    """Read a decoder, in float32 and for evaluation.

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
            f"{path}: no decoder of next points; teach one (docs/train-your-own.md), or use "
            "another proposer"
        )
    try:
        stored, state = read_part(path, _NOTE)
        note = _checked(stored)
    except (SafetensorError, OSError, LookupError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"{path}: expected a decoder of next points, got another or a damaged file "
            f"({reason}); get it again"
        ) from error
    if weights is not None and note.weights != weights:
        raise CheckpointError(
            f"{path}: expected a decoder taught on weights {weights[:12]}, got one of "
            f"{note.weights[:12]}; teach it on these, or use another proposer"
        )
    with torch.device("meta"):
        decoder = PointDecoder(note.config)
    own = decoder.state_dict()
    check_names_and_shapes(own, state, f"{path}: ", "next-point")
    decoder = PointDecoder(note.config)
    put_state(decoder, state, path)
    return decoder, note


def _checked(stored: Any) -> PointsNote:
    """A note whose sizes can be built; ValueError otherwise."""
    try:
        note = _NOTES.validate_python(stored)
    except ValidationError as error:
        raise ValueError(error.errors(include_url=False)[0]["msg"]) from error
    config = note.config
    sizes = [*config.channels, config.stride, config.window, config.bins, config.dim, config.heads]
    sizes += [config.layers, config.mlp_dim, config.prompt_dim]
    weights = config.layers * config.dim * (6 * config.dim + 2 * config.mlp_dim)
    whole = config.window % config.stride == 0 and config.dim % (2 * config.heads) == 0
    if min(sizes) < 1 or max(sizes) > 4096 or weights > _MOST_WEIGHTS or not whole:
        raise ValueError("sizes that cannot be")
    if not 0 <= config.margin * 2 < config.window or config.margin % config.stride:
        raise ValueError("a margin that cannot be")
    return note
