"""``uninuc evaluate RECIPE``: doing what a recipe asks for."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.datasets.folder import LabelledImage, LabelledTile
from napari_uninuc.datasets.recipes import DatasetSpec
from napari_uninuc.evaluation.automatic import AutomaticRow, evaluate_automatic, names_of
from napari_uninuc.evaluation.contenders import cost_of, predictor_of
from napari_uninuc.evaluation.interactive import InteractiveRow, evaluate_interactive
from napari_uninuc.evaluation.recipe import EvaluationRecipe
from napari_uninuc.evaluation.report import Report
from napari_uninuc.evaluation.thresholds import THRESHOLDS, ThresholdChoice, choose_threshold

__all__ = ["run_evaluation"]

_OF_THIS_MACHINE: Any = {
    "model": True,
    "output": True,
    "datasets": {"__all__": {"path"}},
    "validation": {"__all__": {"path"}},
}
_PACKAGES = ("napari-uninuc", "torch", "numpy", "scipy", "scikit-image")


def run_evaluation(
    recipe: EvaluationRecipe, progress: Callable[[int, int], None] | None = None
) -> Report:
    """Load the model and evaluate it; writes nothing, see `report.write_report`.

    Parameters
    ----------
    progress : called with (steps done, steps in all); a step is one image by one protocol

    Raises
    ------
    DatasetError
        A data set is missing or incomplete; found before the model is loaded.
    ModelNotFoundError, CheckpointError, DeviceError
        The model cannot be loaded.
    RecipeError
        A baseline is asked for what it cannot do.
    """
    selected = [(spec, spec.images()) for spec in recipe.datasets]
    validation = recipe.validation if recipe.automatic else ()
    judged = [(spec, spec.images()) for spec in validation]
    protocols = [] if recipe.interactive is None else recipe.interactive.protocols(recipe.seed)
    predictor = predictor_of(recipe)
    steps = _n_steps(recipe, selected, len(protocols)) + sum(len(images) for _, images in judged)
    counter = _Counter(steps, progress)
    choice = None
    if judged:
        choice = replace(
            _choose_threshold(recipe, predictor, judged, counter),
            n_tested=len(_pictures(selected) & _pictures(judged)),
        )
    automatic: list[AutomaticRow] = []
    interactive: list[InteractiveRow] = []
    for spec, images in selected:
        if recipe.automatic and spec.exhaustive:
            automatic += evaluate_automatic(
                predictor,
                images,
                dataset=spec.name,
                mpp=spec.mpp,
                progress=counter.step,
                segment=_segment(recipe, predictor, None if choice is None else choice.threshold),
            )
        if protocols:
            interactive += evaluate_interactive(
                predictor, images, protocols, dataset=spec.name, mpp=spec.mpp, progress=counter.step
            )
    card = getattr(predictor, "card", None)
    parameters, encoders = cost_of(predictor)
    return Report(
        model=getattr(card, "id", None) or Path(recipe.model).name,
        model_sha256=getattr(card, "sha256", None) or "",
        settings=recipe.model_dump_json(exclude=_OF_THIS_MACHINE),
        max_nuclei=None if recipe.interactive is None else recipe.interactive.max_nuclei,
        versions=_versions(),
        automatic=tuple(automatic),
        interactive=tuple(interactive),
        parameters=parameters,
        encoder_parameters=None if encoders is None else encoders.parameters,
        encoder_gmacs=None if encoders is None else encoders.macs / 1e9,
        threshold=choice,
    )


def _pictures(sets: list[tuple[DatasetSpec, list[LabelledImage]]]) -> set[tuple[Path, str]]:
    """What tells pictures apart, wherever the folder of their data set begins."""
    return {
        (image.image_path.resolve(), image.name.rsplit("/", 1)[-1])
        for _, images in sets
        for image in images
    }


def _choose_threshold(
    recipe: EvaluationRecipe,
    predictor: Any,
    judged: list[tuple[DatasetSpec, list[LabelledImage]]],
    counter: _Counter,
) -> ThresholdChoice:
    """Segment the validation pictures once, with the lowest threshold, and try them all."""
    segment = _segment(recipe, predictor, min(THRESHOLDS))

    def segmented() -> Iterator[tuple[LabelledTile, Segmentation]]:
        for spec, images in judged:
            for image in images:
                labelled = image.read(spec.mpp)
                predictor.set_image(labelled.tile.rgb, mpp=spec.mpp)
                yield labelled, segment()

    return choose_threshold(
        segmented(),
        recipe.chosen_by,
        step=lambda: counter.step(0, 0),
        known=names_of(predictor),
    )


def _segment(
    recipe: EvaluationRecipe, predictor: Any, threshold: float | None
) -> Callable[[], Segmentation]:
    """Segment with the recipe's choices."""
    if recipe.proposer is None and recipe.flips is None and threshold is None:
        segment: Callable[[], Segmentation] = predictor.segment
        return segment
    return partial(predictor.segment, threshold, proposer=recipe.proposer, flips=recipe.flips)


class _Counter:
    """Adds up the progress of several runs."""

    def __init__(self, total: int, progress: Callable[[int, int], None] | None) -> None:
        self._total, self._progress, self._done = total, progress, 0

    def step(self, done: int, total: int) -> None:
        """Count one step; the run's own numbers are not those of the whole."""
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, self._total)


def _n_steps(
    recipe: EvaluationRecipe,
    selected: list[tuple[DatasetSpec, list[LabelledImage]]],
    n_protocols: int,
) -> int:
    return sum(
        len(images) * (n_protocols + int(recipe.automatic and spec.exhaustive))
        for spec, images in selected
    )


def _versions() -> tuple[str, ...]:
    return (f"Python {platform.python_version()}", *(f"{n} {_version(n)}" for n in _PACKAGES))


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
