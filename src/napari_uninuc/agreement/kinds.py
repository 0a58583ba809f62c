"""Who means which nucleus: pairs, nuclei of one reader alone, split and merged ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_uninuc.core.overlaps import Overlaps

__all__ = ["Kind", "Pairing", "pair_up"]

Rows = npt.NDArray[np.intp]

_MOSTLY = 0.5
"""More than this share of a part lies in the whole, and the parts hold at least this share of it.

So no nucleus is a part of two."""
_LEAST_PART = 0.1
"""Share of the whole that a part has at least: a speck beside an outline makes it no split one."""


class Kind(StrEnum):
    """What is to be said of one place of the picture."""

    MATCHED = "matched"  # one nucleus, both say the same of it
    CLASS_DIFFERS = "class_differs"  # one nucleus, two classes
    SPLIT = "split"  # one nucleus of A, several of B
    MERGED = "merged"  # several nuclei of A, one of B
    ONLY_A = "only_a"
    ONLY_B = "only_b"


@dataclass(frozen=True, slots=True, eq=False)
class Pairing:
    """Every nucleus of both readers in exactly one of five places.

    Attributes
    ----------
    matched : rows of the overlaps: pairs with IoU of at least 0.5, one to one
    splits : row of the first, rows of the second: one nucleus of A that is several of B
    merges : rows of the first, row of the second
    only_first, only_second : rows of nuclei that the other reader does not have
    """

    matched: Rows
    splits: Sequence[tuple[int, Rows]]
    merges: Sequence[tuple[Rows, int]]
    only_first: Rows
    only_second: Rows


def pair_up(overlaps: Overlaps) -> Pairing:
    """Tell pairs, split, merged and lonely nuclei apart, from their pixels alone.

    A nucleus is split where two or more of the other reader's each lie in it with more than half
    of their pixels, hold a tenth of it or more, and half of it together. The halves of a split
    nucleus are no matches, even where one has an IoU above 0.5.
    """
    free_first = np.ones(len(overlaps.first_ids), np.bool_)
    free_second = np.ones(len(overlaps.second_ids), np.bool_)
    first, second = overlaps.first_index, overlaps.second_index
    areas = overlaps.first_areas[first], overlaps.second_areas[second]
    splits = _divided(overlaps, first, second, areas, free_first, free_second)
    turned = areas[1], areas[0]
    merges = _divided(overlaps, second, first, turned, free_second, free_first)
    matched = overlaps.one_to_one()
    matched = matched[free_first[first[matched]] & free_second[second[matched]]]
    free_first[first[matched]] = False
    free_second[second[matched]] = False
    return Pairing(
        matched,
        splits,
        [(parts, whole) for whole, parts in merges],
        np.flatnonzero(free_first),
        np.flatnonzero(free_second),
    )


def _divided(
    overlaps: Overlaps,
    wholes: npt.NDArray[Any],
    parts: npt.NDArray[Any],
    areas: tuple[npt.NDArray[Any], npt.NDArray[Any]],
    free_wholes: npt.NDArray[np.bool_],
    free_parts: npt.NDArray[np.bool_],
) -> list[tuple[int, Rows]]:
    """Find nuclei that are several of the other reader's; these and those are free no more."""
    shared = overlaps.intersections
    lies_in = (shared > _MOSTLY * areas[1]) & (shared >= _LEAST_PART * areas[0])
    pairs = np.flatnonzero(lies_in & free_wholes[wholes] & free_parts[parts])
    several = np.bincount(wholes[pairs], minlength=len(free_wholes)) > 1
    pairs = pairs[several[wholes[pairs]]]
    pairs = pairs[np.argsort(wholes[pairs], kind="stable")]
    found = []
    _, starts = np.unique(wholes[pairs], return_index=True)
    for group in np.split(pairs, starts[1:]):
        if len(group) and shared[group].sum() >= _MOSTLY * areas[0][group[0]]:
            found.append((int(wholes[group[0]]), parts[group]))
            free_wholes[wholes[group[0]]] = False
            free_parts[parts[group]] = False
    return found
