"""Chunks of a zarr array that lie nowhere: lost on the way, or never written."""

import itertools
import math
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from napari_uninuc.slides.protocol import Box

__all__ = ["ChunkGaps"]

_WHITE = 255


@dataclass(frozen=True, slots=True, eq=False)
class ChunkGaps:
    """What is missing of one level of an OME-Zarr picture.

    Attributes
    ----------
    array : of the level
    axes : names of its axes
    counts : chunks along each; shards, where chunks lie in shards
    there : names of the chunks' files that are there; None where none can be missed
    """

    array: Any
    axes: tuple[str, ...]
    counts: tuple[int, ...]
    there: frozenset[str] | None

    @classmethod
    def of(cls, array: Any, axes: Sequence[str], folder: Path) -> Self:
        """Look for the files of an array in its folder.

        A chunk that is not there has the array's fill value. Where that is white nothing is lost
        by it, and nothing is missing.
        """
        counts = tuple(math.ceil(a / b) for a, b in zip(array.shape, _sides(array), strict=True))
        if array.fill_value == _WHITE:
            return cls(array, tuple(axes), counts, None)
        there = frozenset(name for name in _files_in(folder) if _is_chunk(name, counts))
        whole = len(there) == math.prod(counts)
        return cls(array, tuple(axes), counts, None if whole else there)

    @property
    def missing_of_all(self) -> tuple[int, int]:
        """Files that are missing, and all there should be."""
        total = math.prod(self.counts)
        return 0 if self.there is None else total - len(self.there), total

    def boxes(self, box_yxyx: Box) -> Iterator[tuple[slice, slice]]:
        """Parts of a box, px from its first, of which some colour is missing."""
        there = self.there
        if there is None:
            return
        name = self.array.metadata.encode_chunk_key
        sides = dict(zip(self.axes, _sides(self.array), strict=True))
        (y0, x0, y1, x1), height, width = box_yxyx, sides["y"], sides["x"]
        for row in range(y0 // height, -(-y1 // height)):
            for column in range(x0 // width, -(-x1 // width)):
                if not all(name(place) in there for place in self._places(row, column)):
                    top, left = row * height - y0, column * width - x0
                    yield (
                        slice(max(top, 0), top + height),
                        slice(max(left, 0), left + width),
                    )

    def _places(self, row: int, column: int) -> Iterator[tuple[int, ...]]:
        """The files of a row and column, one a colour."""
        fixed = {"y": [row], "x": [column]}
        ways = (
            fixed.get(axis, range(count))
            for axis, count in zip(self.axes, self.counts, strict=True)
        )
        return itertools.product(*ways)


def _sides(array: Any) -> tuple[int, ...]:
    """Px of a file along each axis."""
    sides: tuple[int, ...] = array.shards or array.chunks
    return sides


def _is_chunk(name: str, counts: Sequence[int]) -> bool:
    """Whether a file's name is that of a chunk: ``0/1/2``, ``0.1.2`` or ``c/0/1/2``."""
    parts = re.split(r"[./]", name.removeprefix("c/").removeprefix("c."))
    return len(parts) == len(counts) and all(
        part.isdecimal() and int(part) < count for part, count in zip(parts, counts, strict=True)
    )


def _files_in(folder: Path) -> Iterator[str]:
    """Names of files, as zarr has them: relative, with slashes."""
    for inner, _, names in os.walk(folder):
        relative = Path(inner).relative_to(folder)
        yield from ((relative / name).as_posix() for name in names)
