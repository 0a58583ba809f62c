"""A `PointDecoder` on disk: one safetensors file beside the weights whose features it reads."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from napari_uninuc.errors import CheckpointError, OutputError
from napari_uninuc.network.checkpoint import check_names_and_shapes
from napari_uninuc.network.next_point import NextPointConfig, PointDecoder

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
    state = {
        name: value.detach().to(torch.float16).contiguous()
        for name, value in decoder.state_dict().items()
    }
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.touch()
        mode = partial.stat().st_mode
        save_file(state, str(partial), metadata={_NOTE: json.dumps(asdict(note))})
        partial.chmod(mode)
        os.replace(partial, path)
    except (OSError, SafetensorError) as error:
        with suppress(OSError):
            partial.unlink()
        raise OutputError(
            f"{path}: cannot write the decoder ({error}); choose a folder you can write to"
        ) from error


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
        with safe_open(str(path), framework="pt") as file:
            metadata: Mapping[str, str] = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        note = _checked(json.loads(metadata[_NOTE]))
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
    decoder.load_state_dict({name: value.float() for name, value in state.items()})
    if not all(bool(torch.isfinite(value).all()) for value in state.values()):
        raise CheckpointError(f"{path}: holds values that are not finite; get it again")
    return decoder.eval().requires_grad_(False), note


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
