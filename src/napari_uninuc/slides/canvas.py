"""A label image of any size: chunks in a zarr array, of which only some are in memory."""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_uninuc.core.instances import InstanceMask

__all__ = ["CHUNK_SIDE", "LabelCanvas"]

CHUNK_SIDE = 512
CHUNKS_IN_MEMORY = 192
"""201 MB of int32."""

Chunk = npt.NDArray[np.int32]


class LabelCanvas:
    """Ids painted into a zarr array through a bounded number of chunks.

    A chunk nobody paints into is never made and never written.

    Parameters
    ----------
    array : (H, W) int32 zarr array in chunks of `CHUNK_SIDE`, 0 background
    in_memory : most chunks held; the one unused for longest is written back first

    Attributes
    ----------
    painted : (row, column) of every chunk that was painted into
    """

    def __init__(self, array: Any, in_memory: int = CHUNKS_IN_MEMORY) -> None:
        self._array, self._in_memory = array, in_memory
        self._chunks: OrderedDict[tuple[int, int], Chunk] = OrderedDict()
        self.painted: set[tuple[int, int]] = set()

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) px."""
        return int(self._array.shape[0]), int(self._array.shape[1])

    def free(self, mask: InstanceMask) -> npt.NDArray[np.bool_]:
        """Which pixels of a mask's crop belong to it and to no id yet: (h, w) bool, as the crop.

        The crop must lie inside the canvas.
        """
        free: npt.NDArray[np.bool_] = mask.mask.copy()
        for key, here, there in self._parts(mask):
            if key in self.painted:
                free[there] &= self._chunk(key)[here] == 0
        return free

    def paint(self, mask: InstanceMask, id_: int) -> None:
        """Give the pixels of a mask to an id."""
        for key, here, there in self._parts(mask):
            part = mask.mask[there]
            if part.any():
                self.painted.add(key)
                self._chunk(key)[here][part] = id_

    def flush(self) -> None:
        """Write back everything that is in memory."""
        while self._chunks:
            self._write_back()

    def _parts(
        self, mask: InstanceMask
    ) -> Iterator[tuple[tuple[int, int], tuple[slice, slice], tuple[slice, slice]]]:
        """Chunks that a crop lies in, and where, in the chunk and in the crop."""
        y0, x0, y1, x1 = mask.box_yxyx
        for row in range(y0 // CHUNK_SIDE, -(-y1 // CHUNK_SIDE)):
            for column in range(x0 // CHUNK_SIDE, -(-x1 // CHUNK_SIDE)):
                top, left = row * CHUNK_SIDE, column * CHUNK_SIDE
                ys = (max(y0, top), min(y1, top + CHUNK_SIDE))
                xs = (max(x0, left), min(x1, left + CHUNK_SIDE))
                yield (
                    (row, column),
                    (slice(ys[0] - top, ys[1] - top), slice(xs[0] - left, xs[1] - left)),
                    (slice(ys[0] - y0, ys[1] - y0), slice(xs[0] - x0, xs[1] - x0)),
                )

    def _chunk(self, key: tuple[int, int]) -> Chunk:
        if key in self._chunks:
            self._chunks.move_to_end(key)
            return self._chunks[key]
        chunk: Chunk = np.zeros((CHUNK_SIDE, CHUNK_SIDE), np.int32)
        stored = np.asarray(self._array[self._window(key)])
        chunk[: stored.shape[0], : stored.shape[1]] = stored
        self._chunks[key] = chunk
        if len(self._chunks) > self._in_memory:
            self._write_back()
        return chunk

    def _write_back(self) -> None:
        key, chunk = self._chunks.popitem(last=False)
        if key in self.painted:
            rows, columns = self._window(key)
            height, width = rows.stop - rows.start, columns.stop - columns.start
            self._array[rows, columns] = chunk[:height, :width]

    def _window(self, key: tuple[int, int]) -> tuple[slice, slice]:
        rows, columns = (
            slice(place * CHUNK_SIDE, min((place + 1) * CHUNK_SIDE, side))
            for place, side in zip(key, self.shape, strict=True)
        )
        return rows, columns
