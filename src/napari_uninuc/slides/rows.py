"""One row a nucleus of a slide: positions, sizes and shapes, in px of full resolution and um."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from napari_uninuc.core.runs import Runs
from napari_uninuc.io.hulls import hull_areas, pixel_hulls
from napari_uninuc.io.outlines import lay_out
from napari_uninuc.io.shape_measures import eccentricities, perimeters
from napari_uninuc.slides.nuclei import Nuclei

__all__ = ["COLUMNS", "Column", "rows_of"]

COLUMNS = {
    "id": pa.int64(),
    "class": pa.string(),
    "score": pa.float32(),
    "predicted_iou": pa.float32(),
    "centroid_y_px": pa.float32(),
    "centroid_x_px": pa.float32(),
    "centroid_y_um": pa.float32(),
    "centroid_x_um": pa.float32(),
    "area_um2": pa.float32(),
    "perimeter_um": pa.float32(),
    "solidity": pa.float32(),
    "eccentricity": pa.float32(),
    **{name: pa.int32() for name in ("y0", "x0", "y1", "x1")},
    **{f"detected_{name}": pa.float32() for name in ("y0", "x0", "y1", "x1")},
}
"""Positions and boxes are px of the slide at full resolution; its first pixel's centre is 0."""

_AT_ONCE = 64
"""Nuclei whose pixels are looked at together. Arrays of so few are made from memory that the
process has; larger ones are asked of the system, and given back, each time."""

_KINDS = {pa.int64(): np.int64, pa.int32(): np.int32, pa.float32(): np.float32}

Column = npt.NDArray[Any]


def rows_of(
    nuclei: Nuclei,
    origin_yx: npt.NDArray[np.int64],
    names: Sequence[str],
    mpp: float,
    downsample: float,
) -> dict[str, Column]:
    """Measure nuclei: `COLUMNS`, each (n,).

    Parameters
    ----------
    origin_yx : (n, 2) px of the level from which each is measured. Numbers are the same wherever
        it is but for their last digits: a tile's nuclei are measured from the first px of all
    names : n names of classes
    mpp : micrometres per px of full resolution
    downsample : px of full resolution per px of the level
    """
    runs, scale = nuclei.runs.moved(-origin_yx[:, 0], -origin_yx[:, 1]), mpp * downsample
    area = runs.areas
    centre_y, centre_x = _centres(runs, area)
    boxes = nuclei.runs.boxes
    columns: dict[str, Column] = {
        "id": nuclei.id,
        "class": np.array(names, dtype=object),
        "score": nuclei.score,
        "predicted_iou": nuclei.predicted_iou,
        "area_um2": area * scale * scale,
        "solidity": area / _hull_areas(runs),
    }
    for axis, centre, first in zip("yx", (centre_y, centre_x), origin_yx.T, strict=True):
        place = (centre + first + 0.5) * downsample - 0.5
        columns[f"centroid_{axis}_px"], columns[f"centroid_{axis}_um"] = place, place * mpp
    for place, axis in enumerate("yx"):
        columns[f"{axis}0"] = np.floor(boxes[:, place] * downsample).astype(np.int32)
        columns[f"{axis}1"] = np.ceil(boxes[:, place + 2] * downsample).astype(np.int32)
    columns["perimeter_um"], columns["eccentricity"] = _by_pixels(runs, area, centre_y, centre_x)
    columns["perimeter_um"] *= scale
    for place, name in enumerate(("y0", "x0", "y1", "x1")):
        columns[f"detected_{name}"] = nuclei.found_yxyx[:, place] * downsample
    return {name: columns[name].astype(_KINDS.get(kind, object)) for name, kind in COLUMNS.items()}


def _centres(runs: Runs, area: Column) -> tuple[Column, Column]:
    lengths, first = runs.x1 - runs.x0, runs.starts[:-1]
    sums = (runs.y * lengths, (runs.x0 + runs.x1 - 1) * lengths // 2)
    if not len(runs):
        return np.zeros(0), np.zeros(0)
    y, x = (np.add.reduceat(each, first) / area for each in sums)
    return y, x


def _hull_areas(runs: Runs) -> npt.NDArray[np.float64]:
    """Area of the convex hull of each nucleus, px^2."""
    owner = runs.owner
    fresh = np.ones(len(owner), np.bool_)  # the first run of a row
    fresh[1:] = (owner[1:] != owner[:-1]) | (runs.y[1:] != runs.y[:-1])
    first = np.flatnonzero(fresh)
    last = np.append(first[1:], len(owner)) - 1
    return hull_areas(
        pixel_hulls(owner[first], runs.y[first], runs.x0[first], runs.x1[last], len(runs))
    )


def _by_pixels(
    runs: Runs, area: Column, centre_y: Column, centre_x: Column
) -> tuple[Column, Column]:
    """Perimeters, px, and eccentricities."""
    lengths, roundness = np.zeros(len(runs)), np.zeros(len(runs))
    for start in range(0, len(runs), _AT_ONCE):
        chosen = np.arange(start, min(start + _AT_ONCE, len(runs)))
        some, count = runs.take(chosen), len(chosen)
        canvas, pixels = lay_out(chosen, some)
        owner, y, x = some.pixels()
        lengths[chosen] = perimeters(canvas.owner > 0, pixels, owner, count)
        dy: Column = y - centre_y[chosen][owner]
        dx: Column = x - centre_x[chosen][owner]
        roundness[chosen] = eccentricities(owner, dy, dx, area[chosen])
    return lengths, roundness
