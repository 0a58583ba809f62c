"""Label files into arrays, and into segmentations with what the file says of each nucleus."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.errors import LabelsError, UniNucError
from napari_uninuc.io.cellpose import read_cellpose
from napari_uninuc.io.coco_labels import is_coco, read_coco
from napari_uninuc.io.describing import described
from napari_uninuc.io.geojson_labels import read_geojson
from napari_uninuc.io.images import read_with_pillow
from napari_uninuc.io.ome_zarr_labels import StoredLabels, is_zarr, read_zarr_labels
from napari_uninuc.io.outline_formats import OUTLINE_FORMATS, outline_format_of
from napari_uninuc.io.shapes import Through
from napari_uninuc.io.sources import is_tiff, require_file
from napari_uninuc.io.stored import StoredSegmentation
from napari_uninuc.io.tiff import read_tiff

__all__ = ["StoredSegmentation", "checked_ids", "read_labels", "read_segmentation"]

_MAX_ID = int(np.iinfo(np.int32).max)

_BAND = 512  # rows

_TABLES = (".csv", ".parquet")
_COCO = (".coco.json", ".coco.json.gz")
_GEOJSON = (".geojson", ".geojson.gz")
_JSON = (".json", ".json.gz")


def read_labels(path: str | os.PathLike[str]) -> npt.NDArray[np.int32]:
    """Read a label image; ids are kept as stored.

    Parameters
    ----------
    path : as `read_segmentation`

    Returns
    -------
    labels : (H, W) int32, 0 background

    Raises
    ------
    LabelsError
        As `read_segmentation`.

    Examples
    --------
    >>> import numpy as np
    >>> import tifffile
    >>> from napari_uninuc.io.labels import read_labels
    >>> stored = np.zeros((40, 60), np.uint16)
    >>> stored[10:14, 20:26] = 7
    >>> tifffile.imwrite("labels.tif", stored)
    >>> labels = read_labels("labels.tif")
    >>> labels.shape, str(labels.dtype), np.unique(labels).tolist()
    ((40, 60), 'int32', [0, 7])

    A picture is no label image:

    >>> tifffile.imwrite("picture.tif", np.zeros((40, 60, 3), np.uint8), photometric="rgb")
    >>> read_labels("picture.tif")
    Traceback (most recent call last):
    napari_uninuc.errors.LabelsError: picture.tif: labels must be (H, W) integers, got ...
    """
    source = Path(path)
    if _read_shapes(source) is not None:
        return read_segmentation(source).segmentation.labels
    return checked_ids(source, _stored(source).pixels)


def read_segmentation(
    path: str | os.PathLike[str],
    shape: tuple[int, int] | None = None,
    origin_yx_slide: tuple[int, int] | None = None,
    picture: str | os.PathLike[str] | None = None,
    through: Through | None = None,
) -> StoredSegmentation:
    """Read a label file and whatever it says about its scale, its place and each nucleus.

    Parameters
    ----------
    path : PNG (8 or 16 bit, or a palette whose indices are the ids), TIFF, OME-TIFF, GeoJSON,
        COCO JSON (both also gzipped), cellpose's ``_seg.npy``, what `OUTLINE_FORMATS` lists, or
        an OME-Zarr folder: a label image, or an image with one beneath it
    shape : (H, W) px of the picture it belongs to; GeoJSON of other programs needs it
    origin_yx_slide : where the first pixel of that picture lies in the coordinates of a
        GeoJSON, px; None takes what the file says, else (0, 0)
    picture : file name of that picture, which tells it from the others of a COCO file
    through : where outlines run; None takes it as the program that writes such files does. Of no
        meaning for pixels

    Raises
    ------
    LabelsError
        Missing, empty, damaged, another shape than asked for, a table, which holds no outlines,
        or pixels that `checked_ids` refuses.

    Examples
    --------
    >>> from napari_uninuc import Segmentation
    >>> from napari_uninuc.io.formats import write_segmentation
    >>> from napari_uninuc.io.labels import read_segmentation
    >>> from napari_uninuc.testing import make_tile
    >>> tissue = make_tile((64, 64), n_nuclei=3)
    >>> nuclei = Segmentation.from_labels(tissue.labels)

    What the file says of scale, place, classes and scores comes back with the labels:

    >>> written = write_segmentation(nuclei, "nuclei.geojson", tissue.tile)
    >>> stored = read_segmentation(written)
    >>> bool((stored.segmentation.labels == nuclei.labels).all())
    True
    >>> stored.origin_yx_slide, stored.notice
    ((0, 0), '')
    """
    source = Path(path)
    read = _read_shapes(source)
    if read is not None:
        return read(source, shape, origin_yx_slide, picture, through)
    stored = _stored(source)
    labels = checked_ids(source, stored.pixels)
    if shape is not None and labels.shape != tuple(shape):
        raise LabelsError(
            f"{source}: expected labels of {shape[0]} x {shape[1]} px like the picture, got "
            f"{labels.shape[0]} x {labels.shape[1]}; name the right picture"
        )
    return StoredSegmentation(
        described(source, Segmentation.from_labels(labels), stored),
        stored.mpp,
        stored.origin_yx_slide,
        stored.notice,
    )


_Reader = Callable[[Path, Any, Any, str | os.PathLike[str] | None, Any], StoredSegmentation]


def _read_shapes(source: Path) -> _Reader | None:
    """Choose the reader of a file of outlines; None where it is none of pixels.

    Raises
    ------
    LabelsError
        A table.
    """
    name = source.name.lower()
    if name.endswith(_TABLES):
        raise LabelsError(
            f"{source}: expected outlines, got a table, which holds none; name the label image, "
            "GeoJSON or COCO file saved with it"
        )
    form = outline_format_of(source)
    if form is not None:
        return lambda path, shape, origin, _, through: form.read(path, shape, origin, through)
    if not name.endswith((*_GEOJSON, *_JSON)) or source.is_dir():
        _require_known(source, name)
        return None
    if name.endswith(_COCO) or (not name.endswith(_GEOJSON) and is_coco(source)):
        return lambda path, shape, _, picture, through: read_coco(
            path, shape, picture, through or "corners"
        )
    return lambda path, shape, origin, _, through: read_geojson(
        path, shape, origin, through or "corners"
    )


def _require_known(source: Path, name: str) -> None:
    """Refuse what has the ending of a file of outlines and is none."""
    titles = [form.title for form in OUTLINE_FORMATS if name.endswith(form.endings)]
    if titles and source.is_file():
        raise LabelsError(
            f"{source}: expected {' or '.join(titles)}, got something else; export it again"
        )


def _stored(source: Path) -> StoredLabels:
    """Pixels, scale and properties; formats without properties have none."""
    if is_zarr(source):
        return read_zarr_labels(source)
    require_file(source, LabelsError, "label file")
    try:
        if is_tiff(source):
            plane = read_tiff(source, LabelsError)
            return StoredLabels(plane.pixels, plane.mpp, {}, {}, plane.origin_yx_slide or (0, 0))
        if source.name.lower().endswith(".npy"):
            return read_cellpose(source)
        # A PNG's dots per inch are how large to print it, hardly ever a scale.
        return StoredLabels(read_with_pillow(source, LabelsError, as_seen=False)[0], None, {}, {})
    except OSError as problem:
        raise LabelsError(f"{source}: cannot be read ({problem.strerror}); check it") from None


def checked_ids(
    source: Path, pixels: npt.NDArray[Any], error: type[UniNucError] = LabelsError
) -> npt.NDArray[np.int32]:
    """Turn the pixels of a label file into ids.

    Parameters
    ----------
    source : the file, for the error
    pixels : (H, W) whole numbers from 0. Floats are welcome, for ImageJ, MATLAB and stacks keep
        ids in them, as long as their type tells every id from the next: up to 16,777,216 in 32
        bits
    error : raised, in one line, for whatever is wrong

    Returns
    -------
    labels : (H, W) int32, ids as stored; the pixels themselves where they are so already

    Raises
    ------
    error
        Not one plane of numbers, fractions, or ids below 0, above 2147483647 or not exact.
    """
    kind = pixels.dtype.kind
    if pixels.ndim != 2 or kind not in "buif" or 0 in pixels.shape:
        raise error(
            f"{source}: labels must be (H, W) integers, got {pixels.shape} {pixels.dtype}; "
            "name an image that holds ids in one channel"
        )
    if kind == "f" and not _all_whole(pixels):
        raise error(
            f"{source}: label ids must be whole numbers, got fractions; this is a picture or a "
            "map of probabilities: save the label image"
        )
    exact = 2 ** (np.finfo(pixels.dtype).nmant + 1) if kind == "f" else _MAX_ID
    limit, why = min(exact, _MAX_ID), f", where {pixels.dtype} is exact" * (exact < _MAX_ID)
    lowest, highest = int(pixels.min(initial=0)), int(pixels.max(initial=0))
    if lowest < 0 or highest > limit:
        raise error(
            f"{source}: label ids must lie in 0..{limit}{why}, got {lowest}..{highest}; relabel "
            "the image"
        )
    if pixels.dtype == np.uint32:
        pixels = pixels.view(np.int32)  # none is above, and a million nuclei take 2 GB
    return pixels.astype(np.int32, copy=not pixels.flags.writeable)


def _all_whole(pixels: npt.NDArray[np.floating[Any]]) -> bool:
    """Whether no number is a fraction, NaN or endless; band by band, for floor makes a copy."""
    for start in range(0, len(pixels), _BAND):
        band = pixels[start : start + _BAND]
        if not (np.isfinite(band) & (band == np.floor(band))).all():
            return False
    return True
