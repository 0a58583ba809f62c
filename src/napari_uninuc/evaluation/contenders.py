"""What an evaluation recipe names: a model, or one of the baselines that it has to beat."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_uninuc.errors import RecipeError
from napari_uninuc.evaluation.baselines import BoxEllipse, OtsuWatershed
from napari_uninuc.evaluation.recipe import EvaluationRecipe
from napari_uninuc.io.classifiers import Teacher, read_classifier

if TYPE_CHECKING:
    from napari_uninuc.network.cost import Cost

BASELINES: dict[str, type[OtsuWatershed] | type[BoxEllipse]] = {
    "otsu-watershed": OtsuWatershed,
    "box-ellipse": BoxEllipse,
}


def predictor_of(recipe: EvaluationRecipe) -> Any:
    """Load a recipe's model, or make its baseline; torch is imported for a model only.

    Raises
    ------
    ModelNotFoundError, CheckpointError, DeviceError
        The model cannot be loaded.
    RecipeError
        A baseline is asked for what it cannot do.
    """
    if recipe.model not in BASELINES:
        from napari_uninuc.engine.predictor import load_predictor

        predictor = load_predictor(recipe.model, device=recipe.device, adapter=recipe.adapter)
        if recipe.decoding is not None:
            predictor.engine.decoding = recipe.decoding
        if recipe.classifier is not None:
            _give_classes(predictor, recipe.classifier)
        if recipe.maps is not None:
            from napari_uninuc.network.dense_files import load_dense

            predictor.engine.distances = load_dense(recipe.maps, predictor.card.sha256)
        return predictor
    baseline = BASELINES[recipe.model]
    choices = (
        *(recipe.proposer, recipe.flips, recipe.decoding),
        *(recipe.classifier, recipe.maps, recipe.adapter),
    )
    if choices != (None,) * len(choices) or recipe.validation:
        raise RecipeError(
            f"proposer, flips, decoding, classifier, maps, adapter, validation: {recipe.model} has "
            "none of them; remove them"
        )
    kinds = () if recipe.interactive is None else recipe.interactive.kinds
    if recipe.automatic and not hasattr(baseline, "segment"):
        raise RecipeError(f"automatic: {recipe.model} answers boxes only; set automatic = false")
    if kinds and not hasattr(baseline, "predict"):
        raise RecipeError(f"interactive: {recipe.model} takes no prompts; remove the table")
    if "point" in kinds:
        raise RecipeError(f'interactive.kinds: {recipe.model} needs boxes; set kinds = ["box"]')
    return baseline()


def _give_classes(predictor: Any, classifier: Path) -> None:
    """Have nuclei classed by a classifier of clicks, or by what a dense decoder paints."""
    from napari_uninuc.engine.dense_parts import dense_source, part_path
    from napari_uninuc.engine.describing import DESCRIPTION_VERSION
    from napari_uninuc.network.dense_files import is_dense_file

    path = part_path(classifier, predictor.engine.folder)
    if is_dense_file(path):
        predictor.source = dense_source(predictor.engine, path)
        return
    teacher = Teacher(predictor.card.id, predictor.card.sha256, DESCRIPTION_VERSION)
    predictor.taught = read_classifier(path).ready_for(teacher)


def cost_of(predictor: Any) -> tuple[int | None, Cost | None]:
    """Parameters in all, and what encoding costs; None for a baseline."""
    engine = getattr(predictor, "engine", None)
    if engine is None:
        return None, None
    from napari_uninuc.network.cost import encoder_cost

    parameters = sum(part.numel() for part in engine.model.parameters())
    return parameters, encoder_cost(engine.config)
