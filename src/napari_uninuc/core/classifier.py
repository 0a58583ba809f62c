"""Classes told by examples: a shrunken linear discriminant that knows how sure it is."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logsumexp, softmax

from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.errors import LabelsError

__all__ = [
    "Classifier",
    "Examples",
    "Scale",
    "Taught",
    "left_out",
    "next_to_ask",
    "ranked_by_likeness",
]

Rows = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]

_SHRINKAGE = 0.8
"""Towards equal variances: best of five at 100 examples a class on CoNSeP's training
tiles, and level with the best at 20."""
_FOLDS = 5
_TEMPERATURES = np.geomspace(0.5, 500.0, 80)


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """What is usual for nuclei, feature by feature: so that features can be weighed alike.

    Attributes
    ----------
    count : nuclei looked at
    mean, spread : (D,) float64
    """

    count: int
    mean: npt.NDArray[np.float64]
    spread: npt.NDArray[np.float64]

    @classmethod
    def of(cls, features: Rows) -> Self:
        """Of all nuclei of a picture, (N, D), with or without a class; N of 1 or more."""
        wide = features.astype(np.float64)
        return cls(len(wide), wide.mean(axis=0), wide.std(axis=0))

    def joined(self, other: Self) -> Self:
        """Of the nuclei of both."""
        count = self.count + other.count
        share = other.count / count
        step = other.mean - self.mean
        within = (1 - share) * self.spread**2 + share * other.spread**2
        spread = np.sqrt(within + share * (1 - share) * step**2)
        return type(self)(count, self.mean + share * step, spread)

    def apply(self, features: Rows) -> npt.NDArray[np.float64]:
        """Spreads from the mean, (N, D); 0 where a feature never differs."""
        measured: npt.NDArray[np.float64] = (features - self.mean) * self.steps
        return measured

    @property
    def steps(self) -> npt.NDArray[np.float64]:
        """Spreads in a unit of each feature, (D,); 0 where it never differs."""
        steps: npt.NDArray[np.float64] = np.divide(
            1.0, self.spread, out=np.zeros_like(self.spread), where=self.spread > 1e-9
        )
        return steps


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Nuclei whose class a person has said.

    Attributes
    ----------
    features : (N, D) float32
    classes : (N,) int64, places in ``names``
    names : of the classes

    Raises
    ------
    LabelsError
        Not one class a row, a class without a name, or features that are not finite.
    """

    features: Rows
    classes: Ids
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.features.ndim != 2 or self.classes.shape != self.features.shape[:1]:
            raise LabelsError(
                f"examples need one class a row, got {self.features.shape} and "
                f"{self.classes.shape}; give both for the same nuclei"
            )
        if self.classes.size and not 0 <= self.classes.min() <= self.classes.max() < len(
            self.names
        ):
            raise LabelsError(f"examples have classes without a name; {len(self.names)} are named")
        if not np.isfinite(self.features).all():
            raise LabelsError("examples must be finite numbers, got NaN or infinity")

    def __len__(self) -> int:
        """How many."""
        return len(self.classes)

    @property
    def present(self) -> Ids:
        """Classes that have an example, ascending."""
        return np.unique(self.classes)

    def only(self, names: Collection[str]) -> Self:
        """Those of classes of these names."""
        kept = np.array([self.names[k] in names for k in self.classes], np.bool_)
        named = tuple(name for name in self.names if name in names)
        classes = [named.index(self.names[k]) for k in self.classes[kept]]
        return type(self)(self.features[kept], np.array(classes, np.int64), named)

    def renamed(self, called: Mapping[str, str]) -> Self:
        """Those of classes that are called otherwise now; classes of one name become one."""
        every = [called.get(name, name) for name in self.names]
        names = tuple(dict.fromkeys(every))
        places = np.array([names.index(name) for name in every], dtype=np.int64)
        return type(self)(self.features, places[self.classes], names)

    def joined(self, other: Self) -> Self:
        """Both, classes told apart by their names; what is in both counts once."""
        names = tuple(dict.fromkeys((*self.names, *other.names)))
        places = np.array([names.index(name) for name in other.names], dtype=np.int64)
        classes = places[other.classes]
        known = set(zip(self._keys(), self.classes.tolist(), strict=True))
        keys = zip(other._keys(), classes.tolist(), strict=True)
        new = np.array([key not in known for key in keys], np.bool_)
        return type(self)(
            np.concatenate([self.features, other.features[new]]),
            np.concatenate([self.classes, classes[new]]),
            names,
        )

    def _keys(self) -> list[bytes]:
        return [row.tobytes() for row in self.features]


