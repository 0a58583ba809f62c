"""A training run, whatever it teaches, as commands see it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import torch

from napari_uninuc.datasets.numbering import look_at
from napari_uninuc.errors import RecipeError
from napari_uninuc.network.uninuc import UniNuc
from napari_uninuc.training.corrections import CorrectionTrainer
from napari_uninuc.training.dense import DenseTrainer
from napari_uninuc.training.initialise import Beginning
from napari_uninuc.training.log import Progress
from napari_uninuc.training.loop import Trainer
from napari_uninuc.training.points import PointTrainer
from napari_uninuc.training.ranks import ALONE, Ranks
from napari_uninuc.training.recipe import TrainRecipe

__all__ = ["TrainingRun", "begin"]


class TrainingRun(Protocol):
    """Moves a model to its recipe's last step.

    Attributes
    ----------
    recipe : what was asked for
    began : what it started from
    step, seconds : steps done and time spent, over all sittings
    output : folder of checkpoint and log
    """

    recipe: TrainRecipe
    began: Beginning
    step: int
    seconds: float
    output: Path

    @property
    def learnt(self) -> UniNuc:
        """The weights to keep."""
        ...

    def run(self, progress: Progress | None = None) -> None:
        """Train to the last step, writing ``log.csv`` and ``checkpoint.pt`` on the way."""
        ...


def begin(
    recipe: TrainRecipe,
    device: torch.device,
    *,
    resume: bool = False,
    smoke: bool = False,
    ranks: Ranks = ALONE,
    tell: Callable[[str], None] = lambda _: None,
) -> TrainingRun:
    """Prepare the run that a recipe asks for: of the whole network, or of one part beside it.

    Parameters
    ----------
    resume : go on from the output folder's checkpoint
    smoke : the recipe was made small, and its few pictures may lack a class
    ranks : the processes that share the run; they must have joined
    tell : takes what is odd about the labels, a line each

    Raises
    ------
    RecipeError, CheckpointError, DatasetError
        The recipe does not fit the architecture, its weights, its checkpoint or its data; or
        labels mark nuclei without numbering them.
    """
    for spec in recipe.datasets:
        for remark in look_at(spec).remarks():
            tell(f"{spec.path}: {remark}")
    for part in ("corrections", "next_point", "dense"):
        if getattr(recipe, part) is not None and ranks.count > 1:
            raise RecipeError(
                f"{part}: expected one process, got {ranks.count}; run it without torchrun"
            )
    if recipe.corrections is not None:
        return CorrectionTrainer(recipe, recipe.corrections, device, resume=resume, smoke=smoke)
    if recipe.next_point is not None:
        return PointTrainer(recipe, recipe.next_point, device, resume=resume, smoke=smoke)
    if recipe.dense is not None:
        return DenseTrainer(recipe, recipe.dense, device, resume=resume, smoke=smoke)
    return Trainer(recipe, device, resume=resume, smoke=smoke, ranks=ranks)
