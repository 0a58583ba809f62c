"""Recipes of runs that take seconds, and how to stop them."""

from pathlib import Path

from napari_uninuc.datasets.recipes import DatasetSpec
from napari_uninuc.training.recipe import (
    CropsSection,
    OptimiserSection,
    PromptsSection,
    TrainRecipe,
)


def recipe_of(nuclei: Path, output: Path, **changes) -> TrainRecipe:
    """Four steps of two crops of 64 px; ``changes`` are values of the recipe."""
    values = {
        "architecture": "uninuc-n",
        "output": output,
        "steps": 4,
        "checkpoint_every": 2,
        "datasets": (DatasetSpec(name="discs", path=nuclei),),
        "crops": CropsSection(size=64, batch=2, workers=0),
        "prompts": PromptsSection(nuclei_per_crop=2, corrections=2),
        "optimiser": OptimiserSection(warmup_steps=2),
    }
    return TrainRecipe(**{**values, **changes})


class Interrupted(Exception):
    pass


def stop_after(steps: int):
    def progress(step: int, _total: int, _log: dict[str, float]) -> None:
        if step > steps:
            raise Interrupted

    return progress
