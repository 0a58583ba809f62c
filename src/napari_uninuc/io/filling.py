"""Polygons into pixels: a pixel is inside where its centre is."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_uninuc.errors import LabelsError

__all__ = ["MAX_COORDINATE", "MAX_CROSSINGS", "MAX_NUCLEUS_PX", "OversizedError", "fill_polygon"]

MAX_NUCLEUS_PX = 2**26
"""Largest box of one polygon, px: 8192 x 8192. A nucleus has some hundreds."""

MAX_CROSSINGS = 2**24
"""Most crossings of outline and pixel rows in one polygon."""

MAX_COORDINATE = 1e9
"""Furthest point of an outline, px; slides end at about 3e5."""

Crop = tuple[tuple[int, int], npt.NDArray[np.bool_]]
"""(y, x) of the first pixel in the picture, and which pixels of the box are inside."""


class OversizedError(LabelsError):
    """A shape that no nucleus has: a box above `MAX_NUCLEUS_PX`."""


def fill_polygon(
    rings_xy: Sequence[Any], shape: tuple[int, int], origin_yx: tuple[int, int] = (0, 0)
) -> Crop | None:
    """Fill a polygon by the even-odd rule: what lies in a hole is outside.

    Parameters
    ----------
    rings_xy : outer ring and holes, each (k, 2) numbers x, y in px; corners of pixels are
        whole numbers. Closed or not
    shape : (H, W) of the picture, px
    origin_yx : where the picture's first pixel lies in the frame of the rings, px

    Returns
    -------
    crop : None where no pixel of the picture has its centre inside
        A centre on the outline counts as inside on a left or upper side only, so polygons
        that share a side share no pixel.

    Raises
    ------
    LabelsError
        Not numbers, fewer than three points, or above `MAX_COORDINATE` or `MAX_CROSSINGS`.
    OversizedError
        Above `MAX_NUCLEUS_PX`.
    """
    if not isinstance(rings_xy, Sequence) or isinstance(rings_xy, str):
        raise LabelsError("expected a list of rings, got something else; correct the shape")
    rings = [_ring(ring) - origin_yx[::-1] for ring in rings_xy]
    if not rings:
        raise LabelsError("expected a ring of points, got none; remove the shape")
    starts = np.concatenate(rings)
    box = _box(starts, shape)
    if box is None:
        return None
    y0, x0, y1, x1 = box
    ends = np.concatenate([part for ring in rings for part in (ring[1:], ring[:1])])
    rows, columns = _crossings(starts - (x0, y0), ends - (x0, y0), (y1 - y0, x1 - x0))
    toggles = np.zeros((y1 - y0, x1 - x0 + 1), dtype=np.bool_)
    np.logical_xor.at(toggles, (rows, columns), True)
    mask = np.logical_xor.accumulate(toggles, axis=1)[:, :-1]
    return ((y0, x0), mask) if mask.any() else None


def _ring(ring: Any) -> npt.NDArray[np.float64]:
    try:
        points = np.asarray(ring, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        try:  # a height may be said of some points only
            points = np.asarray([point[:2] for point in ring], dtype=np.float64)
        except (TypeError, ValueError, OverflowError):
            raise LabelsError("expected points as [x, y] numbers, got others; correct it") from None
    if points.ndim != 2 or points.shape[0] < 3 or points.shape[1] < 2:
        raise LabelsError(
            f"expected a ring of three [x, y] points or more, got {points.shape}; correct it"
        )
    if not (np.abs(points) <= MAX_COORDINATE).all():  # NaN is not, either
        raise LabelsError(
            f"expected coordinates within {MAX_COORDINATE:.0e} px, got NaN or larger; correct them"
        )
    return points[:, :2]


def _box(
    points_xy: npt.NDArray[np.float64], shape: tuple[int, int]
) -> tuple[int, int, int, int] | None:
    """Box of the pixels whose centres can be inside, cut to the picture, half-open yxyx."""
    limit = np.array([shape[1], shape[0]], dtype=np.float64)
    x0, y0 = np.clip(np.ceil(points_xy.min(axis=0) - 0.5), 0, limit).astype(int).tolist()
    x1, y1 = np.clip(np.ceil(points_xy.max(axis=0) - 0.5), 0, limit).astype(int).tolist()
    if y1 <= y0 or x1 <= x0:
        return None
    if (y1 - y0) * (x1 - x0) > MAX_NUCLEUS_PX:
        raise OversizedError(
            f"expected nuclei in boxes of at most {MAX_NUCLEUS_PX} px, got one of {y1 - y0} x "
            f"{x1 - x0}; remove shapes that are not nuclei"
        )
    return y0, x0, y1, x1


def _crossings(
    starts: npt.NDArray[np.float64], ends: npt.NDArray[np.float64], size: tuple[int, int]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Find in each row of pixel centres the columns from which inside and outside swap."""
    height, width = size
    (xa, ya), (xb, yb) = starts.T, ends.T
    first = np.clip(np.ceil(np.minimum(ya, yb) - 0.5), 0, height).astype(np.int64)
    count = np.clip(np.ceil(np.maximum(ya, yb) - 0.5), 0, height).astype(np.int64) - first
    total = int(count.sum())
    if total > MAX_CROSSINGS:
        raise LabelsError(
            f"expected outlines that cross at most {MAX_CROSSINGS} pixel rows, got {total}; "
            "simplify the shape"
        )
    edge = np.repeat(np.arange(len(count)), count)
    rows = np.arange(total) - np.repeat(np.cumsum(count) - count, count) + first[edge]
    slope = (rows + 0.5 - ya[edge]) / (yb - ya)[edge]
    x = xa[edge] + slope * (xb - xa)[edge]
    return rows, np.clip(np.ceil(x - 0.5), 0, width).astype(np.int64)
