"""Exact outlines of nuclei along the corners of their pixels.

Pixel (y, x) covers [x, x + 1] x [y, y + 1], as in QuPath; filling an outline by pixel centres
(`napari_uninuc.io.filling`) gives its pixels back. Nuclei are traced some thousands at a time,
their crops side by side on one canvas, so that memory does not grow with their number.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_uninuc.core.runs import Runs, spans
from napari_uninuc.core.segmentation import Segmentation

__all__ = [
    "BATCH_AREA",
    "Canvas",
    "NucleusOutline",
    "NucleusPoints",
    "lay_out",
    "pack_nuclei",
    "trace_nuclei",
    "trace_points",
    "trace_runs",
]

BATCH_AREA = 2**20
"""Most px of crops on one canvas, unless a single crop is larger."""

_CANVAS_WIDTH = 2048

Ring = list[list[int]]
"""A closed ring of [x, y] px; its last point is its first."""


@dataclass(frozen=True, slots=True, eq=False)
class Canvas:
    """Some nuclei of a picture, side by side with background between and around them.

    Attributes
    ----------
    ids : (n,) int64, as in the picture
    owner : (h, w) int32; 0 background, k + 1 is a pixel of ``ids[k]``
    shift_yx : (n, 2) int64; pixel p of ``ids[k]`` on the canvas is ``p + shift_yx[k]`` in the
        picture
    """

    ids: npt.NDArray[np.int64]
    owner: npt.NDArray[np.int32]
    shift_yx: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class NucleusOutline:
    """The outline of one nucleus.

    Attributes
    ----------
    id : as in the label image
    area_px : its pixels
    polygons_xy : one for each 4-connected piece: the outer ring, then its holes. Outer rings
        have a positive area in (x, y), holes a negative one; rings of a polygon touch each
        other and themselves in single points at most, so it is valid for OGC readers
    """

    id: int
    area_px: int
    polygons_xy: list[list[Ring]]


@dataclass(frozen=True, slots=True, eq=False)
class NucleusPoints:
    """A `NucleusOutline` whose rings are arrays, for formats that hold numbers.

    Attributes
    ----------
    id, area_px : as of `NucleusOutline`
    polygons_xy : one for each piece: outer ring and holes, each (k, 2) int64 x, y px, open. They
        are parts of one array for some thousands of nuclei, which lives as long as any of them
    """

    id: int
    area_px: int
    polygons_xy: list[list[npt.NDArray[np.int64]]]


def pack_nuclei(segmentation: Segmentation) -> Iterator[Canvas]:
    """Lay the nuclei of a segmentation on canvases, in the order of its table.

    Rows of the table whose box is empty or outside are on no canvas. Boxes are those of the
    table: pixels outside them are not seen.
    """
    height, width = segmentation.labels.shape
    boxes = segmentation.table[["y0", "x0", "y1", "x1"]].to_numpy(dtype=np.int64)
    boxes = np.clip(boxes, 0, [height, width, height, width])
    sides = boxes[:, 2:] - boxes[:, :2]
    present = np.flatnonzero((sides > 0).all(axis=1))
    ids, boxes = segmentation.table["id"].to_numpy(dtype=np.int64)[present], boxes[present]
    areas = np.prod(sides[present] + 1, axis=1).tolist()
    start, total = 0, 0
    for place, area in enumerate(areas):
        if total + area > BATCH_AREA and place > start:
            yield _pack(segmentation.labels, ids[start:place], boxes[start:place])
            start, total = place, 0
        total += area
    if start < len(areas):
        yield _pack(segmentation.labels, ids[start:], boxes[start:])


def _pack(
    labels: npt.NDArray[np.int32], ids: npt.NDArray[np.int64], boxes: npt.NDArray[np.int64]
) -> Canvas:
    corners, shape = _shelves(boxes[:, 2:] - boxes[:, :2])
    owner = np.zeros(shape, dtype=np.int32)
    listed = zip(ids.tolist(), boxes.tolist(), corners.tolist(), strict=True)
    for k, (id_, (y0, x0, y1, x1), (y, x)) in enumerate(listed):
        own = labels[y0:y1, x0:x1] == id_
        np.copyto(owner[y : y + y1 - y0, x : x + x1 - x0], k + 1, where=own)
    return Canvas(ids, owner, boxes[:, :2] - corners)


def _shelves(sides: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], tuple[int, int]]:
    """Find a place for crops of (h, w) `sides`, tallest first, one px between and around."""
    width = max(_CANVAS_WIDTH, int(sides[:, 1].max()) + 2)
    corners = np.zeros_like(sides)
    y, x, shelf = 1, 1, 0
    for k in np.argsort(-sides[:, 0], kind="stable").tolist():
        h, w = int(sides[k, 0]), int(sides[k, 1])
        if x + w + 1 > width:
            y, x, shelf = y + shelf + 1, 1, 0
        corners[k] = y, x
        x, shelf = x + w + 1, max(shelf, h)
    return corners, (y + shelf + 1, width)


def lay_out(ids: npt.NDArray[np.int64], runs: Runs) -> tuple[Canvas, npt.NDArray[np.int64]]:
    """Lay nuclei on one canvas.

    Parameters
    ----------
    ids : (n,)
    runs : of n nuclei, one at least

    Returns
    -------
    canvas : all of them
    pixels : (N,) flat places on it, nucleus by nucleus and row by row
    """
    boxes, owner = runs.boxes, runs.owner
    corners, shape = _shelves(boxes[:, 2:] - boxes[:, :2])
    shift = boxes[:, :2] - corners
    first = (runs.y - shift[owner, 0]) * shape[1] + runs.x0 - shift[owner, 1]
    lengths = runs.x1 - runs.x0
    pixels = spans(first, lengths)
    canvas = np.zeros(shape, dtype=np.int32)
    canvas.ravel()[pixels] = np.repeat(owner + 1, lengths)
    return Canvas(ids, canvas, shift), pixels


def trace_runs(ids: npt.NDArray[np.int64], runs: Runs) -> Iterator[NucleusOutline]:
    """Trace nuclei whatever their pixels, one canvas at a time; (n,) ids and n nuclei."""
    sides = runs.boxes[:, 2:] - runs.boxes[:, :2]
    ends = np.cumsum(np.prod(sides + 1, axis=1)) // BATCH_AREA
    for batch in np.unique(ends).tolist():
        chosen = np.flatnonzero(ends == batch)
        rings = _trace_canvas(lay_out(ids[chosen], runs.take(chosen))[0])
        if rings is not None:
            yield from _outlines(rings)


def trace_nuclei(
    segmentation: Segmentation, origin_yx: tuple[int, int] = (0, 0)
) -> Iterator[NucleusOutline]:
    """Trace every nucleus that has pixels, in the order of the table.

    Parameters
    ----------
    origin_yx : of the picture's first pixel in the frame wanted, px; added to every point
    """
    for rings in _traced(segmentation, origin_yx):
        yield from _outlines(rings)


def trace_points(
    segmentation: Segmentation, origin_yx: tuple[int, int] = (0, 0)
) -> Iterator[NucleusPoints]:
    """Trace every nucleus as `trace_nuclei` does, its rings open and arrays."""
    for rings in _traced(segmentation, origin_yx):
        for found in rings.nuclei(rings.cut):
            yield NucleusPoints(*found)


def _outlines(rings: "_Traced") -> Iterator[NucleusOutline]:
    points_xy = rings.points_xy.tolist()

    def closed(start: int, end: int) -> Ring:
        return [*points_xy[start:end], points_xy[start]]

    for found in rings.nuclei(closed):
        yield NucleusOutline(*found)


T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class _Traced:
    """The rings of one canvas.

    Attributes
    ----------
    points_xy : (n, 2) px of the picture, ring after ring
    ends : (r,) where each ring ends
    owner, piece, is_hole : (r,) place of the nucleus on the canvas, its piece, whether a hole
    ids, areas : (m,) of the nuclei on the canvas
    """

    points_xy: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    owner: npt.NDArray[np.int64]
    piece: npt.NDArray[np.int64]
    is_hole: npt.NDArray[np.bool_]
    ids: npt.NDArray[np.int64]
    areas: npt.NDArray[np.int64]

    def cut(self, start: int, end: int) -> npt.NDArray[np.int64]:
        """Points from one place to another; no copy."""
        return self.points_xy[start:end]

    def nuclei(self, cut: Callable[[int, int], T]) -> Iterator[tuple[int, int, list[list[T]]]]:
        """Join rings, made by `cut`, to polygons and polygons to nuclei: id, area, polygons."""
        ends, owners, pieces = self.ends.tolist(), self.owner.tolist(), self.piece.tolist()
        starts = [0, *ends[:-1]]
        ids, areas = self.ids.tolist(), self.areas.tolist()
        polygons: list[list[T]] = []
        current, last_piece = -1, -1
        for ring in np.lexsort((self.is_hole, self.piece, self.owner)).tolist():
            if owners[ring] != current:
                if polygons:
                    yield ids[current], areas[current], polygons
                polygons, current = [], owners[ring]
            if pieces[ring] != last_piece:
                polygons.append([])
                last_piece = pieces[ring]
            polygons[-1].append(cut(starts[ring], ends[ring]))
        yield ids[current], areas[current], polygons


def _traced(segmentation: Segmentation, origin_yx: tuple[int, int]) -> Iterator[_Traced]:
    for canvas in pack_nuclei(segmentation):
        rings = _trace_canvas(replace(canvas, shift_yx=canvas.shift_yx + origin_yx))
        if rings is not None:
            yield rings


def _trace_canvas(canvas: Canvas) -> _Traced | None:
    """Trace the nuclei of one canvas; one without a pixel is left out. None where all are."""
    pieces, _ = ndimage.label(canvas.owner > 0)  # across corners they are apart
    edges = _edges(canvas.owner > 0, pieces)
    if len(edges.start) == 0:
        return None
    order, ends = _rings(_successors(edges, canvas.owner.size, canvas.owner.shape[1]))
    starts = np.concatenate([[0], ends[:-1]])
    before = np.arange(-1, len(order) - 1)
    before[starts] = ends - 1
    turning = edges.direction[order]
    corner = turning != turning[before]
    points = np.stack(np.divmod(edges.start[order], canvas.owner.shape[1]), axis=1)[corner]
    ring_piece = edges.piece[order[starts]]
    owner = canvas.owner.ravel()[edges.pixel[order[starts]]].astype(np.int64) - 1
    ends = np.cumsum(corner)[ends - 1]
    starts = np.concatenate([[0], ends[:-1]])
    areas = np.bincount(canvas.owner.ravel(), minlength=len(canvas.ids) + 1)[1:]
    shifted = points + np.repeat(canvas.shift_yx[owner], ends - starts, axis=0)
    is_hole = _doubled_areas(points, starts, ends) < 0
    points_xy = np.ascontiguousarray(shifted[:, ::-1])
    return _Traced(points_xy, ends, owner, ring_piece, is_hole, canvas.ids, areas)


@dataclass(frozen=True, slots=True, eq=False)
class _Edges:
    """Sides of pixels between nucleus and background, the nucleus on the right hand.

    `start` is the flat index of the corner it leaves, `direction` 0 right, 1 down, 2 left,
    3 up, `pixel` the pixel it belongs to, `piece` that pixel's piece.
    """

    start: npt.NDArray[np.int64]
    direction: npt.NDArray[np.int64]
    pixel: npt.NDArray[np.int64]
    piece: npt.NDArray[np.int64]


def _edges(inside: npt.NDArray[np.bool_], pieces: npt.NDArray[Any]) -> _Edges:
    width, flat = inside.shape[1], inside.ravel()
    own = np.flatnonzero(flat)
    sides = ((-width, 0), (1, 1), (width, width + 1), (-1, width))  # neighbour, corner it leaves
    open_ = [own[~flat[own + neighbour]] for neighbour, _ in sides]
    pixel = np.concatenate(open_)
    return _Edges(
        start=np.concatenate([p + leaves for p, (_, leaves) in zip(open_, sides, strict=True)]),
        direction=np.repeat(np.arange(4), [len(p) for p in open_]),
        pixel=pixel,
        piece=pieces.ravel()[pixel].astype(np.int64),
    )


def _successors(edges: _Edges, size: int, width: int) -> npt.NDArray[np.int64]:
    """Find the edge that follows each one along its ring.

    Where two pixels touch by their corners only, a ring goes on to the other pixel if both
    are of one piece, which leaves a hole its own ring, and stays with its pixel if not.
    """
    at = np.full((4, size), -1, dtype=np.int64)
    at[edges.direction, edges.start] = np.arange(len(edges.start))
    end = edges.start + np.array([1, width, -1, -width])[edges.direction]
    straight, right, left = (at[(edges.direction + turn) % 4, end] for turn in (0, 1, 3))
    to_left = (left >= 0) & ((right < 0) | (edges.piece[left] == edges.piece))
    following: npt.NDArray[np.int64] = np.where(
        straight >= 0, straight, np.where(to_left, left, right)
    )
    return following


def _rings(successors: npt.NDArray[np.int64]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """List the edges ring by ring, and where each ring ends in that list."""
    following = successors.tolist()
    seen = bytearray(len(following))
    order: list[int] = []
    ends: list[int] = []
    for first in range(len(following)):
        if seen[first]:
            continue
        edge = first
        while not seen[edge]:
            seen[edge] = 1
            order.append(edge)
            edge = following[edge]
        ends.append(len(order))
    return np.array(order), np.array(ends)


def _doubled_areas(
    points_yx: npt.NDArray[np.int64],
    starts: npt.NDArray[np.int64],
    ends: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]:
    """Twice the area of each ring in (x, y), negative for holes."""
    after = np.arange(1, len(points_yx) + 1)
    after[ends - 1] = starts
    (y, x), (next_y, next_x) = points_yx.T, points_yx[after].T
    doubled: npt.NDArray[np.int64] = np.add.reduceat(x * next_y - next_x * y, starts)
    return doubled
