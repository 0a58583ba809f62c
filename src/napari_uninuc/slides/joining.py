"""Nuclei corrected in a rectangle take their place among those of the slide around it."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Joined", "join"]

_SAME = 0.5
"""Share of the smaller of two nuclei that they must have in common to be the same one."""

Pixels = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Joined:
    """The window after joining.

    Attributes
    ----------
    pixels : (H, W) int32, the window
    id_of : id in the region -> id in the result
    removed : ids of the result that have no pixel any more
    next_id : lowest id never given
    """

    pixels: Pixels
    id_of: dict[int, int]
    removed: frozenset[int]
    next_id: int


def join(
    before: Pixels,
    region: Pixels,
    at_yx: tuple[int, int],
    *,
    own_from: int,
    elsewhere: Collection[int],
    next_id: int,
) -> Joined:
    """Put a corrected rectangle in its place.

    Inside the rectangle the region is right. A nucleus that crosses its edge stays whole: the part
    outside keeps to the part inside that has its id, or that was drawn anew over it; where nothing
    is left inside, it was deleted, and its part outside goes too.

    Parameters
    ----------
    before : (H, W) of the result, a window that holds every nucleus of the rectangle whole
    region : (h, w) as corrected
    at_yx : where it lies in the window
    own_from : ids of the region below this are those of the result, the others its own
    elsewhere : ids of the result that have no pixel in the rectangle
    next_id : lowest id never given in the result

    Returns
    -------
    joined : an id of the region's own becomes that of the nucleus it was drawn over, if it has
        more than half of the smaller one in common with it, else a new one
    """
    (y, x), (height, width) = at_yx, region.shape
    inside = before[y : y + height, x : x + width]
    here = {int(id_) for id_ in np.unique(inside)} - {0}
    ids = [int(id_) for id_ in np.unique(region) if id_]
    taken = set(elsewhere) - here
    id_of = {id_: id_ for id_ in ids if id_ < own_from and id_ not in taken}
    own = [id_ for id_ in ids if id_ not in id_of]
    id_of |= _drawn_over(region, inside, own, here - set(id_of))
    for id_ in own:
        if id_ not in id_of:
            id_of[id_] = next_id
            next_id += 1
    next_id = max(next_id, 1 + max(id_of.values(), default=0))
    removed = frozenset(here - set(id_of.values()))
    after = before.copy()
    after[np.isin(after, list(removed))] = 0
    after[y : y + height, x : x + width] = _renamed(region, id_of)
    return Joined(after, id_of, removed, next_id)


def _drawn_over(
    region: Pixels, inside: Pixels, own: Collection[int], free: Collection[int]
) -> dict[int, int]:
    """Match new nuclei with old ones that are gone, the largest part in common first."""
    both = np.isin(region, list(own)) & np.isin(inside, list(free))
    if not both.any():
        return {}
    pairs, common = np.unique(np.stack([region[both], inside[both]]), axis=1, return_counts=True)
    new_area, old_area = _areas(region), _areas(inside)
    matched: dict[int, int] = {}
    for place in np.argsort(-common, kind="stable").tolist():
        new, old = int(pairs[0, place]), int(pairs[1, place])
        least = min(new_area[new], old_area[old])
        if new not in matched and old not in matched.values() and common[place] > _SAME * least:
            matched[new] = old
    return matched


def _areas(pixels: Pixels) -> dict[int, int]:
    ids, counts = np.unique(pixels, return_counts=True)
    return dict(zip(ids.tolist(), counts.tolist(), strict=True))


def _renamed(pixels: Pixels, id_of: dict[int, int]) -> npt.NDArray[Any]:
    ids, places = np.unique(pixels, return_inverse=True)
    wanted = np.array([id_of.get(id_, 0) for id_ in ids.tolist()], np.int32)
    return wanted[places.reshape(pixels.shape)]
