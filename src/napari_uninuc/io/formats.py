"""Which writer a file name asks for."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.core.tile import Tile
from napari_uninuc.errors import OutputError
from napari_uninuc.io.cellpose import write_cellpose
from napari_uninuc.io.coco import write_coco
from napari_uninuc.io.dicom_annotations import write_dicom_annotations
from napari_uninuc.io.dicom_segments import write_dicom_segments
from napari_uninuc.io.dicom_slide import DicomSlide
from napari_uninuc.io.dicom_terms import Code, FoundBy
from napari_uninuc.io.geojson import write_geojson
from napari_uninuc.io.imagej_rois import write_imagej_rois
from napari_uninuc.io.label_png import write_png
from napari_uninuc.io.ome_zarr import write_ome_zarr
from napari_uninuc.io.spatialdata_store import write_spatialdata
from napari_uninuc.io.table import write_csv, write_parquet
from napari_uninuc.io.tiff import write_ome_tiff, write_tiff

__all__ = ["FORMATS", "Context", "QuPathObjects", "Writer", "suffix_of", "write_segmentation"]

Origin = tuple[int, int]

QuPathObjects = Literal["detection", "annotation"]
"""What nuclei become in QuPath: light and fixed, or open to its brush."""


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """What a writer is told besides the nuclei; it leaves out what its format cannot hold.

    Attributes
    ----------
    mpp : micrometres per px; None where unknown
    tile : the picture; None where it is not at hand
    origin_yx_slide : where the picture's first pixel lies on the slide, px
    qupath_objects : what QuPath makes of nuclei
    slide : a DICOM slide that DICOM files refer to
    codes : coded property type of each class, for DICOM
    found_by : the model that found the nuclei; None where nobody said
    """

    mpp: float | None = None
    tile: Tile | None = None
    origin_yx_slide: Origin = (0, 0)
    qupath_objects: QuPathObjects = "detection"
    slide: DicomSlide | None = None
    codes: Mapping[str, Code] | None = None
    found_by: FoundBy | None = None


Writer = Callable[[Segmentation, Path, Context], None]


def _geojson(nuclei: Segmentation, path: Path, by: Context) -> None:
    write_geojson(nuclei, path, by.mpp, by.tile, by.origin_yx_slide, by.qupath_objects)


def _dicom(write: Callable[..., None]) -> Writer:
    return lambda nuclei, path, by: write(
        nuclei,
        path,
        by.mpp,
        by.tile,
        by.origin_yx_slide,
        slide=by.slide,
        codes=by.codes,
        found_by=by.found_by,
    )


def _ome_tiff(nuclei: Segmentation, path: Path, by: Context) -> None:
    write_ome_tiff(nuclei, path, by.mpp, by.origin_yx_slide)


def _tiff(nuclei: Segmentation, path: Path, by: Context) -> None:
    write_tiff(nuclei, path, by.mpp)


FORMATS: Mapping[str, Writer] = MappingProxyType(
    {
        ".ome.zarr": lambda nuclei, path, by: write_ome_zarr(
            nuclei, path, by.mpp, by.tile, origin_yx_slide=by.origin_yx_slide
        ),
        ".ome.tif": _ome_tiff,
        ".ome.tiff": _ome_tiff,
        ".tif": _tiff,
        ".tiff": _tiff,
        ".png": lambda nuclei, path, _: write_png(nuclei, path),
        ".geojson": _geojson,
        ".geojson.gz": _geojson,
        ".coco.json": lambda nuclei, path, by: write_coco(
            nuclei, path, by.mpp, by.tile, by.origin_yx_slide
        ),
        ".rois.zip": lambda nuclei, path, by: write_imagej_rois(
            nuclei, path, by.mpp, by.origin_yx_slide
        ),
        ".ann.dcm": _dicom(write_dicom_annotations),
        ".seg.dcm": _dicom(write_dicom_segments),
        ".sd.zarr": lambda nuclei, path, by: write_spatialdata(
            nuclei, path, by.mpp, by.tile, by.origin_yx_slide
        ),
        "_seg.npy": lambda nuclei, path, by: write_cellpose(nuclei, path, by.tile),
        ".csv": lambda nuclei, path, by: write_csv(nuclei, path, by.mpp, by.tile),
        ".parquet": lambda nuclei, path, by: write_parquet(nuclei, path, by.mpp, by.tile),
    }
)
"""Writer of each suffix, lower case, with its dot where it has one."""


def suffix_of(path: str | os.PathLike[str]) -> str:
    """Find the longest known suffix of a file name, whatever its case.

    Raises
    ------
    OutputError
        No format has that suffix, or the name is nothing but a suffix.

    Examples
    --------
    >>> from napari_uninuc.io.formats import suffix_of
    >>> suffix_of("slide.3.OME.TIF"), suffix_of("nuclei.geojson.gz")
    ('.ome.tif', '.geojson.gz')
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
    *,
    origin_yx_slide: Origin | None = None,
    qupath_objects: QuPathObjects = "detection",
    slide: DicomSlide | None = None,
    codes: Mapping[str, Code] | None = None,
    found_by: FoundBy | None = None,
) -> Path:
    """Write a segmentation in the format its suffix names, beside the target, then renamed.

    Parameters
    ----------
    segmentation : ids are the same in every format
    path : where to; folders above it are made, an earlier result is replaced
    tile : the picture; formats that can hold it do, tables measure its colours
    mpp : micrometres per px; None takes the tile's
    origin_yx_slide : where the first pixel lies on the slide, px; None takes the tile's, else
        (0, 0)
    qupath_objects : what GeoJSON says the nuclei are
    slide, codes, found_by : what DICOM files say of slide, classes and model

    Returns
    -------
    path : the one written

    Raises
    ------
    OutputError
        Unknown suffix, a picture of another shape, or a place that cannot be written; what was
        there before stays.

    Examples
    --------
    >>> from napari_uninuc import Segmentation
    >>> from napari_uninuc.io.formats import FORMATS, write_segmentation
    >>> from napari_uninuc.io.labels import read_labels
    >>> from napari_uninuc.testing import make_tile
    >>> tissue = make_tile((64, 64), n_nuclei=3)
    >>> nuclei = Segmentation.from_labels(tissue.labels)

    One call for every format; those with outlines give the same labels again:

    >>> for suffix in (".tif", ".ome.zarr", ".geojson", ".coco.json"):
    ...     path = write_segmentation(nuclei, f"results/nuclei{suffix}", tissue.tile)
    ...     assert suffix in FORMATS and (read_labels(path) == nuclei.labels).all()

    Of a name that says nothing, nothing is written:

    >>> write_segmentation(nuclei, "results/nuclei.xlsx")
    Traceback (most recent call last):
    napari_uninuc.errors.OutputError: ...nuclei.xlsx: expected a name that ends in ...
    """
    target = Path(path)
    write = FORMATS[suffix_of(target)]
    if tile is not None and tile.shape != segmentation.labels.shape:
        raise OutputError(
            f"{path}: picture and labels must have one shape, got {tile.shape} and "
            f"{segmentation.labels.shape}; pass the picture that was segmented"
        )
    if origin_yx_slide is None:
        origin_yx_slide = (0, 0) if tile is None else tile.origin_yx_slide
    scale = tile.mpp if mpp is None and tile is not None else mpp
    said = Context(scale, tile, origin_yx_slide, qupath_objects, slide, codes, found_by)
    write(segmentation, target, said)
    return target
