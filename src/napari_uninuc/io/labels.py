"""Label image files into arrays."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_uninuc.errors import LabelsError
from napari_uninuc.io.images import read_with_pillow
from napari_uninuc.io.sources import is_tiff, require_file
from napari_uninuc.io.tiff import read_tiff

__all__ = ["read_labels"]


def read_labels(path: str | os.PathLike[str]) -> npt.NDArray[np.int32]:
    """Read a label image; ids are kept as stored.

    Parameters
    ----------
    path : PNG (8 or 16 bit, or a palette whose indices are the ids), TIFF or OME-TIFF

    Returns
    -------
    labels : (H, W) int32, 0 background

    Raises
    ------
    LabelsError
        Missing, empty, damaged, coloured, not whole numbers, or ids outside 0..2147483647.
    """
    source = Path(path)
    require_file(source, LabelsError)
    try:
        pixels = _pixels(source)
    except OSError as problem:
        raise LabelsError(f"{source}: cannot be read ({problem.strerror}); check it") from None
    if pixels.ndim != 2 or pixels.dtype.kind not in "bui":
        raise LabelsError(
            f"{source}: labels must be (H, W) integers, got {pixels.shape} {pixels.dtype}; "
            "save one channel of ids"
        )
    lowest, highest = int(pixels.min()), int(pixels.max())
    if lowest < 0 or highest > np.iinfo(np.int32).max:
        raise LabelsError(
            f"{source}: label ids must lie in 0..{np.iinfo(np.int32).max}, got "
            f"{lowest}..{highest}; relabel the image"
        )
    return pixels.astype(np.int32)


def _pixels(path: Path) -> npt.NDArray[Any]:
    if is_tiff(path):
        return read_tiff(path, LabelsError).pixels
    return read_with_pillow(path, LabelsError, as_seen=False)[0]
