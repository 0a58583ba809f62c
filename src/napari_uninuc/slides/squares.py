"""Labels of a slide painted square by square, each by one process and once.

A square is a whole number of chunks on every level that is painted with it, so no two ever write
into one chunk, which would lose what the first wrote. Pixels of one square are in memory at a
time; nuclei wait for theirs as runs, a twentieth of their pixels.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from napari_uninuc.core.runs import Runs, spans
from napari_uninuc.slides.nuclei import Nuclei

__all__ = ["CHUNK_SIDE", "LEVELS", "SIDE", "Square", "Squares", "paint"]

CHUNK_SIDE = 512
LEVELS = 3
"""Levels of the pyramid that are painted with the finest one."""
SIDE = CHUNK_SIDE * 2 ** (LEVELS - 1)
"""Of a square, px: one chunk of the coarsest of them."""

_AT_ONCE = 1024
"""Runs whose pixels are painted together; see `rows`."""

Place = tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Square:
    """What is painted in one go; travels to other processes.

    Attributes
    ----------
    path : folder of the label pyramid
    place : (row, column) among squares
    ids : (n,)
    runs : of n nuclei, px of the level; what lies outside belongs to another square
    again : something was painted there before, and stays
    """

    path: Path
    place: Place
    ids: npt.NDArray[np.int64]
    runs: Runs
    again: bool = False


def paint(square: Square) -> None:
    """Paint a square on its levels, in whatever process this is."""
    group = zarr.open_group(str(square.path), mode="r+")
    finest: Any = group["0"]
    (top, left), shape = (SIDE * place for place in square.place), finest.shape
    bottom, right = min(top + SIDE, shape[0]), min(left + SIDE, shape[1])
    pixels = np.zeros((bottom - top, right - left), np.int32)
    if square.again:
        pixels[...] = finest[top:bottom, left:right]
    inside, kept = square.runs.cut((top, left, bottom, right))
    flat, lengths = pixels.ravel(), inside.x1 - inside.x0
    first = (inside.y - top) * pixels.shape[1] + inside.x0 - left
    ids = np.repeat(square.ids[kept].astype(np.int32), inside.counts)
    for start in range(0, len(ids), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        flat[spans(first[some], lengths[some])] = np.repeat(ids[some], lengths[some])
    for level in range(LEVELS):
        if str(level) not in group:
            break
        array: Any = group[str(level)]
        seen = pixels[:: 2**level, :: 2**level]
        y, x = top // 2**level, left // 2**level
        array[y : y + seen.shape[0], x : x + seen.shape[1]] = seen


@dataclass(slots=True)
class Squares:
    """Gives settled nuclei to the squares they lie in.

    Attributes
    ----------
    path : folder of the label pyramid
    painted : (row, column) of every square that was asked for
    """

    path: Path
    painted: set[Place] = field(default_factory=set)
    _open: dict[Place, list[Nuclei]] = field(default_factory=dict)

    def add(self, nuclei: Nuclei) -> None:
        """Let nuclei wait for their squares; one at a border waits for several."""
        if not len(nuclei):
            return
        boxes = nuclei.runs.boxes
        first, last = boxes[:, :2] // SIDE, (boxes[:, 2:] - 1) // SIDE
        spread = (last - first).max(axis=0)
        for dy in range(int(spread[0]) + 1):
            for dx in range(int(spread[1]) + 1):
                of_box = first + np.array([dy, dx])
                here = np.flatnonzero((of_box <= last).all(axis=1))
                places, of = np.unique(of_box[here], axis=0, return_inverse=True)
                for k, place in enumerate(places.tolist()):
                    group = nuclei.take(here[of.ravel() == k])
                    self._open.setdefault((place[0], place[1]), []).append(group)

    def finished(self, low: int) -> Iterator[Square]:
        """Give out squares above row `low` (px), which are whole; none of them twice."""
        for place in sorted(self._open):
            if (place[0] + 1) * SIDE <= low and place not in self.painted:
                yield self._closed(place)

    def late(self) -> Iterator[Square]:
        """Give out what came after its square; there is none unless masks leave their fields."""
        for place in sorted(self._open):
            yield self._closed(place)

    def _closed(self, place: Place) -> Square:
        nuclei, again = Nuclei.joined(self._open.pop(place)), place in self.painted
        self.painted.add(place)
        return Square(self.path, place, nuclei.id, nuclei.runs, again)
