"""A recipe made so small that it runs in seconds: to see that all of it is there and fits."""

from __future__ import annotations

from pathlib import Path

from napari_uninuc.training.recipe import TrainRecipe

STEPS = 4
_BATCH, _SIDE, _IMAGES = 2, 128, 2
_NUCLEI, _CORRECTIONS = 4, 2


def made_small(recipe: TrainRecipe, folder: Path) -> tuple[TrainRecipe, list[str]]:
    """Shrink a recipe to a few steps on a few small crops of a few pictures.

    Parameters
    ----------
    folder : where the small run may write

    Returns
    -------
    small, notes
        Notes say in a line each what the small run does not try.

    Raises
    ------
    DatasetError
        Data that the recipe names are not there.
    """
    crops = {
        "batch": min(recipe.crops.batch, _BATCH),
        "workers": 0,
        "size": min(recipe.crops.size, _SIDE),
    }
    prompts = {
        "nuclei_per_crop": min(recipe.prompts.nuclei_per_crop, _NUCLEI),
        "corrections": min(recipe.prompts.corrections, _CORRECTIONS),
    }
    initial, notes = recipe.initial, []
    if isinstance(initial, Path) and not initial.is_file():
        notes.append(f"initial: {initial} is not there yet; tried with random weights")
        initial = "random"
    averaged = recipe.averaged_with
    missing = [path for path in averaged if not path.is_file()]
    if missing:
        notes.append(f"averaged_with: {missing[0]} is not there yet; tried without")
    if missing or initial == "random":
        averaged = ()
    corrections = recipe.corrections
    if corrections is not None:
        few = {"rounds": min(corrections.rounds, STEPS), "epochs": 1}
        corrections = corrections.model_copy(update=few)
    points = recipe.next_point
    if points is not None:
        if points.initial is not None:
            notes.append("next_point.initial: tried with a small new decoder")
        sizes = {"window": 64, "margin": 16, "dim": 32, "layers": 1, "windows_per_crop": 2}
        points = points.model_copy(update={**sizes, "initial": None})
    dense = recipe.dense
    if dense is not None:
        if dense.initial is not None:
            notes.append("dense.initial: tried with a small new decoder")
        dense = dense.model_copy(update={"width": 8, "crops": _BATCH, "initial": None})
    small = recipe.model_copy(
        update={
            "steps": STEPS,
            "initial": initial,
            "averaged_with": averaged,
            "output": folder / recipe.output.name,  # the model takes its id from this name
            "crops": recipe.crops.model_copy(update=crops),
            "prompts": recipe.prompts.model_copy(update=prompts),
            "corrections": corrections,
            "next_point": points,
            "dense": dense,
            "datasets": tuple(spec.with_few_images(_IMAGES) for spec in recipe.datasets),
        }
    )
    return small, notes