@dataclass(frozen=True, slots=True, eq=False)
class Classifier:
    """A linear map from features to how likely each class is.

    Attributes
    ----------
    names : (C) of the classes it tells apart
    weights : (D, C) float64, of features as they come
    bias : (C,) float64

    Examples
    --------
    >>> import numpy as np
    >>> from napari_uninuc.core.classifier import Classifier, Examples, Scale
    >>> features = np.array([[0, 0], [1, 0], [9, 1], [10, 1]], np.float32)
    >>> told = Examples(features[[0, 3]], np.array([0, 1]), ("small", "large"))
    >>> classifier = Classifier.learnt(told, Scale.of(features))
    >>> classifier.probabilities(features).argmax(axis=1).tolist()
    [0, 0, 1, 1]
    """

    names: tuple[str, ...]
    weights: npt.NDArray[np.float64]
    bias: npt.NDArray[np.float64]

    @classmethod
    def learnt(cls, examples: Examples, scale: Scale) -> Self:
        """Learn from examples: linear discriminants, the covariance shrunk (Friedman 1989).

        Classes are taken to be equally common. How sure it is was measured on examples left out
        (temperature scaling, Guo et al. 2017).

        Parameters
        ----------
        examples : of two classes or more; of one that has none, nothing is said
        scale : of the pictures they are from

        Raises
        ------
        LabelsError
            Fewer than two classes have examples.
        """
        present = examples.present
        if len(present) < 2:
            raise LabelsError(
                f"classes are learnt from examples of two classes or more, got {len(present)}; "
                "give an example of another"
            )
        rows, place = scale.apply(examples.features), np.searchsorted(present, examples.classes)
        basis, rows = _compact(rows)
        width = len(scale.mean)
        weights, bias = _discriminants(rows, place, len(present), width)
        logits, truth = _folded(rows, place, len(present), width)
        heat = _temperature(logits, truth) if len(truth) else _guessed(rows @ weights + bias)
        weights, bias = scale.steps[:, None] * (basis @ weights) / heat, bias / heat
        names = tuple(examples.names[k] for k in present)
        return cls(names, weights, bias - scale.mean @ weights)

    def probabilities(self, features: Rows) -> npt.NDArray[np.float64]:
        """How likely each class is, (N, C), rows sum to 1."""
        likely: npt.NDArray[np.float64] = softmax(features @ self.weights + self.bias, axis=1)
        return likely


@dataclass(frozen=True, slots=True, eq=False)
class Taught:
    """A classifier ready for use.

    Attributes
    ----------
    classifier : tells classes apart
    palette : its classes with their colours, in the order of ``classifier.names``
    """

    classifier: Classifier
    palette: ClassPalette


