"""Polygons into pixels: a pixel is inside where its centre is."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_uninuc.errors import LabelsError

__all__ = [
    "MAX_COORDINATE",
    "MAX_CROSSINGS",
    "MAX_NUCLEUS_PX",
    "Crop",
    "OversizedError",
    "fill_polygon",
    "fill_polygons",
    "fill_traced",
]

MAX_NUCLEUS_PX = 2**26
"""Largest box of one polygon, px: 8192 x 8192. A nucleus has some hundreds."""

MAX_CROSSINGS = 2**24
"""Most crossings of outline and pixel rows in one polygon."""

MAX_COORDINATE = 1e9
"""Furthest point of an outline, px; slides end at about 3e5."""

_SMALL_PX, _FEW_CROSSINGS = 2**16, 2**14
"""Of a polygon that is filled together with others; 256 of them take 200 MB at the very most."""

_SPARE_PX = 1e-6  # of a step along a line that should have met a centre

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
    corner, sides = np.array([x0, y0]), np.array([[y1 - y0, x1 - x0]])
    _, rows, columns = _crossings(starts - corner, ends - corner, sides.repeat(len(starts), 0))
    toggles = np.zeros((y1 - y0, x1 - x0 + 1), dtype=np.bool_)
    np.logical_xor.at(toggles, (rows, columns), True)
    mask = np.logical_xor.accumulate(toggles, axis=1)[:, :-1]
    return ((y0, x0), mask) if mask.any() else None


def fill_polygons(
    polygons_xy: Sequence[Any], shape: tuple[int, int], origin_yx: tuple[int, int] = (0, 0)
) -> Iterator[Crop | None]:
    """Fill polygons as `fill_polygon` does one, ten times as fast where they are small.

    Parameters
    ----------
    polygons_xy : some hundreds: the small ones among them are filled in one go, and the others
        when it is their turn, so that no more than one large mask is held

    Yields
    ------
    crop : of each polygon in turn

    Raises
    ------
    LabelsError
        As `fill_polygon`, when it is that polygon's turn.
    """
    small = _filled_at_once(polygons_xy, shape, origin_yx)
    for k, rings in enumerate(polygons_xy):
        yield small[k] if k in small else fill_polygon(rings, shape, origin_yx)


def _filled_at_once(
    polygons_xy: Sequence[Any], shape: tuple[int, int], origin_yx: tuple[int, int]
) -> dict[int, Crop | None]:
    """Fill what is small, by place in the list; nothing that is not as it should be."""
    plain = {k: rings for k, each in enumerate(polygons_xy) if (rings := _plain(each)) is not None}
    if not plain:
        return {}
    lengths = np.array([len(ring) for rings in plain.values() for ring in rings])
    starts = np.concatenate([ring for rings in plain.values() for ring in rings])
    if not (np.abs(starts) <= MAX_COORDINATE).all():
        return {}
    starts -= origin_yx[::-1]
    after = np.arange(1, len(starts) + 1)
    after[np.cumsum(lengths) - 1] = np.cumsum(lengths) - lengths
    points = np.array([sum(map(len, rings)) for rings in plain.values()])
    owner = np.repeat(np.arange(len(plain)), points)
    firsts, limit = np.cumsum(points) - points, [shape[1], shape[0]]
    low, high = (
        np.clip(np.ceil(extreme.reduceat(starts, firsts) - 0.5), 0, limit).astype(np.int64)
        for extreme in (np.minimum, np.maximum)
    )
    sides = (high - low)[:, ::-1]
    there: npt.NDArray[np.bool_] = np.all(sides > 0, axis=1)
    fits: npt.NDArray[np.bool_] = (
        there & (sides.prod(axis=1) <= _SMALL_PX) & (points * sides[:, 0] <= _FEW_CROSSINGS)
    )
    cells = np.where(fits, sides[:, 0] * (sides[:, 1] + 1), 0)
    corners, used = np.cumsum(cells) - cells, fits[owner]
    mine = owner[used]
    edge, rows, columns = _crossings(
        starts[used] - low[mine], starts[after][used] - low[mine], sides[mine]
    )
    whose = mine[edge]
    toggles = np.zeros(int(cells.sum()), dtype=np.bool_)
    np.logical_xor.at(toggles, corners[whose] + rows * (sides[whose, 1] + 1) + columns, True)
    inside = np.logical_xor.accumulate(toggles)  # each row ends outside
    found: dict[int, Crop | None] = {}
    columns_of = (there, fits, corners, cells, low)
    listed = zip(plain, *(column.tolist() for column in columns_of), strict=True)
    for row, (k, is_there, small, first, size, (x, y)) in enumerate(listed):
        if small:
            mask = inside[first : first + size].reshape(sides[row, 0], -1)[:, :-1]
            found[k] = ((y, x), mask) if mask.any() else None
        elif not is_there:
            found[k] = None
    return found


def _plain(rings_xy: Any) -> list[npt.NDArray[np.float64]] | None:
    """Make arrays of the rings of a polygon; None where anything is unusual about it."""
    if not isinstance(rings_xy, list | tuple) or not rings_xy:
        return None
    try:
        rings = [np.asarray(ring, dtype=np.float64) for ring in rings_xy]
    except (TypeError, ValueError, OverflowError):
        return None
    if all(ring.ndim == 2 and ring.shape[0] >= 3 and ring.shape[1] == 2 for ring in rings):
        return rings
    return None


def fill_traced(
    ring_xy: Any, shape: tuple[int, int], origin_yx: tuple[int, int] = (0, 0)
) -> Crop | None:
    """Fill an outline that runs through the centres of the outermost pixels of a nucleus.

    It is what OpenCV's ``findContours`` gives and ``drawContours`` fills: what lies inside and
    the pixels that the outline runs through.

    Parameters
    ----------
    ring_xy : (k, 2) numbers x, y in px, one point or more; centres of pixels are whole numbers.
        Closed or not
    shape, origin_yx : as for `fill_polygon`

    Returns
    -------
    crop : None where no pixel of the picture is inside

    Raises
    ------
    LabelsError
        As `fill_polygon`.
    """
    corners = _ring(ring_xy, fewest=1) - origin_yx[::-1] + 0.5
    inside = fill_polygon([corners], shape) if len(corners) > 2 else None
    rows, columns = _stepped_on(corners)
    on_picture = (rows >= 0) & (columns >= 0) & (rows < shape[0]) & (columns < shape[1])
    rows, columns = rows[on_picture], columns[on_picture]
    if not len(rows):
        return inside
    low = np.array([rows.min(), columns.min()])
    high = np.array([rows.max(), columns.max()]) + 1
    if inside is not None:
        low = np.minimum(low, inside[0])
        high = np.maximum(high, np.add(inside[0], inside[1].shape))
    mask = np.zeros(tuple((high - low).tolist()), dtype=np.bool_)
    mask[rows - low[0], columns - low[1]] = True
    if inside is not None:
        y, x = np.subtract(inside[0], low).tolist()
        mask[y : y + inside[1].shape[0], x : x + inside[1].shape[1]] |= inside[1]
    return (int(low[0]), int(low[1])), mask


def _stepped_on(
    points_xy: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Find the rows and columns of the pixels that a closed line runs through."""
    ends = np.roll(points_xy, -1, axis=0)
    steps = np.ceil(np.abs(ends - points_xy).max(axis=1)).astype(np.int64)
    if int(steps.sum()) > MAX_CROSSINGS:
        raise LabelsError(
            f"expected outlines of at most {MAX_CROSSINGS} px, got one of {int(steps.sum())}; "
            "simplify the shape"
        )
    count = np.maximum(steps, 1)
    edge = np.repeat(np.arange(len(count)), count)
    part = (np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count)) / count[edge]
    line = points_xy[edge] + part[:, None] * (ends - points_xy)[edge]
    columns, rows = np.floor(line + _SPARE_PX).astype(np.int64).T
    return rows, columns


