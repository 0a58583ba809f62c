"""One row of measurements for every nucleus, as CSV or Parquet.

Measured from the pixels of some thousand nuclei at a time: 100,000 in well under a minute, with
the numbers scikit-image's ``regionprops`` gives, except for solidity.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from napari_uninuc.core.segmentation import (
    CLASS_BY,
    CLASS_PROBABILITY,
    FOUND_COLUMNS,
    STAIN_SAID,
    Segmentation,
)
from napari_uninuc.core.tile import Tile
from napari_uninuc.errors import OutputError
from napari_uninuc.io.hulls import Hulls, hull_measures, pixel_hulls
from napari_uninuc.io.neighbours import circularity, neighbourhood
from napari_uninuc.io.outlines import Canvas, pack_nuclei
from napari_uninuc.io.shape_measures import eccentricities, outline_lengths, perimeters
from napari_uninuc.io.targets import replacing

__all__ = ["measure_nuclei", "write_csv", "write_parquet"]

_SHAPES = (
    *("area", "y", "x", "perimeter", "outline", "solidity", "eccentricity", "feret", "min_feret"),
)
_COLOURS = (
    "mean_red",
    "mean_green",
    "mean_blue",
    "mean_haematoxylin_od",
    "mean_eosin_od",
    "mean_dab_od",
)


def measure_nuclei(
    segmentation: Segmentation, mpp: float | None = None, tile: Tile | None = None
) -> pd.DataFrame:
    """Measure every nucleus of the table in its label image.

    Parameters
    ----------
    segmentation : ids of the table that own no pixel get area 0 and otherwise empty fields
    mpp : micrometres per px; None leaves the columns in um empty
    tile : the picture, of the labels' shape; None leaves out the columns of colour

    Returns
    -------
    table : one row for each of the table's, in its order; what each column is, `MEASURES` says.
        Colours are there with a tile, places on the slide with one that was cut from a slide;
        class_probability and class_by where classes were derived, stain_said where a person has
        overruled what is measured, `FOUND_COLUMNS` where the detector's boxes
        are known

    Examples
    --------
    >>> import numpy as np
    >>> from napari_uninuc import Segmentation
    >>> from napari_uninuc.io.table import measure_nuclei
    >>> labels = np.zeros((40, 60), np.int32)
    >>> labels[10:14, 20:26] = 7
    >>> table = measure_nuclei(Segmentation.from_labels(labels), mpp=0.5)
    >>> table[["id", "area_px", "area_um2", "centroid_y_px", "centroid_x_px"]].values.tolist()
    [[7.0, 24.0, 6.0, 11.5, 22.5]]
    """
    source = segmentation.table.reset_index(drop=True)
    ids = source["id"].to_numpy(dtype=np.int64)
    shapes = pd.DataFrame(_measured(segmentation, tile)).set_index("id").reindex(ids)
    scale = np.nan if mpp is None else mpp
    y, x = shapes["y"].to_numpy(), shapes["x"].to_numpy()
    area = shapes["area"].fillna(0).to_numpy().astype(np.int64)
    perimeter = shapes["perimeter"].to_numpy()
    measured: dict[str, Any] = {
        "id": ids,
        "class": source["class"],
        "score": source["score"],
        "status": source.get("status", ""),
        "centroid_y_px": y,
        "centroid_x_px": x,
        "centroid_y_um": y * scale,
        "centroid_x_um": x * scale,
        "area_px": area,
        "area_um2": area * scale * scale,
        "perimeter_px": perimeter,
        "perimeter_um": perimeter * scale,
        "outline_px": shapes["outline"].to_numpy(),
        "outline_um": shapes["outline"].to_numpy() * scale,
        "circularity": circularity(area, perimeter),
        "solidity": shapes["solidity"].to_numpy(),
        "eccentricity": shapes["eccentricity"].to_numpy(),
        "feret_px": shapes["feret"].to_numpy(),
        "feret_um": shapes["feret"].to_numpy() * scale,
        "min_feret_px": shapes["min_feret"].to_numpy(),
        "min_feret_um": shapes["min_feret"].to_numpy() * scale,
        **neighbourhood(y, x, segmentation.labels.shape, mpp),
    }
    colours = {} if tile is None else {name: shapes[name].to_numpy() for name in _COLOURS}
    on_slide = {} if tile is None or tile.place is None else _on_slide(y, x, scale, tile)
    told = {n: source[n] for n in (CLASS_PROBABILITY, CLASS_BY, STAIN_SAID) if n in source}
    present = [name for name in FOUND_COLUMNS if name in source.columns]
    boxes = {name: source[name] for name in ("y0", "x0", "y1", "x1", *present)}
    return pd.DataFrame({**measured, **told, **on_slide, **colours, **boxes})


def _on_slide(
    y: npt.NDArray[np.float64], x: npt.NDArray[np.float64], mpp: float, tile: Tile
) -> dict[str, npt.NDArray[np.float64]]:
    """Centroids on the slide, px of full resolution and um."""
    step, found = tile.downsample, {}
    for axis, centre, first in zip("yx", (y, x), tile.origin_yx_slide, strict=True):
        found[f"slide_{axis}_px"] = (centre + first + 0.5) * step - 0.5
    return found | {f"{n[:-2]}um": value * mpp / step for n, value in found.items()}


def _measured(segmentation: Segmentation, tile: Tile | None) -> dict[str, Any]:
    """Measure canvas by canvas; nuclei without pixels are left out."""
    names = ("id", *_SHAPES, *(() if tile is None else _COLOURS))
    parts: dict[str, list[Any]] = {name: [np.zeros(0)] for name in names}
    for canvas in pack_nuclei(segmentation):
        found = _measure_canvas(canvas, tile)
        kept = found["area"] > 0
        for name in names:
            parts[name].append(found[name][kept])
    return {name: np.concatenate(values) for name, values in parts.items()}


def _measure_canvas(canvas: Canvas, tile: Tile | None) -> dict[str, npt.NDArray[Any]]:
    rows, columns = np.nonzero(canvas.owner)
    owner = canvas.owner[rows, columns] - 1
    count = len(canvas.ids)
    area = np.bincount(owner, minlength=count)
    y, x = (np.stack([rows, columns], axis=1) + canvas.shift_yx[owner]).T
    hull_area, longest, narrowest = hull_measures(_hulls(owner, y, x, count))
    with np.errstate(invalid="ignore"):
        centre_y = np.bincount(owner, y, count) / area
        centre_x = np.bincount(owner, x, count) / area
        found: dict[str, npt.NDArray[Any]] = {
            "id": canvas.ids,
            "area": area,
            "y": centre_y,
            "x": centre_x,
            "perimeter": perimeters(
                canvas.owner > 0,
                np.ravel_multi_index((rows, columns), canvas.owner.shape),
                owner,
                count,
            ),
            "outline": outline_lengths(canvas.owner, count),
            "solidity": area / hull_area,
            "feret": longest,
            "min_feret": narrowest,
            "eccentricity": eccentricities(owner, y - centre_y[owner], x - centre_x[owner], area),
        }
        if tile is not None:
            sums = [np.bincount(owner, each, count) for each in _colours(tile.rgb[y, x]).T]
            found |= {name: each / area for name, each in zip(_COLOURS, sums, strict=True)}
    return found


def _hulls(
    owner: npt.NDArray[np.int32], y: npt.NDArray[np.int64], x: npt.NDArray[np.int64], count: int
) -> Hulls:
    """Find the hulls of pixels."""
    order = np.lexsort((x, y, owner))
    owner, y, x = owner[order], y[order], x[order]
    fresh = np.concatenate([[True], (np.diff(owner) != 0) | (np.diff(y) != 0)])[: len(y)]
    first = np.flatnonzero(fresh)
    last = np.append(first[1:], len(y)) - 1
    return pixel_hulls(owner[first].astype(np.int64), y[first], x[first], x[last] + 1, count)


def _colours(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Return red, green, blue, and optical density of haematoxylin, eosin and DAB: (n, 6)."""
    from skimage.color import hed_from_rgb  # here, for it loads half a second of scikit-image

    density = -np.log10(np.maximum(np.arange(256), 1) / 255)
    stains = np.maximum(density[rgb] @ hed_from_rgb, 0)
    return np.concatenate([rgb.astype(np.float64), stains], axis=1)


