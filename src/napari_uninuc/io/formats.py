"""Which writer a file name asks for."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.core.tile import Tile
from napari_uninuc.errors import OutputError
from napari_uninuc.io.ome_zarr import write_ome_zarr
from napari_uninuc.io.table import write_csv
from napari_uninuc.io.tiff import write_ome_tiff, write_tiff

__all__ = ["FORMATS", "Writer", "suffix_of", "write_segmentation"]

Writer = Callable[[Segmentation, Path, float | None, Tile | None], None]
"""Takes the segmentation, the path, micrometres per px and the picture."""


def _without_tile(write: Callable[[Segmentation, Path, float | None], None]) -> Writer:
    return lambda segmentation, path, mpp, tile: write(segmentation, path, mpp)


FORMATS: Mapping[str, Writer] = MappingProxyType(
    {
        ".ome.zarr": write_ome_zarr,
        ".ome.tif": _without_tile(write_ome_tiff),
        ".ome.tiff": _without_tile(write_ome_tiff),
        ".tif": _without_tile(write_tiff),
        ".tiff": _without_tile(write_tiff),
        ".csv": _without_tile(write_csv),
    }
)
"""Writer of each suffix, lower case, with its dot."""


def suffix_of(path: str | os.PathLike[str]) -> str:
    """Find the longest known suffix of a file name, whatever its case.

    Raises
    ------
    OutputError
        No format has that suffix, or the name is nothing but a suffix.
    """
    name = Path(path).name.lower()
    known = [suffix for suffix in FORMATS if name.endswith(suffix) and name != suffix]
    if not known:
        raise OutputError(
            f"{path}: expected a name that ends in {', '.join(FORMATS)}, got "
            f"{name or 'no name'!r}; change the ending"
        )
    return max(known, key=len)


def write_segmentation(
    segmentation: Segmentation,
    path: str | os.PathLike[str],
    tile: Tile | None = None,
    mpp: float | None = None,
) -> Path:
    """Write a segmentation in the format its suffix names, beside the target, then renamed.

    Parameters
    ----------
    segmentation : ids are the same in every format
    path : where to; folders above it are made, an earlier result is replaced
    tile : the picture; formats that can hold it do
    mpp : micrometres per px; None takes the tile's

    Returns
    -------
    path : the one written

    Raises
    ------
    OutputError
        Unknown suffix, or a place that cannot be written; what was there before stays.
    """
    target = Path(path)
    write = FORMATS[suffix_of(target)]
    write(segmentation, target, tile.mpp if mpp is None and tile is not None else mpp, tile)
    return target
