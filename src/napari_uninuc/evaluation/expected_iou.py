"""What an automatic outline is worth: fitted on labelled pictures, kept on the model's card.

The mask decoder judges a mask for its box, so of boxes without a nucleus it expects too much; the
detector's score says how sure it is of the nucleus. Both together tell the IoU with the true one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from napari_uninuc.core.overlaps import match
from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.datasets.folder import LabelledTile
from napari_uninuc.engine.predictor import load_predictor
from napari_uninuc.engine.restain import is_immunohistochemistry
from napari_uninuc.errors import DatasetError
from napari_uninuc.evaluation.automatic import PREDICTED_IOU
from napari_uninuc.evaluation.calibration import Reliability, best_ious, calibration_of
from napari_uninuc.evaluation.recipe import EvaluationRecipe
from napari_uninuc.network.card import ExpectedIou, log_odds, write_card
from napari_uninuc.network.registry import find_model

_FEWEST = 50
"""Masks below which three numbers are not fitted."""
_PULL = 1e-4
"""Towards 0, so that a reason that never varies gets no weight."""


@dataclass(frozen=True, slots=True, eq=False)
class JudgedMasks:
    """N automatic masks and what became of them.

    Attributes
    ----------
    scores, predicted : (N,) the detector's score and the mask decoder's IoU, in [0, 1]
    true : (N,) IoU with the true nucleus that each fits best, 0 where there is none
    brown : their picture is immunohistochemistry
    """

    scores: np.ndarray
    predicted: np.ndarray
    true: np.ndarray
    brown: bool = False


@dataclass(frozen=True, slots=True)
class ExpectedIouFit:
    """A fit, and what it gives on the masks it was made with.

    Attributes
    ----------
    n_masks : of all pictures
    before, after : expected calibration error, see `CalibrationRow`
    """

    expected: ExpectedIou
    n_masks: int
    before: float
    after: float


def calibrate(
    recipe: EvaluationRecipe, progress: Callable[[int, int], None] | None = None
) -> tuple[ExpectedIouFit, Path]:
    """Fit a model's expected IoU on a recipe's data sets and write it onto the model's card.

    Parameters
    ----------
    recipe : of its data sets those that are labelled exhaustively count; none of them may be
        tested on later
    progress : called with (images done, images in all)

    Returns
    -------
    fit, card : what was fitted, and where it was written

    Raises
    ------
    DatasetError
        Nothing, or too little, to fit to.
    ModelNotFoundError, CheckpointError, DeviceError
        The model cannot be loaded.
    OutputError
        Its card cannot be written.
    """
    images = [(spec, each) for spec in recipe.datasets if spec.exhaustive for each in spec.images()]
    files = find_model(recipe.model)
    predictor = load_predictor(recipe.model, device=recipe.device)
    predictor.engine.card = replace(predictor.card, expected_iou=None)
    done = count(1)

    def judged() -> Iterator[JudgedMasks]:
        for spec, image in images:
            labelled = image.read(spec.mpp)
            predictor.set_image(labelled.tile.rgb, mpp=spec.mpp)
            yield judge(labelled, predictor.segment(flips=recipe.flips))

    def step() -> None:
        if progress is not None:
            progress(next(done), len(images))

    fit = fit_expected_iou(judged(), step)
    card = replace(files.card, expected_iou=fit.expected)
    return fit, write_card(card, files.weights_path.parent)


def judge(labelled: LabelledTile, found: Segmentation) -> JudgedMasks:
    """Compare an automatic segmentation with the labels.

    Raises
    ------
    DatasetError
        A segmentation that says no predicted IoU.
    """
    if PREDICTED_IOU not in found.table.columns:
        raise DatasetError(
            f"{labelled.tile.name}: expected a column {PREDICTED_IOU}, got none; pass what a "
            "model has segmented"
        )
    overlaps = match(labelled.labels, found.labels)
    rows = found.table.set_index("id").loc[overlaps.second_ids]
    return JudgedMasks(
        rows["score"].to_numpy(float),
        rows[PREDICTED_IOU].to_numpy(float),
        best_ious(overlaps),
        is_immunohistochemistry(labelled.tile),
    )


def fit_expected_iou(
    judged: Iterable[JudgedMasks], step: Callable[[], None] | None = None
) -> ExpectedIouFit:
    """Fit log odds of the IoU = bias + score x log odds + predicted x log odds, slopes not below 0.

    What immunohistochemistry adds is fitted where there is such a picture and another.

    Parameters
    ----------
    judged : of pictures that were not trained on; raw, not by an earlier fit
    step : called after every picture

    Raises
    ------
    DatasetError
        Fewer than 50 masks in all.
    """
    parts = []
    for one in judged:
        parts.append(one)
        if step is not None:
            step()
    scores, predicted, true = (
        np.concatenate([getattr(part, name) for part in parts] or [np.zeros(0)])
        for name in ("scores", "predicted", "true")
    )
    if len(true) < _FEWEST:
        raise DatasetError(
            f"expected at least {_FEWEST} automatic masks to fit to, got {len(true)}; name more "
            "pictures"
        )
    brown = np.concatenate([np.full(len(part.true), float(part.brown)) for part in parts])
    odds = np.stack([np.ones(len(true)), _log_odds(scores), _log_odds(predicted), brown], axis=1)
    free, positive, none = (None, None), (0.0, None), (0.0, 0.0)
    bounds = [free, positive, positive, free if 0 < brown.mean() < 1 else none]
    values = minimize(_cross_entropy, np.zeros(4), (odds, true), "L-BFGS-B", True, bounds=bounds).x
    bias, score, decoder, more = (round(value, 4) for value in values.tolist())
    expected = ExpectedIou(bias=bias, score=score, predicted=decoder, brown=more)
    after = 1 / (1 + np.exp(-odds @ values))
    return ExpectedIouFit(expected, len(true), _error(predicted, true), _error(after, true))


def _cross_entropy(
    values: np.ndarray, odds: np.ndarray, true: np.ndarray
) -> tuple[float, np.ndarray]:
    """Mean over masks, and its gradient; true IoU are taken as probabilities."""
    z = odds @ values
    loss = (np.logaddexp(0, z) - true * z).mean() + _PULL * (values**2).sum()
    gradient = odds.T @ (1 / (1 + np.exp(-z)) - true) / len(true) + 2 * _PULL * values
    return float(loss), gradient


def _log_odds(values: np.ndarray) -> np.ndarray:
    return np.array([log_odds(value) for value in values.tolist()])


def _error(predicted: np.ndarray, true: np.ndarray) -> float:
    (row,) = calibration_of([(("", "automatic", False, 0), Reliability.of(predicted, true))])
    return row.error
