"""Parts taught beside a model: one safetensors file each, with what it is as JSON in its head."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from napari_uninuc.errors import CheckpointError, OutputError

__all__ = ["put_state", "read_part", "write_part"]


def write_part(state: Mapping[str, Tensor], key: str, note: Any, path: Path, what: str) -> None:
    """Write weights in half precision with a note, beside and renamed.

    Parameters
    ----------
    key : under which the note stands, which says what kind of part it is
    note : what JSON holds
    what : how an error calls it, with its article

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    halved = {
        name: (value.half() if value.is_floating_point() else value).detach().contiguous().cpu()
        for name, value in state.items()
    }
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.touch()
        mode = partial.stat().st_mode
        save_file(halved, str(partial), metadata={key: json.dumps(note)})
        partial.chmod(mode)
        os.replace(partial, path)
    except (OSError, SafetensorError) as error:
        with suppress(OSError):
            partial.unlink()
        raise OutputError(
            f"{path}: cannot write {what} ({error}); choose a folder you can write to"
        ) from error


def read_part(path: Path, key: str) -> tuple[Any, dict[str, Tensor]]:
    """The note and the weights of a file, neither checked.

    Raises
    ------
    SafetensorError, OSError, LookupError, ValueError
        Another or a damaged file; the caller says of what.
    """
    with safe_open(str(path), framework="pt") as file:
        metadata: Mapping[str, str] = file.metadata() or {}
        note = json.loads(metadata[key])
        return note, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def put_state(part: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Put weights that fit into a part, in float32, and make it ready to be used.

    Raises
    ------
    CheckpointError
        Values that are not finite.
    """
    floating = [value for value in state.values() if value.is_floating_point()]
    if not all(bool(torch.isfinite(value).all()) for value in floating):
        raise CheckpointError(f"{path}: holds values that are not finite; get it again")
    part.load_state_dict(
        {n: value.float() if value.is_floating_point() else value for n, value in state.items()}
    )
    part.eval().requires_grad_(False)
