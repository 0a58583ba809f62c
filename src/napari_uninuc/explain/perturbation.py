"""How much worse a classifier gets when the nuclei of a class are hidden from it.

The importance of a class is the loss with its nuclei perturbed over the loss without
(PathSegmentor, sec. 2.6.1 and equation 12). Beside it stands the same with pieces of the same shape
elsewhere: a class that covers much of a picture matters by its area alone.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_uninuc.errors import LabelsError, RecipeError
from napari_uninuc.explain.callables import Classifier, names_of, probabilities_of

__all__ = ["PERTURBATIONS", "Importance", "Perturbation", "Pictured", "importance_of", "perturbed"]

Perturbation = Literal["blurred", "mean-filled", "inpainted"]
PERTURBATIONS: tuple[str, ...] = get_args(Perturbation)

_SIGMA_PX = 8.0
_LEAST_PROBABILITY = 1e-6
"""A classifier that is quite sure has a loss that is not 0."""
_SHIFTS = 12
_REACHES = (2.0, 6.0, 18.0, 54.0)
"""Blurs by which what lies around a hole is drawn into it, the nearest first; px."""

Pixels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Pictured:
    """A picture, its objects and what it is.

    Attributes
    ----------
    name : for tables and files
    rgb : (H, W, 3) uint8
    labels : (H, W) integers, 0 background
    kinds : class of each object id; an id without one is called ``nucleus``
    truth : class of the picture, as the classifier counts them; None takes its own answer

    Raises
    ------
    LabelsError
        Labels of another size.
    """

    name: str
    rgb: Pixels
    labels: npt.NDArray[np.integer[Any]]
    kinds: Mapping[int, str]
    truth: int | None = None

    def __post_init__(self) -> None:
        if self.labels.shape != self.rgb.shape[:2]:
            raise LabelsError(
                f"{self.name}: labels must be {self.rgb.shape[:2]} (H, W) like the picture, got "
                f"{self.labels.shape}; export them at its size"
            )

    def masks(self) -> dict[str, Mask]:
        """Pixels of each class of objects that is there, by name."""
        ids = np.unique(self.labels[self.labels > 0]).tolist()
        by_kind: dict[str, list[int]] = {}
        for id_ in ids:
            by_kind.setdefault(self.kinds.get(id_, "nucleus"), []).append(id_)
        return {kind: np.isin(self.labels, found) for kind, found in sorted(by_kind.items())}


@dataclass(frozen=True, slots=True)
class Importance:
    """What a classifier makes of one class of objects.

    Attributes
    ----------
    kind : of the objects
    pictures : that hold some
    share : of their pixels
    loss, perturbed_loss : mean cross-entropy before and after
    importance : the second over the first
    elsewhere : the same where the pieces lay elsewhere in the picture: 1 is no effect
    changed : share of the pictures that are called something else afterwards
    """

    kind: str
    pictures: int
    share: float
    loss: float
    perturbed_loss: float
    importance: float
    elsewhere: float
    changed: float


def importance_of(
    classifier: Classifier,
    pictures: Iterable[Pictured],
    how: Perturbation = "blurred",
    *,
    margin_px: int = 2,
    seed: int = 0,
) -> list[Importance]:
    """Hide the objects of one class after the other, and see what the classifier says then.

    Parameters
    ----------
    classifier : asked 1 + 2 K times a picture with K classes
    pictures : read one at a time
    how : objects are blurred, painted in the mean colour of what is no object, or painted over
        with what lies around them
    margin_px : by which objects are grown first: their rim tells what they were
    seed : of the places elsewhere

    Returns
    -------
    rows : most important class first

    Raises
    ------
    RecipeError
        No such perturbation, a classifier that does not give probabilities, or a picture of a
        class that it does not know.

    Examples
    --------
    A classifier that counts red: hiding the red nucleus is what changes its mind.

    >>> import numpy as np
    >>> from napari_uninuc.explain.perturbation import Pictured, importance_of
    >>> rgb, labels = np.full((40, 60, 3), 200, np.uint8), np.zeros((40, 60), int)
    >>> labels[5:15, 5:15], labels[20:30, 30:40] = 1, 2
    >>> rgb[labels == 1], rgb[labels == 2] = (250, 60, 60), (60, 60, 250)
    >>> def redness(picture):
    ...     red = 1 / (1 + np.exp(2 - 0.04 * (picture[..., 0] > 220).sum()))
    ...     return np.array([1 - red, red])
    >>> rows = importance_of(redness, [Pictured("a", rgb, labels, {1: "red", 2: "blue"})])
    >>> [(row.kind, row.importance > 2) for row in rows]
    [('red', True), ('blue', False)]
    """
    if how not in PERTURBATIONS:
        raise RecipeError(f"how must be one of {', '.join(PERTURBATIONS)}, got {how!r}; correct it")
    rng = np.random.default_rng(seed)
    seen: dict[str, list[tuple[float, ...]]] = {}
    for picture in pictures:
        for kind, row in _of_one(classifier, picture, how, margin_px, rng):
            seen.setdefault(kind, []).append(row)
    rows = [_mean(kind, np.array(found)) for kind, found in seen.items()]
    return sorted(rows, key=lambda row: -row.importance)


def _of_one(
    classifier: Classifier,
    picture: Pictured,
    how: Perturbation,
    margin_px: int,
    rng: np.random.Generator,
) -> list[tuple[str, tuple[float, ...]]]:
    """Loss before, after and with the pieces elsewhere; share of pixels; answer changed."""
    before = probabilities_of(classifier, picture.rgb)
    names_of(classifier, len(before))
    truth = int(before.argmax()) if picture.truth is None else picture.truth
    if not 0 <= truth < len(before):
        raise RecipeError(
            f"{picture.name}: class {truth} is none of the classifier's {len(before)}; correct it"
        )
    anything = picture.labels > 0
    rows = []
    for kind, exact in picture.masks().items():
        mask = ndimage.binary_dilation(exact, iterations=margin_px) if margin_px else exact
        after = probabilities_of(classifier, perturbed(picture.rgb, mask, how, anything))
        other = _elsewhere(mask, anything, rng)
        control = probabilities_of(classifier, perturbed(picture.rgb, other, how, anything))
        losses = [_loss(answer[truth]) for answer in (before, after, control)]
        rows.append((kind, (*losses, float(exact.mean()), after.argmax() != before.argmax())))
    return rows


def _mean(kind: str, found: npt.NDArray[np.float64]) -> Importance:
    loss, after, control, share, changed = found.mean(axis=0).tolist()
    return Importance(
        kind, len(found), share, loss, after, after / loss, control / loss, float(changed)
    )


def _loss(probability: float) -> float:
    return -math.log(min(max(float(probability), _LEAST_PROBABILITY), 1 - _LEAST_PROBABILITY))


def _elsewhere(mask: Mask, anything: Mask, rng: np.random.Generator) -> Mask:
    """The mask moved, past the border and in again, to where it meets the fewest objects."""
    shifts = rng.integers(0, mask.shape, (_SHIFTS, 2)).tolist()
    moved = [np.roll(mask, shift, (0, 1)) for shift in shifts]
    return min(moved, key=lambda each: int((each & anything).sum()))


def perturbed(rgb: Pixels, mask: Mask, how: Perturbation, anything: Mask | None = None) -> Pixels:
    """Hide what a mask covers: (H, W, 3) uint8; the rest is as it was.

    Parameters
    ----------
    rgb : (H, W, 3) uint8
    mask : (H, W) bool
    how : one of `PERTURBATIONS`
    anything : (H, W) bool, pixels of any object, which lend no colour to what is filled; None is
        the mask alone
    """
    if not mask.any():
        return rgb.copy()
    values = rgb.astype(np.float64)
    lends = ~mask if anything is None else ~(mask | anything)
    if not lends.any():  # objects all over: the rest of the picture has to lend
        lends = ~mask if not mask.all() else np.ones_like(mask)
    if how == "blurred":
        filled = ndimage.gaussian_filter(values, (_SIGMA_PX, _SIGMA_PX, 0))
    elif how == "mean-filled":
        filled = np.broadcast_to(values[lends].mean(axis=0), values.shape)
    else:
        filled = _drawn_in(values, lends)
    hidden = rgb.copy()
    hidden[mask] = filled[mask].round().clip(0, 255).astype(np.uint8)
    return hidden


def _drawn_in(values: npt.NDArray[np.float64], lends: Mask) -> npt.NDArray[np.float64]:
    """Colours of what lies around, each place from as near as there is any."""
    filled = np.broadcast_to(values[lends].mean(axis=0), values.shape).copy()
    left = ~lends
    for reach in _REACHES:
        weight = ndimage.gaussian_filter(lends.astype(np.float64), reach)
        near = left & (weight > 0.01)
        for channel in range(values.shape[2]):
            drawn = ndimage.gaussian_filter(values[..., channel] * lends, reach)
            filled[near, channel] = drawn[near] / weight[near]
        left &= ~near
    return filled
