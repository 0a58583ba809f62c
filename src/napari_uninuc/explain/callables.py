"""Classifiers of pictures as plain functions, whatever made them."""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from napari_uninuc.errors import RecipeError

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "Classifier",
    "ReadableClassifier",
    "classifier_named",
    "names_of",
    "of_torch",
    "probabilities_of",
]

_SUM_SLACK = 1e-3


class Classifier(Protocol):
    """Any function from a picture to probabilities; an attribute ``classes`` may name them."""

    def __call__(self, rgb: npt.NDArray[np.uint8], /) -> npt.NDArray[np.floating[Any]]:
        """Probability of each class, (C,), of a picture (H, W, 3) uint8."""
        ...


@runtime_checkable
class ReadableClassifier(Protocol):
    """A classifier whose last step is linear: logits are the mean of its features times weights.

    Attributes
    ----------
    weights : (C, D), of each class
    """

    weights: npt.NDArray[np.floating[Any]]

    def features(self, rgb: npt.NDArray[np.uint8], /) -> npt.NDArray[np.floating[Any]]:
        """Features (D, h, w) of a picture (H, W, 3) uint8, from corner to corner."""
        ...


def names_of(classifier: Classifier, count: int) -> tuple[str, ...]:
    """Names of its ``count`` classes; their numbers where it does not say.

    Raises
    ------
    RecipeError
        It names more or fewer.
    """
    names = tuple(str(each) for each in getattr(classifier, "classes", range(count)))
    if len(names) != count:
        raise RecipeError(
            f"the classifier names {len(names)} classes and gives {count} probabilities; "
            "correct its classes"
        )
    return names


def probabilities_of(classifier: Classifier, rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Ask a classifier and check what it says: (C,) float64 that sums to 1.

    Raises
    ------
    RecipeError
        It does not answer with probabilities of two classes or more.
    """
    answer = np.asarray(classifier(rgb), np.float64)
    likely = answer.ndim == 1 and len(answer) > 1 and bool(np.isfinite(answer).all())
    if not likely or answer.min() < -_SUM_SLACK or abs(answer.sum() - 1) > _SUM_SLACK:
        raise RecipeError(
            "the classifier must answer with probabilities (C,) that sum to 1, got "
            f"{answer.shape} with sum {float(answer.sum()):.3g}; apply a softmax"
        )
    clipped: npt.NDArray[np.float64] = answer.clip(0) / answer.clip(0).sum()
    return clipped


def classifier_named(name: str) -> Classifier:
    """Import ``package.module:name`` or ``file.py:name``: code that you trust, it is run.

    Raises
    ------
    RecipeError
        No such module, file or name in it, or not a function.
    """
    place, _, attribute = name.rpartition(":")
    if not place or not attribute:
        raise RecipeError(
            f"classifier must be MODULE:NAME or FILE.py:NAME, got {name!r}; name a function"
        )
    module = _module(place)
    found: Classifier | None = getattr(module, attribute, None)
    if not callable(found):
        raise RecipeError(f"{place}: expected a function {attribute}, got none; correct the name")
    return found


def _module(place: str) -> ModuleType:
    try:
        if not place.endswith(".py"):
            return importlib.import_module(place)
        path = Path(place).resolve()
        spec = importlib.util.spec_from_file_location(path.stem, path)
        if spec is None or spec.loader is None or not path.is_file():
            raise ImportError("no such file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module  # dataclasses in it look themselves up
        spec.loader.exec_module(module)
    except ImportError as problem:
        raise RecipeError(f"{place}: cannot be imported ({problem}); correct the path") from problem
    return module


def of_torch(
    model: "nn.Module",
    classes: Sequence[str],
    mean: Sequence[float] = (0.0, 0.0, 0.0),
    std: Sequence[float] = (1.0, 1.0, 1.0),
) -> Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.floating[Any]]]:
    """Make a classifier of a torch model of pictures (1, 3, H, W) -> logits (1, C).

    Parameters
    ----------
    model : set to evaluation, and used where its parameters lie
    classes : names
    mean, std : taken off RGB in [0, 1] first
    """
    import torch

    model.eval()

    def ask(rgb: npt.NDArray[np.uint8], /) -> npt.NDArray[np.floating[Any]]:
        first = next(model.parameters(), torch.zeros(1))
        image = torch.from_numpy(np.ascontiguousarray(rgb)).to(first.device).float() / 255
        image = (image - image.new_tensor(mean)) / image.new_tensor(std)
        with torch.inference_mode():
            logits = model(image.permute(2, 0, 1)[None])
        likely: npt.NDArray[np.floating[Any]] = torch.softmax(logits[0].float(), 0).cpu().numpy()
        return likely

    ask.classes = tuple(classes)  # type: ignore[attr-defined]
    return ask
