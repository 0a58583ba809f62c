"""SpatialData: picture, labels, outlines and a table of measurements in one store.

Elements lie in the coordinate system "global", px of the slide (of the picture, where there is no
slide), and where the scale is known in "um" too. The labels carry the colours and properties that
napari reads, which SpatialData itself does not write.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import zarr

from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.core.tile import Tile
from napari_uninuc.errors import OutputError
from napari_uninuc.io.extras import require_library
from napari_uninuc.io.ome_zarr import class_list, image_label
from napari_uninuc.io.ome_zarr_labels import OUR_CLASSES
from napari_uninuc.io.outlines import NucleusPoints, trace_points
from napari_uninuc.io.table import measure_nuclei
from napari_uninuc.io.targets import replacing

__all__ = ["IMAGE", "LABELS", "OUTLINES", "TABLE", "write_spatialdata"]

IMAGE, LABELS, OUTLINES, TABLE = "picture", "nuclei", "outlines", "measurements"
"""Names of the elements."""

_CHUNK = 1024
_SMALLEST_LEVEL = 2048
_SAID = ("id", "class", "score", "status", "y0", "x0", "y1", "x1")  # all else is measured


def write_spatialdata(
    segmentation: Segmentation,
    path: Path,
    mpp: float | None = None,
    tile: Tile | None = None,
    origin_yx_slide: tuple[int, int] = (0, 0),
) -> None:
    """Write a store that spatialdata, squidpy and napari-spatialdata open.

    Parameters
    ----------
    segmentation : ids are the ``instance_id`` of the table and the index of the outlines; rows
        without pixels are left out
    path : a folder, replaced whole or not at all
    mpp : micrometres per px; None leaves out the coordinate system "um"
    tile : the picture; without it there is no image, and no colours are measured
    origin_yx_slide : first pixel on the slide, px

    Raises
    ------
    OutputError
        The store cannot be written, or spatialdata is not installed.
    """
    library = require_library("spatialdata", "spatialdata", "SpatialData stores", OutputError)
    transforms = _transforms(library, mpp, origin_yx_slide)
    models, labels = library.models, segmentation.labels
    levels = _levels(labels.shape)
    elements: dict[str, Any] = {
        LABELS: models.Labels2DModel.parse(
            labels, dims=("y", "x"), transformations=transforms, **levels
        )
    }
    if tile is not None:
        elements[IMAGE] = models.Image2DModel.parse(
            np.moveaxis(tile.rgb, -1, 0),
            dims=("c", "y", "x"),
            c_coords=["r", "g", "b"],
            transformations=transforms,
            **levels,
        )
    measured = measure_nuclei(segmentation, mpp, tile)
    measured = measured[measured["area_px"] > 0].reset_index(drop=True)
    if len(measured):
        elements[OUTLINES] = _outlines(models, segmentation, transforms)
    elements[TABLE] = _table(models, measured, origin_yx_slide)
    with replacing(path, folder=True) as part:
        library.SpatialData.init_from_elements(elements).write(part)
        _describe_labels(part, segmentation)


def _transforms(library: Any, mpp: float | None, origin_yx: tuple[int, int]) -> dict[str, Any]:
    made = library.transformations
    placed = made.Translation([float(value) for value in origin_yx], axes=("y", "x"))
    if mpp is None:
        return {"global": placed}
    scaled = made.Sequence([placed, made.Scale([mpp, mpp], axes=("y", "x"))])
    return {"global": placed, "um": scaled}


def _levels(shape: tuple[int, ...]) -> dict[str, Any]:
    """Choose chunks, and levels until one is small enough to look at."""
    halvings = 0
    while max(shape) >> halvings > _SMALLEST_LEVEL:
        halvings += 1
    return {"scale_factors": [2] * halvings or None, "chunks": _CHUNK}


def _outlines(models: Any, segmentation: Segmentation, transforms: dict[str, Any]) -> Any:
    import geopandas  # both come with spatialdata

    shapes = {outline.id: _shape(outline) for outline in trace_points(segmentation)}
    frame = geopandas.GeoDataFrame(
        geometry=list(shapes.values()), index=pd.Index(list(shapes), dtype=np.int64)
    )
    return models.ShapesModel.parse(frame, transformations=transforms)


def _shape(outline: NucleusPoints) -> Any:
    from shapely import MultiPolygon, Polygon

    parts = [Polygon(rings[0], rings[1:]) for rings in outline.polygons_xy]
    return parts[0] if len(parts) == 1 else MultiPolygon(parts)


def _table(models: Any, measured: pd.DataFrame, origin_yx: tuple[int, int]) -> Any:
    from anndata import AnnData

    columns = [name for name in measured.columns if name not in _SAID]
    named = pd.DataFrame(
        {
            "instance_id": measured["id"].to_numpy(np.int64),
            "region": pd.Categorical([LABELS] * len(measured)),
            "class": pd.Categorical(measured["class"].astype(str)),
            "score": measured["score"].to_numpy(np.float64),
            "status": pd.Categorical(measured["status"].astype(str)),
        }
    )
    named.index = named["instance_id"].astype(str).to_numpy()
    centres = measured[["centroid_x_px", "centroid_y_px"]].to_numpy(np.float64) + 0.5
    table = AnnData(
        X=measured[columns].to_numpy(np.float32),
        obs=named,
        var=pd.DataFrame(index=columns),
        obsm={"spatial": centres + origin_yx[::-1]},
    )
    return models.TableModel.parse(
        table, region=LABELS, region_key="region", instance_key="instance_id"
    )


def _describe_labels(folder: Path, segmentation: Segmentation) -> None:
    """Add colours and properties of every id, where NGFF has them."""
    group = zarr.open_group(str(folder / "labels" / LABELS), mode="r+", use_consolidated=False)
    attributes: dict[str, Any] = group.attrs.asdict()
    said = {"image-label": image_label(segmentation), OUR_CLASSES: class_list(segmentation)}
    group.attrs["ome"] = attributes["ome"] | said
    zarr.consolidate_metadata(str(folder))
