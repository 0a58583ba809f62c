"""Which objects speak for a class: pooled features of an object times the classifier's weights.

PathSegmentor's object-aware class activation (sec. 4.3, equations 13, 16 and 17) for classifiers
whose last step is linear. It sees features as they are; what features have taken in from beside an
object counts as the object's.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_uninuc.errors import RecipeError
from napari_uninuc.explain.callables import ReadableClassifier
from napari_uninuc.explain.perturbation import Pictured

__all__ = ["Activated", "Activation", "activation_of", "mean_activations"]

_REST = "elsewhere"

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Activated:
    """What the objects of a picture say for one of its classes.

    Attributes
    ----------
    picture : its name
    class_index : of the picture, as the classifier counts them
    by_object : of each object id
    by_kind : of each class of objects, pooled over all its pixels; ``elsewhere`` is the rest
    map : (H, W) float64, value of the object under each pixel, 0 elsewhere
    """

    picture: str
    class_index: int
    by_object: dict[int, float]
    by_kind: dict[str, float]
    map: Values


@dataclass(frozen=True, slots=True)
class Activation:
    """One class of objects over many pictures.

    Attributes
    ----------
    kind : of the objects, or ``elsewhere``
    pictures : that hold some
    activation : mean over pictures; above 0 speaks for the picture's class, below against it
    above_rest : mean difference to what is no object
    """

    kind: str
    pictures: int
    activation: float
    above_rest: float


def activation_of(classifier: ReadableClassifier, picture: Pictured) -> Activated:
    """Pool features over every object and multiply with the weights of the picture's class.

    Weights are taken relative to their mean over the classes: what speaks for all speaks for none.

    Raises
    ------
    RecipeError
        Features and weights that do not belong together.
    """
    features = np.asarray(classifier.features(picture.rgb), np.float64)
    weights = np.asarray(classifier.weights, np.float64)
    if features.ndim != 3 or weights.ndim != 2 or weights.shape[1] != len(features):
        raise RecipeError(
            f"features must be (D, h, w) and weights (C, D), got {features.shape} and "
            f"{weights.shape}; correct the classifier"
        )
    logits = weights @ features.mean(axis=(1, 2))
    truth = int(logits.argmax()) if picture.truth is None else picture.truth
    relative = weights[truth] - weights.mean(axis=0)
    says = np.tensordot(relative, features, 1)  # (h, w): pooling and weighing may change places
    at_pixels = _enlarged(says, picture.labels.shape)
    ids = np.unique(picture.labels[picture.labels > 0])
    sums = np.bincount(picture.labels.ravel(), at_pixels.ravel(), int(ids.max(initial=0)) + 1)
    areas = np.bincount(picture.labels.ravel(), minlength=len(sums))
    means = sums / np.maximum(areas, 1)
    by_kind = {kind: float(at_pixels[mask].mean()) for kind, mask in picture.masks().items()}
    outside = picture.labels == 0
    if outside.any():
        by_kind[_REST] = float(at_pixels[outside].mean())
    painted = np.where(outside, 0.0, means[picture.labels])
    return Activated(picture.name, truth, {int(k): float(means[k]) for k in ids}, by_kind, painted)


def mean_activations(found: Iterable[Activated]) -> list[Activation]:
    """Average over pictures, the class that speaks most for its picture first."""
    values: dict[str, list[tuple[float, float]]] = {}
    for one in found:
        rest = one.by_kind.get(_REST, float("nan"))
        for kind, value in one.by_kind.items():
            values.setdefault(kind, []).append((value, value - rest))
    rows = []
    for kind, pairs in values.items():
        own, above = np.array(pairs).T
        known = above[np.isfinite(above)]
        rows.append(
            Activation(
                kind, len(own), float(own.mean()), float(known.mean()) if len(known) else 0.0
            )
        )
    return sorted(rows, key=lambda row: -row.activation)


def _enlarged(values: Values, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Values (h, w) at the pixels of a picture, each pixel from the cell that holds its centre."""
    rows, columns = (
        ((np.arange(size) + 0.5) * cells / size).astype(np.int64).clip(0, cells - 1)
        for size, cells in zip(shape, values.shape, strict=True)
    )
    return values[np.ix_(rows, columns)]
