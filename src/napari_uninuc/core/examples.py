"""What a person's corrections teach: which nuclei are examples, which places hold none.

A person answers for what was reviewed and for what a person drew; for what the model left, nobody
does, and a place without a nucleus is no background unless the person took a nucleus away there.
Training sets (`io.training_set`) hold the same nuclei, as labels.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

import numpy as np
import numpy.typing as npt

from napari_uninuc.core.extents import Box, slices
from napari_uninuc.core.labels import LabelMap
from napari_uninuc.core.nuclei import Nucleus, Status
from napari_uninuc.core.tile import Tile

__all__ = [
    "ANSWERED_FOR",
    "ENOUGH_NUCLEI",
    "Corrections",
    "Example",
    "Kind",
    "examples_of",
    "is_exhaustive",
]

ANSWERED_FOR = (Status.REVIEWED, Status.EDITED)
"""Of nuclei that are examples."""
ENOUGH_NUCLEI = 10
"""Examples that are nuclei, below which nothing is learnt: it could not be proved."""
_REPLACED = 0.5
"""Of a nucleus taken away: where nuclei that somebody answers for hold more of its pixels, it was
drawn anew or merged, and is no place without a nucleus."""


class Kind(StrEnum):
    """What a person has said by a correction."""

    ACCEPTED = "accepted"  # the model's outline, looked at and left
    REDRAWN = "redrawn"  # the model's nucleus with another outline
    ADDED = "added"  # a nucleus that the model had not found
    DELETED = "deleted"  # the model's, and no nucleus: a counter-example


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """One thing that a person has said.

    Attributes
    ----------
    kind : what was said
    origin_yx : first pixel of the crop, px of the tile
    mask : (h, w) bool, tight: the nucleus, or where the model saw one
    """

    kind: Kind
    origin_yx: tuple[int, int]
    mask: npt.NDArray[np.bool_]

    @property
    def is_nucleus(self) -> bool:
        """Whether there is a nucleus."""
        return self.kind is not Kind.DELETED

    @property
    def box_yxyx(self) -> Box:
        """Half-open box, px of the tile."""
        (y, x), (height, width) = self.origin_yx, self.mask.shape
        return y, x, y + height, x + width

    @property
    def centre_yx(self) -> tuple[float, float]:
        """Middle of the box, px of the tile."""
        y0, x0, y1, x1 = self.box_yxyx
        return (y0 + y1) / 2, (x0 + x1) / 2


@dataclass(frozen=True, slots=True, eq=False)
class Corrections:
    """All that was said about one picture.

    Attributes
    ----------
    tile : the picture
    examples : in no order; those that are nuclei do not overlap
    exhaustive : every nucleus in sight was reviewed, so that all else is background
    source : name of the session, for people
    """

    tile: Tile
    examples: tuple[Example, ...]
    exhaustive: bool
    source: str = ""

    def only(self, chosen: npt.NDArray[np.bool_]) -> Self:
        """The examples chosen, (N,) bool; what is left out is nothing that was said."""
        kept = tuple(each for each, yes in zip(self.examples, chosen, strict=True) if yes)
        whole = self.exhaustive and len(kept) == len(self.examples)
        return type(self)(self.tile, kept, whole, self.source)

    def counts(self) -> Mapping[Kind, int]:
        """How many of each kind."""
        return {kind: sum(each.kind is kind for each in self.examples) for kind in Kind}


def is_exhaustive(rows: Iterable[Nucleus]) -> bool:
    """Whether every nucleus that is seen was reviewed, and there is one.

    Whoever has only drawn some says nothing of the rest of a picture.
    """
    seen = [row.status is Status.REVIEWED for row in rows if row.visible]
    return bool(seen) and all(seen)


def examples_of(
    labels: LabelMap, redrawn: Iterable[int], taken_away: Sequence[Example]
) -> tuple[Example, ...]:
    """The examples that a label map holds.

    Parameters
    ----------
    labels : as the person left it
    redrawn : ids whose outline a person changed
    taken_away : the model's nuclei that a person deleted; those that were drawn anew or merged
        into others are left out
    """
    changed = frozenset(redrawn)
    found, own = list[Example](), list[int]()
    for id_, row in labels.nuclei.items():
        if row.status in ANSWERED_FOR:
            mask = labels.mask(id_)
            found.append(Example(_kind(row, id_ in changed), mask.origin_yx, mask.mask))
            own.append(id_)
    for each in taken_away:
        beneath = labels.pixels[slices(each.box_yxyx)][each.mask]
        if np.count_nonzero(np.isin(beneath, own)) <= _REPLACED * beneath.size:
            found.append(each)
    return tuple(found)


def _kind(row: Nucleus, redrawn: bool) -> Kind:
    if row.detected_box_yxyx is None:
        return Kind.ADDED
    return Kind.REDRAWN if redrawn else Kind.ACCEPTED