def _discriminants(
    rows: npt.NDArray[np.float64], place: npt.NDArray[np.intp], n_classes: int, width: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Weights (d, C) and bias (C,) of classes 0..C-1, each of which has a row of ``rows`` (N, d).

    The common covariance is shrunk towards the same variance in all ``width`` features, of which
    ``rows`` hold what varies. A class with few rows is taken to vary as all nuclei do: by 1.
    """
    means = np.stack([rows[place == k].mean(axis=0) for k in range(n_classes)])
    rest = rows - means[place]
    count = len(rows)
    usual = (float((rest**2).sum()) / width + n_classes) / count
    spread = (1 - _SHRINKAGE) / count * (rest.T @ rest)
    spread[np.diag_indices(len(spread))] += _SHRINKAGE * usual
    weights = np.linalg.solve(spread, means.T)
    return weights, -0.5 * (means.T * weights).sum(axis=0)


def _compact(
    rows: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """An orthonormal basis (D, d) of what rows (N, D) span, and the rows in it (N, d)."""
    basis, inner = np.linalg.qr(rows.T)
    return basis, inner.T


def _folded(
    rows: npt.NDArray[np.float64], place: npt.NDArray[np.intp], n_classes: int, width: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.intp]]:
    """Logits of rows that had no part in learning, and their classes; single examples stay in."""
    logits, truth = [np.zeros((0, n_classes))], [np.zeros(0, np.intp)]
    fold = np.zeros(len(place), np.int64)
    for k in range(n_classes):
        of_class = np.flatnonzero(place == k)
        fold[of_class] = np.arange(len(of_class)) % _FOLDS if len(of_class) > 1 else -1
    for out in (fold == number for number in range(_FOLDS)):
        if not out.any():
            continue
        weights, bias = _discriminants(rows[~out], place[~out], n_classes, width)
        logits.append(rows[out] @ weights + bias)
        truth.append(place[out])
    return np.concatenate(logits), np.concatenate(truth)


def _temperature(logits: npt.NDArray[np.float64], truth: npt.NDArray[np.intp]) -> float:
    """What to divide logits by so that they are as sure as they are right.

    A few examples that all came out right prove little: one more of every class counts as seen.
    """
    wide = _TEMPERATURES[:, None, None]
    lost = -(logits / wide - logsumexp(logits / wide, axis=2, keepdims=True))
    own = np.take_along_axis(lost, truth[None, :, None], axis=2).sum(axis=(1, 2))
    doubt = lost.mean(axis=(1, 2)) * logits.shape[1]
    return float(_TEMPERATURES[int(np.argmin(own + doubt))])


def _guessed(logits: npt.NDArray[np.float64]) -> float:
    """A temperature where no example can be left out: of its own class it is 0.88 sure."""
    best = np.sort(logits, axis=1)
    return max(float((best[:, -1] - best[:, -2]).mean()) / 2, 1e-9)


def left_out(examples: Examples, scale: Scale) -> npt.NDArray[np.int64]:
    """What examples are taken for that had no part in learning: (C, C), said x taken for.

    Rows and columns are those of ``examples.names``; a class with a single example has an empty
    row, for nothing would be left to know it by.
    """
    present = examples.present
    table = np.zeros((len(examples.names),) * 2, np.int64)
    if len(present) > 1:
        _, rows = _compact(scale.apply(examples.features))
        place = np.searchsorted(present, examples.classes)
        logits, truth = _folded(rows, place, len(present), len(scale.mean))
        np.add.at(table, (present[truth], present[logits.argmax(axis=1)]), 1)
    return table


def next_to_ask(
    features: Rows,
    probabilities: npt.NDArray[np.float64],
    scale: Scale,
    told: npt.NDArray[np.bool_],
    count: int,
) -> list[int]:
    """Choose nuclei whose class would teach most: in doubt, and unlike what is known already.

    Parameters
    ----------
    features, probabilities : (N, D) and (N, C) of all nuclei
    told : (N,) which of them are examples
    count : how many to choose at most

    Returns
    -------
    places : in order; each was chosen as if those before it were known
    """
    open_ = np.flatnonzero(~told)
    if open_.size == 0:
        return []
    best = np.sort(probabilities[open_], axis=1)
    doubt = 1 - (best[:, -1] - best[:, -2])
    keen = open_[np.argsort(-doubt, kind="stable")[: max(20 * count, 200)]]
    worth = dict(zip(open_.tolist(), doubt.tolist(), strict=True))
    rows = scale.apply(features[keen])
    known = scale.apply(features[told])
    gap = _gaps(rows, known) if len(known) else np.full(len(rows), float(rows.shape[1]))
    value = np.array([worth[k] for k in keen.tolist()])
    chosen: list[int] = []
    for _ in range(min(count, len(keen))):
        place = int(np.argmax(value * np.sqrt(gap)))
        chosen.append(int(keen[place]))
        value[place] = -1.0
        gap = np.minimum(gap, _gaps(rows, rows[place : place + 1]))
    return chosen


def _gaps(rows: npt.NDArray[np.float64], known: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Squared distance of each row to the nearest of the known ones."""
    squares = (rows**2).sum(1)[:, None] + (known**2).sum(1)[None] - 2 * rows @ known.T
    nearest: npt.NDArray[np.float64] = np.maximum(squares.min(axis=1), 0)
    return nearest


def ranked_by_likeness(
    features: Rows, scale: Scale, like: Sequence[int], unlike: Sequence[int] = ()
) -> npt.NDArray[np.float64]:
    """How like some nuclei all are, (N,) in [0, 1]; those most like come out highest.

    Parameters
    ----------
    features : (N, D) of all nuclei of a picture
    scale : of the same
    like, unlike : places of examples and of counter-examples; none may be both

    Raises
    ------
    LabelsError
        No example.
    """
    if len(like) == 0:
        raise LabelsError("nuclei are found by examples, got none; choose one that is meant")
    rows = scale.apply(features)
    others = np.setdiff1d(np.arange(len(rows)), [*like, *unlike])
    # All nuclei together stand for what is not meant, as if their mean were one counter-example.
    rest = rows[others].mean(axis=0, keepdims=True) if others.size else rows[others]
    groups = [each for each in (rows[[*like]], rows[[*unlike]], rest) if len(each)]
    if len(groups) == 1:  # there are no others
        return np.ones(len(rows))
    place = np.repeat(np.arange(len(groups)), [len(each) for each in groups])
    basis, told = _compact(np.concatenate(groups))
    weights, bias = _discriminants(told, place, len(groups), rows.shape[1])
    logits = rows @ (basis @ weights) + bias
    ahead = logits[:, 0] - logits[:, 1:].max(axis=1)
    likeness: npt.NDArray[np.float64] = expit(ahead / max(float(np.abs(ahead).max()) / 5, 1.0))
    return likeness
