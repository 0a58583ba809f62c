"""Classes of pixels against classes of the true nuclei: Dice, and its weighted mean.

PathoSAM, appendix A: the Dice of each class, weighted by how frequent the class is. Its text does
not say of what; here it is the share of the pixels of true nuclei whose class is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.datasets.folder import LabelledTile

__all__ = ["ClassPixels", "added_up", "class_pixels_of", "painted_of", "weighted_dice"]


@dataclass(frozen=True, slots=True)
class ClassPixels:
    """Pixels of one class; sums, so that images can be added.

    Attributes
    ----------
    name : of the class, as the data set has it
    true, found, both : pixels where it is, where it is said to be, and where it is both
        Pixels of nuclei whose class nobody knows count nowhere.
    """

    name: str
    true: int
    found: int
    both: int

    @property
    def dice(self) -> float:
        """In [0, 1]; NaN where it is neither there nor said to be."""
        whole = self.true + self.found
        return 2 * self.both / whole if whole else float("nan")


def weighted_dice(classes: Iterable[ClassPixels]) -> float:
    """Mean Dice of the classes that are there, weighted by their true pixels; NaN without any."""
    there = [each for each in classes if each.true]
    pixels = sum(each.true for each in there)
    return sum(each.dice * each.true for each in there) / pixels if pixels else float("nan")


def class_pixels_of(
    labelled: LabelledTile, painted: np.ndarray, names: Sequence[str]
) -> tuple[ClassPixels, ...]:
    """Count the pixels of each class that truth or model names; empty without true classes.

    Parameters
    ----------
    painted : (H, W) 0 background, 1 + place among ``names``
    names : classes that the model tells
    """
    known = labelled.classes or {}
    if not known:
        return ()
    every = sorted(set(known.values()) | set(names))
    place = {name: k for k, name in enumerate(every, start=1)}
    ids, inverse = np.unique(labelled.labels, return_inverse=True)
    of_id = [place[known[k]] if k in known else (0 if k == 0 else -1) for k in ids.tolist()]
    truth = np.array(of_id)[inverse].reshape(labelled.labels.shape)
    found = np.array([0, *(place[name] for name in names)])[painted]
    counted = truth >= 0
    pairs = truth[counted] * (len(every) + 1) + found[counted]
    table = np.bincount(pairs, minlength=(len(every) + 1) ** 2).reshape(len(every) + 1, -1)
    return tuple(
        ClassPixels(name, int(table[k].sum()), int(table[:, k].sum()), int(table[k, k]))
        for name, k in place.items()
    )


def painted_of(found: Segmentation, names: Sequence[str]) -> np.ndarray:
    """Nuclei that were outlined, painted with their classes; see `class_pixels_of`."""
    place = {name: k for k, name in enumerate(names, start=1)}
    lookup = np.zeros(int(found.labels.max(initial=0)) + 1, np.int64)
    for id_, name in zip(found.table["id"].tolist(), found.table["class"].tolist(), strict=True):
        lookup[id_] = place.get(name, 0)
    painted: np.ndarray = lookup[found.labels]
    return painted


def added_up(images: Iterable[Sequence[ClassPixels]]) -> tuple[ClassPixels, ...]:
    """Sums over images, by class in the order of its name."""
    sums: dict[str, list[int]] = {}
    for image in images:
        for each in image:
            total = sums.setdefault(each.name, [0, 0, 0])
            for k, number in enumerate((each.true, each.found, each.both)):
                total[k] += number
    return tuple(ClassPixels(name, *sums[name]) for name in sorted(sums))
