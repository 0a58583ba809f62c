"""The label pyramid of a slide as OME-Zarr: only chunks with nuclei are ever written."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from napari_uninuc.io.ome_zarr import SMALLEST_LEVEL, multiscales
from napari_uninuc.io.ome_zarr_labels import OUR_NAME
from napari_uninuc.io.targets import replacing
from napari_uninuc.slides.plan import SlidePlan
from napari_uninuc.slides.squares import CHUNK_SIDE, LEVELS, Squares

__all__ = ["label_squares"]

_VERSION = "0.4"


@contextmanager
def label_squares(path: Path, plan: SlidePlan) -> Iterator[Squares]:
    """Lend squares of an empty pyramid; once all are painted it becomes the folder's label image.

    Parameters
    ----------
    path : the folder; an earlier OME-Zarr there is replaced whole or not at all
    """
    with replacing(path, folder=True) as part:
        group = zarr.open_group(str(part), mode="w", zarr_format=2)
        shapes = [plan.shape]
        while max(shapes[-1]) > SMALLEST_LEVEL:
            shapes.append((-(-shapes[-1][0] // 2), -(-shapes[-1][1] // 2)))
        levels = [_level(group, shape, place) for place, shape in enumerate(shapes)]
        squares = Squares(part.absolute())
        yield squares
        painted = squares.painted
        for fine, coarse in zip(levels[LEVELS - 1 :], levels[LEVELS:], strict=False):
            painted = {(row // 2, column // 2) for row, column in painted}
            _write_coarser(fine, coarse, painted)
        scales = multiscales(OUR_NAME, "yx", len(levels), plan.level_mpp, (0, 0), _VERSION)
        group.attrs.update({"multiscales": scales, "image-label": {"version": _VERSION}})


def _level(group: zarr.Group, shape: tuple[int, int], place: int) -> Any:
    return group.create_array(
        str(place),
        shape=shape,
        dtype=np.int32,
        chunks=(CHUNK_SIDE, CHUNK_SIDE),
        fill_value=0,
        chunk_key_encoding={"name": "v2", "separator": "/"},
    )


def _write_coarser(fine: Any, coarse: Any, painted: set[tuple[int, int]]) -> None:
    """Write every second pixel of the level before, chunk by chunk."""
    for row, column in sorted(painted):
        y, x = row * CHUNK_SIDE, column * CHUNK_SIDE
        rows, columns = (slice(2 * first, 2 * (first + CHUNK_SIDE)) for first in (y, x))
        seen = np.asarray(fine[rows, columns])[::2, ::2]
        coarse[y : y + seen.shape[0], x : x + seen.shape[1]] = seen
