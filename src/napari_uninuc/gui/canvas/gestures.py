"""What a gesture on the canvas means, from places in tile px alone; knows no napari."""

import math

import numpy as np
import numpy.typing as npt
from skimage.draw import polygon2mask

from napari_uninuc.core.extents import count_ids
from napari_uninuc.core.labels import LabelMap
from napari_uninuc.session.draft import Draft

__all__ = [
    "box_between",
    "box_meets",
    "nuclei_inside",
    "nucleus_under_line",
    "place_belongs",
]

Place = tuple[float, float]
Box = tuple[float, float, float, float]

_REACH_UNSEEN_PX = 12.0
"""How far a second click may lie from the first while no outline says how large the nucleus is."""


def place_belongs(draft: Draft, place_yx: Place, nucleus_there: int) -> bool:
    """Whether a plain click is meant for the nucleus in hand.

    It is when it falls on its outline or, off every other nucleus, within half its diameter.

    Parameters
    ----------
    draft : the nucleus in hand
    place_yx : of the click, tile px
    nucleus_there : id under the click, 0 for none
    """
    mask = draft.mask
    if mask is None or not mask.mask.any():
        near = min((math.dist(place_yx, click) for click in draft.prompt.points_yx), default=0.0)
        return nucleus_there == 0 and near <= _REACH_UNSEEN_PX
    pixels = np.argwhere(mask.mask) + np.asarray(mask.origin_yx)
    distance = float(np.sqrt(((pixels - np.asarray(place_yx)) ** 2).sum(axis=1).min()))
    if distance < 0.5:
        return True
    radius = math.sqrt(len(pixels) / math.pi)
    return nucleus_there in (0, draft.nucleus_id) and distance <= radius


def box_between(start_yx: Place, end_yx: Place, shape: tuple[int, int]) -> Box | None:
    """Return the half-open box over both pixels, cut to the tile; None where it is off it."""
    (y0, y1), (x0, x1) = (sorted(pair) for pair in zip(start_yx, end_yx, strict=True))
    top, left = max(math.floor(y0 + 0.5), 0), max(math.floor(x0 + 0.5), 0)
    bottom = min(math.floor(y1 + 0.5) + 1, shape[0])
    right = min(math.floor(x1 + 0.5) + 1, shape[1])
    if top >= bottom or left >= right:
        return None
    return float(top), float(left), float(bottom), float(right)


def box_meets(box_yxyx: Box, draft: Draft) -> bool:
    """Whether a box touches the outline in hand, so that it can be meant for it."""
    mask = draft.mask
    if mask is None:
        return True
    y0, x0, y1, x1 = box_yxyx
    top, left, bottom, right = mask.box_yxyx
    return y0 < bottom and x0 < right and y1 > top and x1 > left


def nuclei_inside(labels: LabelMap, corners_yx: npt.ArrayLike) -> frozenset[int]:
    """Find nuclei of which more than half the pixels lie in a polygon.

    Parameters
    ----------
    corners_yx : (N, 2) tile px; a pixel is inside when its centre is. Fewer than three enclose
        nothing
    """
    corners = np.asarray(corners_yx, dtype=np.float64)
    if len(corners) < 3:
        return frozenset()
    low = np.maximum(np.floor(corners.min(axis=0)), 0).astype(int)
    high = np.minimum(np.ceil(corners.max(axis=0)) + 1, labels.shape).astype(int)
    if (low >= high).any():
        return frozenset()
    inside = polygon2mask(tuple(high - low), corners - low)
    crop = labels.pixels[low[0] : high[0], low[1] : high[1]]
    counts = count_ids(crop[inside])
    return frozenset(id_ for id_, count in counts.items() if 2 * count > labels.area(id_))


def nucleus_under_line(labels: LabelMap, start_yx: Place, end_yx: Place) -> int:
    """Find the nucleus a cutting line is meant for: the one pressed on, else the one most crossed.

    Returns
    -------
    id : 0 when the line meets none
    """
    pressed = labels.at(start_yx)
    if pressed:
        return pressed
    start, end = np.asarray(start_yx, dtype=np.float64), np.asarray(end_yx, dtype=np.float64)
    steps = 2 * math.ceil(float(np.abs(end - start).max())) + 1
    places = start + np.linspace(0, 1, steps)[:, None] * (end - start)
    ids = np.array([labels.at((float(y), float(x))) for y, x in places])
    counts = count_ids(ids[ids > 0])
    return max(counts, key=lambda id_: (counts[id_], -id_), default=0)
