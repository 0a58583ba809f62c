"""Whether label pictures number nuclei, or only mark where some are.

A mask (0 and 255), a map of classes and labels that went through JPEG have one thing in common: a
number stands in many places at once. Numbers of nuclei hardly do: in eight sets of 65,000 nuclei no
picture has more than 1.07 pieces to a number. A picture of one nucleus has one piece, whatever its
number is, so it is never taken for a mask.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from skimage.measure import label as number_pieces

from napari_uninuc.datasets.recipes import FOLDER_LAYOUT, DatasetSpec
from napari_uninuc.errors import DatasetError

__all__ = ["Numbering", "look_at", "pieces_of"]

_MARKED = 4
"""Pieces to a number from which a picture cannot have numbered nuclei, and"""
_ODD = 1.5
"""from which the pictures of a set together are doubtful: a nucleus may be drawn in lobes."""
_LEAST_MORE = 3
"""More pieces than numbers that a doubt needs."""
_WHITE = 255
_MOST_LOOKED_AT = 64
_CURE = (
    "give each nucleus a number of its own, nuclei that touch drawn apart first (Python: "
    "skimage.measure.label; ImageJ: Analyze Particles, Count Masks)"
)


@dataclass(slots=True)
class Numbering:
    """How often the numbers of a data set stand in several places; `add` each label picture.

    Attributes
    ----------
    ids, pieces : numbers and connected pieces of them, over all pictures
    labelled : pictures with any label
    marked : names of the pictures with several pieces to every number
    alone : the numbers of pictures that have only one
    """

    ids: int = 0
    pieces: int = 0
    labelled: int = 0
    marked: list[str] = field(default_factory=list)
    alone: list[int] = field(default_factory=list)

    def add(self, name: str, pieces: dict[int, int]) -> None:
        """Count one picture, whose `pieces_of` its labels are given."""
        if not pieces:
            return
        total = sum(pieces.values())
        self.labelled += 1
        self.ids += len(pieces)
        self.pieces += total
        if total >= _MARKED * len(pieces):
            self.marked.append(name)
        if len(pieces) == 1:
            self.alone += pieces

    def problem(self) -> str | None:
        """Say why this cannot be trained on; None where it may."""
        if 2 * len(self.marked) < max(self.labelled, 1):
            return None
        return (
            "labels must have a number of its own for each nucleus, got "
            f"{self._what()} ({self.pieces} pieces of {self.ids} numbers in {self.labelled} "
            f"pictures, the first is {self.marked[0]}); {_CURE}"
        )

    def remarks(self) -> list[str]:
        """Say in a line each what may be wrong where `problem` has nothing to say."""
        if self.problem() is not None:
            return []
        if self.marked:
            return [
                f"{len(self.marked)} of {self.labelled} label pictures look like masks, many "
                f"pieces to a number (the first is {self.marked[0]}); {_CURE}"
            ]
        if self.pieces >= max(_ODD * self.ids, self.ids + _LEAST_MORE):
            return [
                f"labels may be masks: {self.pieces} pieces of {self.ids} numbers, each is taken "
                f"as one nucleus; if they are several, {_CURE}"
            ]
        if self.labelled and self.alone == [_WHITE] * self.labelled:
            return [
                f"every label picture has the one number {_WHITE}, as masks have, and is taken as "
                f"one nucleus; if they are several, {_CURE}"
            ]
        return []

    def _what(self) -> str:
        if len(self.alone) == self.labelled and len(set(self.alone)) == 1:
            return f"masks with the one value {self.alone[0]}"
        return "masks, numbers of classes, or labels that JPEG has changed"


def pieces_of(labels: np.ndarray) -> dict[int, int]:
    """In how many connected pieces each id lies; diagonal neighbours are one piece.

    Parameters
    ----------
    labels : (H, W) integers, 0 background
    """
    parts = number_pieces(labels, connectivity=2)
    inside = labels > 0
    pairs = np.unique(np.stack([labels[inside], parts[inside]]), axis=1)
    ids, counts = np.unique(pairs[0], return_counts=True)
    return dict(zip(ids.tolist(), counts.tolist(), strict=True))


def look_at(spec: DatasetSpec) -> Numbering:
    """Look at labels of a data set, at most 64 evenly chosen, before they are trained on.

    Public layouts are not looked at: their readers number what the owners drew.

    Raises
    ------
    DatasetError
        Labels that cannot be read, or that mark nuclei without numbering them.
    """
    numbering = Numbering()
    if spec.layout != FOLDER_LAYOUT:
        return numbering
    images = spec.images()
    for image in images[:: -(-len(images) // _MOST_LOOKED_AT)]:
        numbering.add(image.name, pieces_of(image.read_labels()))
    problem = numbering.problem()
    if problem is not None:
        raise DatasetError(f"{spec.path}: {problem}")
    return numbering
