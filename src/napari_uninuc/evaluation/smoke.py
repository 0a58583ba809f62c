"""An evaluation made so small that it runs in seconds: to see that all of it is there and fits."""

from __future__ import annotations

from pathlib import Path

from napari_uninuc.evaluation.contenders import BASELINES
from napari_uninuc.evaluation.recipe import EvaluationRecipe
from napari_uninuc.network.registry import model_folders

_STAND_IN = "uninuc-n"
_NUCLEI, _CORRECTIONS = 2, 1


def made_small(recipe: EvaluationRecipe) -> tuple[EvaluationRecipe, list[str]]:
    """Keep the first picture of each data set, and few nuclei and clicks on it.

    Returns
    -------
    small, notes
        Notes say in a line each what the small run does not try.

    Raises
    ------
    DatasetError
        Data that the recipe names are not there.
    """
    changes: dict[str, object] = {
        key: tuple(spec.with_few_images(1) for spec in getattr(recipe, key))
        for key in ("datasets", "validation")
    }
    if recipe.interactive is not None:
        least = {
            "max_nuclei": min(recipe.interactive.max_nuclei or _NUCLEI, _NUCLEI),
            "corrections": min(recipe.interactive.corrections, _CORRECTIONS),
        }
        changes["interactive"] = recipe.interactive.model_copy(update=least)
    notes = []
    model = recipe.model
    if model not in BASELINES and model not in model_folders() and not Path(model).exists():
        notes.append(f"model: {model} is not there yet; tried with {_STAND_IN}")
        changes |= {"model": _STAND_IN, "chosen_by": "msa"}  # it may know other classes
    for key, instead in (("maps", "the model's own"), ("classifier", "the model's classes")):
        path = getattr(recipe, key)
        if path is not None and path.suffix and not path.exists():
            notes.append(f"{key}: {path} is not there yet; tried with {instead}")
            changes[key] = None
    return recipe.model_copy(update=changes), notes
