"""The label pyramid of a slide as OME-Zarr: only chunks with nuclei are ever written."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from napari_uninuc.io.ome_zarr import SMALLEST_LEVEL, multiscales
from napari_uninuc.io.ome_zarr_labels import OUR_NAME
from napari_uninuc.io.targets import replacing
from napari_uninuc.slides.canvas import CHUNK_SIDE, LabelCanvas
from napari_uninuc.slides.plan import SlidePlan
from napari_uninuc.slides.state import SCRATCH

__all__ = ["label_canvas"]

_VERSION = "0.4"


@contextmanager
def label_canvas(path: Path, plan: SlidePlan, *, kept: bool = True) -> Iterator[LabelCanvas]:
    """Lend an empty canvas; what was painted becomes the folder's label image.

    Parameters
    ----------
    path : the folder; an earlier OME-Zarr there is replaced whole or not at all
    kept : False throws the pixels away in the end: settling needs them, the user does not
    """
    if not kept:
        with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=path.parent) as scratch:
            yield LabelCanvas(
                _level(zarr.open_group(scratch, mode="w", zarr_format=2), plan.shape, 0)
            )
        return
    with replacing(path, folder=True) as part:
        group = zarr.open_group(str(part), mode="w", zarr_format=2)
        canvas = LabelCanvas(_level(group, plan.shape, 0))
        yield canvas
        canvas.flush()
        count = _write_coarser(group, canvas)
        scales = multiscales(OUR_NAME, "yx", count, plan.level_mpp, (0, 0), _VERSION)
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


def _write_coarser(group: zarr.Group, canvas: LabelCanvas) -> int:
    """Write every second pixel of the level before, chunk by chunk; returns all levels."""
    fine: Any = group["0"]
    painted, count = canvas.painted, 1
    while max(fine.shape) > SMALLEST_LEVEL:
        shape = (-(-fine.shape[0] // 2), -(-fine.shape[1] // 2))
        coarse = _level(group, shape, count)
        painted = {(row // 2, column // 2) for row, column in painted}
        for row, column in sorted(painted):
            y, x = row * CHUNK_SIDE, column * CHUNK_SIDE
            rows, columns = (slice(2 * first, 2 * (first + CHUNK_SIDE)) for first in (y, x))
            seen = np.asarray(fine[rows, columns])[::2, ::2]
            coarse[y : y + seen.shape[0], x : x + seen.shape[1]] = seen
        fine, count = coarse, count + 1
    return count