def write_csv(
    segmentation: Segmentation, path: Path, mpp: float | None = None, tile: Tile | None = None
) -> None:
    """Write `measure_nuclei` as UTF-8 CSV with a header; unknown values are empty.

    Parameters
    ----------
    segmentation, mpp, tile : as for `measure_nuclei`
    path : replaced whole or not at all; folders above it are made

    Raises
    ------
    OutputError
        The file cannot be written.

    Examples
    --------
    >>> from pathlib import Path
    >>> import pandas as pd
    >>> from napari_uninuc import Segmentation
    >>> from napari_uninuc.io.table import write_csv
    >>> from napari_uninuc.testing import make_tile
    >>> tissue = make_tile((64, 64), n_nuclei=3)
    >>> nuclei = Segmentation.from_labels(tissue.labels)

    >>> write_csv(nuclei, Path("nuclei.csv"), mpp=0.25, tile=tissue.tile)
    >>> table = pd.read_csv("nuclei.csv")
    >>> table["id"].tolist(), "mean_haematoxylin_od" in table
    ([1, 2, 3], True)
    """
    table = measure_nuclei(segmentation, mpp, tile)
    with replacing(path) as part:
        table.to_csv(part, index=False, float_format="%.6g", lineterminator="\n")


def write_parquet(
    segmentation: Segmentation, path: Path, mpp: float | None = None, tile: Tile | None = None
) -> None:
    """Write `measure_nuclei` as Parquet, with pyarrow.

    Parameters
    ----------
    segmentation, mpp, tile : as for `measure_nuclei`
    path : replaced whole or not at all; folders above it are made

    Raises
    ------
    OutputError
        The file cannot be written, or pyarrow is not installed.

    Examples
    --------
    >>> from pathlib import Path
    >>> import pandas as pd
    >>> from napari_uninuc import Segmentation
    >>> from napari_uninuc.io.table import write_parquet
    >>> from napari_uninuc.testing import make_tile
    >>> tissue = make_tile((64, 64), n_nuclei=3)
    >>> nuclei = Segmentation.from_labels(tissue.labels)

    >>> write_parquet(nuclei, Path("nuclei.parquet"), mpp=0.25)
    >>> pd.read_parquet("nuclei.parquet", columns=["id", "class"]).values.tolist()
    [[1, 'nucleus'], [2, 'nucleus'], [3, 'nucleus']]
    """
    table = measure_nuclei(segmentation, mpp, tile)
    try:
        with replacing(path) as part:
            table.to_parquet(part, engine="pyarrow", index=False)
    except ImportError:
        raise OutputError(
            f"{path}: Parquet needs the package pyarrow, got none; pip install pyarrow, or "
            "write .csv"
        ) from None
