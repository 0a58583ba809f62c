"""Outlines and lines as segments between corners of pixels, in px of the tile."""

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_uninuc.core.instances import InstanceMask

__all__ = [
    "NO_SEGMENTS",
    "Segments",
    "box_segments",
    "line_segments",
    "outline_segments",
    "simplified",
]

_FEW = 12
_TOLERANCE_PX = 0.4

Segments = npt.NDArray[np.float32]
"""(n, 4) x0, y0, x1, y1; the centre of the first pixel of the tile is 0, 0."""

NO_SEGMENTS: Segments = np.zeros((0, 4), dtype=np.float32)


def outline_segments(mask: InstanceMask) -> Segments:
    """Edges of the pixels of a mask, straight runs in one; the mask lies to their right.

    Right as seen by who goes from the first end to the second, x to the right and y down.
    """
    inside = np.pad(mask.mask, 1)
    above, below = inside[:-1, 1:-1], inside[1:, 1:-1]
    left, right = inside[1:-1, :-1], inside[1:-1, 1:]
    tops, bottoms = _runs(below & ~above), _runs(above & ~below)
    lefts, rights = _runs((right & ~left).T), _runs((left & ~right).T)
    pieces = [
        np.stack([tops[1], tops[0], tops[2], tops[0]], axis=1),
        np.stack([bottoms[2], bottoms[0], bottoms[1], bottoms[0]], axis=1),
        np.stack([lefts[0], lefts[2], lefts[0], lefts[1]], axis=1),
        np.stack([rights[0], rights[1], rights[0], rights[2]], axis=1),
    ]
    y, x = mask.origin_yx
    offset = np.array([x, y, x, y], dtype=np.float32) - np.float32(0.5)
    return np.concatenate(pieces).astype(np.float32) + offset


def _runs(edges: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.intp], ...]:
    """Row, first column and end of every run of True."""
    steps = np.diff(np.pad(edges, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(steps == 1)
    ends = np.nonzero(steps == -1)[1]
    return rows, starts, ends


def line_segments(corners_yx: npt.ArrayLike, *, closed: bool = False) -> Segments:
    """A line through corners, (N, 2) px of the tile.

    Parameters
    ----------
    closed : join the last corner to the first
    """
    places = [tuple(each) for each in np.asarray(corners_yx, dtype=np.float32)[:, ::-1].tolist()]
    if closed:
        places.append(places[0])
    pairs = [(*start, *end) for start, end in pairwise(places) if start != end]
    return np.array(pairs, dtype=np.float32).reshape(-1, 4)


def box_segments(box_yxyx: tuple[float, float, float, float]) -> Segments:
    """The four sides of a half-open box, along the edges of its pixels."""
    y0, x0, y1, x1 = (edge - 0.5 for edge in box_yxyx)
    return line_segments([(y0, x0), (y0, x1), (y1, x1), (y1, x0)], closed=True)


def simplified(segments: Segments) -> Segments:
    """Outlines in fewer and longer segments, for where a pixel is less than one of the screen.

    Steps are cut through the middle, and what is round stays within half a pixel of that.

    Parameters
    ----------
    segments : along edges of pixels, see `outline_segments`

    Returns
    -------
    fewer : the same where that are few already, or where they are no closed lines
    """
    if len(segments) <= _FEW:
        return segments
    follows = _followers(segments)
    if follows is None:
        return segments
    middles = (segments[:, :2] + segments[:, 2:]) / 2
    left, made = np.ones(len(segments), dtype=bool), []
    while left.any():
        at, loop = int(left.argmax()), []
        while left[at]:
            left[at] = False
            loop.append(at)
            at = int(follows[at])
        corners = _spread(middles[[*loop, loop[0]]])
        made.append(np.concatenate([corners[:-1], corners[1:]], axis=1))
    fewer: Segments = np.concatenate(made).astype(np.float32)
    return fewer if len(fewer) < len(segments) else segments


def _followers(segments: Segments) -> npt.NDArray[np.intp] | None:
    """Which segment begins where each ends; None where one does not go on."""
    starts, ends = np.lexsort(segments[:, 1::-1].T), np.lexsort(segments[:, :1:-1].T)
    if not np.array_equal(segments[starts, :2], segments[ends, 2:]):
        return None
    follows = np.empty(len(segments), dtype=np.intp)
    follows[ends] = starts
    return follows


def _spread(line: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    """Places at equal distances along a closed line (n, 2), the fewer the rounder it is."""
    way = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
    radius = way[-1] / (2 * np.pi)
    count = max(round(way[-1] / np.sqrt(8 * radius * _TOLERANCE_PX)), 6)
    places = np.linspace(0.0, way[-1], count + 1)
    return np.column_stack([np.interp(places, way, line[:, axis]) for axis in (0, 1)])