def _ring(ring: Any, fewest: int = 3) -> npt.NDArray[np.float64]:
    try:
        points = np.asarray(ring, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        try:  # a height may be said of some points only
            points = np.asarray([point[:2] for point in ring], dtype=np.float64)
        except (TypeError, ValueError, OverflowError):
            raise LabelsError("expected points as [x, y] numbers, got others; correct it") from None
    if points.ndim != 2 or points.shape[0] < fewest or points.shape[1] < 2:
        least = "three" if fewest > 1 else "one"
        raise LabelsError(
            f"expected a ring of {least} [x, y] points or more, got {points.shape}; correct it"
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
    starts: npt.NDArray[np.float64], ends: npt.NDArray[np.float64], sides: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Find in each row of pixel centres the columns from which inside and outside swap.

    Parameters
    ----------
    starts, ends : (E, 2) x, y of edges, from the corner of the box that theirs is filled in
    sides : (E, 2) height and width of that box, px

    Returns
    -------
    edge, row, column : of each crossing
    """
    (xa, ya), (xb, yb), (heights, widths) = starts.T, ends.T, sides.T
    first = np.clip(np.ceil(np.minimum(ya, yb) - 0.5), 0, heights).astype(np.int64)
    count = np.clip(np.ceil(np.maximum(ya, yb) - 0.5), 0, heights).astype(np.int64) - first
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
    return edge, rows, np.clip(np.ceil(x - 0.5), 0, widths[edge]).astype(np.int64)
