"""What a run keeps on disk to go on from: written whole or not at all, and checked when read."""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from napari_uninuc.errors import CheckpointError

__all__ = ["CHECKPOINT_NAME", "checked_time", "resuming", "save_state"]

CHECKPOINT_NAME = "checkpoint.pt"
_DAMAGED = (
    *(pickle.UnpicklingError, EOFError, RuntimeError, LookupError, ValueError, OSError),
    *(TypeError, AttributeError, ArithmeticError, AssertionError),
)
"""What PyTorch raises for files that are no checkpoint, or another one."""


def save_state(output: Path, state: dict[str, Any]) -> None:
    """Write ``checkpoint.pt`` into a run's folder, beside and renamed."""
    partial = output / f"{CHECKPOINT_NAME}.partial"
    torch.save(state, partial)
    partial.replace(output / CHECKPOINT_NAME)


@contextmanager
def resuming(output: Path, device: torch.device, steps: int) -> Iterator[dict[str, Any]]:
    """Give the state of an earlier run of at most ``steps``; what fails inside is its fault.

    Raises
    ------
    CheckpointError
        No checkpoint, a damaged one, one of another recipe, or one that is farther.
    """
    path = output / CHECKPOINT_NAME
    if not path.is_file():
        raise CheckpointError(f"{path}: nothing to resume; start without --resume")
    try:
        state = torch.load(path, map_location=device, weights_only=True)
        yield state
    except _DAMAGED as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"{path}: no checkpoint of this recipe ({type(error).__name__}: {reason}); "
            "start without --resume in another output folder"
        ) from error
    if state["step"] > steps:
        raise CheckpointError(
            f"{path}: expected at most {steps} steps, as in the recipe, got "
            f"{state['step']}; raise steps in the recipe"
        )


def checked_time(step: object, seconds: object) -> tuple[int, float]:
    """Steps and seconds so far; ValueError where they cannot be."""
    if type(step) is not int or step < 0:
        raise ValueError("the number of steps is none")
    if not isinstance(seconds, float | int) or not 0 <= seconds < math.inf:
        raise ValueError("the seconds are none")
    return step, float(seconds)
