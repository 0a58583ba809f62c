"""Label image files into arrays, and into segmentations with what the file says of each nucleus."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.errors import LabelsError
from napari_uninuc.io.images import read_with_pillow
from napari_uninuc.io.ome_zarr_labels import StoredLabels, is_zarr, read_zarr_labels
from napari_uninuc.io.sources import is_tiff, require_file
from napari_uninuc.io.tiff import read_tiff

__all__ = ["StoredSegmentation", "read_labels", "read_segmentation"]

_MAX_ID = int(np.iinfo(np.int32).max)


@dataclass(frozen=True, slots=True, eq=False)
class StoredSegmentation:
    """A label file as it was written.

    Attributes
    ----------
    segmentation : class and score of each id where the file names them; else "nucleus" and NaN
    mpp : micrometres per px; None where the file does not say
    """

    segmentation: Segmentation
    mpp: float | None


def read_labels(path: str | os.PathLike[str]) -> npt.NDArray[np.int32]:
    """Read a label image; ids are kept as stored.

    Parameters
    ----------
    path : PNG (8 or 16 bit, or a palette whose indices are the ids), TIFF, OME-TIFF, or an
        OME-Zarr folder: a label image, or an image with one beneath it

    Returns
    -------
    labels : (H, W) int32, 0 background

    Raises
    ------
    LabelsError
        Missing, empty, damaged, coloured, not whole numbers, or ids outside 0..2147483647.
    """
    return _checked(Path(path), _stored(Path(path)).pixels)


def read_segmentation(path: str | os.PathLike[str]) -> StoredSegmentation:
    """Read a label image and whatever the file says about its scale and each nucleus.

    Parameters
    ----------
    path : as `read_labels`; an OME-Zarr may hold classes and scores, the others hold none

    Raises
    ------
    LabelsError
        As `read_labels`.
    """
    stored = _stored(Path(path))
    segmentation = Segmentation.from_labels(_checked(Path(path), stored.pixels))
    table = segmentation.table.copy()
    known = [stored.properties.get(label, {}) for label in table["id"].tolist()]
    try:
        table["score"] = np.array([each.get("score", np.nan) for each in known], np.float64)
    except (TypeError, ValueError):
        raise LabelsError(f"{path}: scores must be numbers; correct the properties") from None
    table["class"] = [str(each.get("class", "nucleus")) for each in known]
    return StoredSegmentation(Segmentation(segmentation.labels, table, {}), stored.mpp)


def _stored(source: Path) -> StoredLabels:
    """Pixels, scale and properties; formats without properties have none."""
    if is_zarr(source):
        return read_zarr_labels(source)
    require_file(source, LabelsError)
    try:
        if is_tiff(source):
            plane = read_tiff(source, LabelsError)
            return StoredLabels(plane.pixels, plane.mpp, {})
        # A PNG's dots per inch are how large to print it, hardly ever a scale.
        return StoredLabels(read_with_pillow(source, LabelsError, as_seen=False)[0], None, {})
    except OSError as problem:
        raise LabelsError(f"{source}: cannot be read ({problem.strerror}); check it") from None


def _checked(source: Path, pixels: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    if pixels.ndim != 2 or pixels.dtype.kind not in "bui":
        raise LabelsError(
            f"{source}: labels must be (H, W) integers, got {pixels.shape} {pixels.dtype}; "
            "save one channel of ids"
        )
    lowest, highest = int(pixels.min(initial=0)), int(pixels.max(initial=0))
    if lowest < 0 or highest > _MAX_ID:
        raise LabelsError(
            f"{source}: label ids must lie in 0..{_MAX_ID}, got {lowest}..{highest}; "
            "relabel the image"
        )
    return pixels.astype(np.int32)
