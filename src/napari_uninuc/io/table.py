"""One row of measurements for every nucleus, as CSV."""

from pathlib import Path

import numpy as np
import pandas as pd

from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.io.targets import replacing

__all__ = ["measure_nuclei", "write_csv"]


def measure_nuclei(segmentation: Segmentation, mpp: float | None = None) -> pd.DataFrame:
    """Measure every nucleus of the table in its label image.

    Parameters
    ----------
    segmentation : ids of the table that own no pixel get area 0 and an empty centroid
    mpp : micrometres per px; None leaves the columns in um empty

    Returns
    -------
    table : columns id, class, score, centroid_y_px, centroid_x_px, centroid_y_um,
        centroid_x_um, area_px, area_um2, y0, x0, y1, x1
        The centre of the first pixel is (0, 0); boxes are half-open, px.
    """
    source = segmentation.table.reset_index(drop=True)
    labels = segmentation.labels
    rows, columns = np.nonzero(labels)
    ids = source["id"].to_numpy(dtype=np.int64)
    places = _places(ids, labels[rows, columns])
    known = places >= 0
    places, rows, columns = places[known], rows[known], columns[known]
    area = np.bincount(places, minlength=len(ids))
    with np.errstate(invalid="ignore"):
        y = np.bincount(places, rows, len(ids)) / area
        x = np.bincount(places, columns, len(ids)) / area
    scale = np.nan if mpp is None else mpp
    measured = {
        "id": ids,
        "class": source["class"],
        "score": source["score"],
        "centroid_y_px": y,
        "centroid_x_px": x,
        "centroid_y_um": y * scale,
        "centroid_x_um": x * scale,
        "area_px": area,
        "area_um2": area * scale**2,
    }
    boxes = {name: source[name] for name in ("y0", "x0", "y1", "x1")}
    return pd.DataFrame({**measured, **boxes})


def _places(ids: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Find the row of each pixel's id, -1 where it has none."""
    if len(ids) == 0:
        return np.full(pixels.shape, -1)
    order = np.argsort(ids)
    found = order[np.minimum(np.searchsorted(ids, pixels, sorter=order), len(ids) - 1)]
    return np.where(ids[found] == pixels, found, -1)


def write_csv(segmentation: Segmentation, path: Path, mpp: float | None = None) -> None:
    """Write `measure_nuclei` as UTF-8 CSV with a header; unknown values are empty.

    Parameters
    ----------
    segmentation : as for `measure_nuclei`
    path : replaced whole or not at all; folders above it are made
    mpp : micrometres per px

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    table = measure_nuclei(segmentation, mpp)
    with replacing(path) as part:
        table.to_csv(part, index=False, float_format="%.6g", lineterminator="\n")
