"""Where settled nuclei go, block by block: each format streams, none holds the slide."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.io.colours import rgb_of
from napari_uninuc.io.geojson import at_full_resolution, feature_collection, features_of
from napari_uninuc.io.table import measure_nuclei
from napari_uninuc.io.targets import replacing
from napari_uninuc.slides.blocks import Block
from napari_uninuc.slides.plan import SlidePlan

__all__ = ["COLUMNS", "Sink", "geojson_sink", "parquet_sink", "rows_of_block"]

Sink = Callable[[Block], None]
"""Takes one block; called in the order of the slide."""

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

_ROWS_AT_ONCE = 20_000


@contextmanager
def parquet_sink(path: Path, plan: SlidePlan) -> Iterator[Sink]:
    """Write one row a nucleus as Parquet; see `COLUMNS`."""
    schema = pa.schema(list(COLUMNS.items()))
    pending: list[pd.DataFrame] = []
    with replacing(path) as part, pq.ParquetWriter(part, schema, compression="zstd") as writer:

        def write() -> None:
            if pending:
                rows = pd.concat(pending, ignore_index=True)
                writer.write_table(pa.Table.from_pandas(rows, schema, preserve_index=False))
                pending.clear()

        def take(block: Block) -> None:
            pending.append(rows_of_block(block, plan))
            if sum(map(len, pending)) >= _ROWS_AT_ONCE:
                write()

        yield take
        write()


def rows_of_block(block: Block, plan: SlidePlan) -> pd.DataFrame:
    """Measure the nuclei of a block: `COLUMNS`, in px of the slide at full resolution."""
    step = plan.downsample
    rows = measure_nuclei(block.segmentation, plan.level_mpp)
    for axis, first in zip("yx", block.origin_yx, strict=True):
        centre = (rows[f"centroid_{axis}_px"] + first + 0.5) * step - 0.5
        rows[f"centroid_{axis}_px"], rows[f"centroid_{axis}_um"] = centre, centre * plan.mpp
        rows[f"{axis}0"] = np.floor((rows[f"{axis}0"] + first) * step).astype(np.int32)
        rows[f"{axis}1"] = np.ceil((rows[f"{axis}1"] + first) * step).astype(np.int32)
    rows["predicted_iou"] = [each.mask.predicted_iou for each in block.nuclei]
    boxes = np.array([each.box_yxyx for each in block.nuclei]) * step
    for name, side in zip(("y0", "x0", "y1", "x1"), boxes.T, strict=True):
        rows[f"detected_{name}"] = side
    return rows[list(COLUMNS)]


@contextmanager
def geojson_sink(path: Path, plan: SlidePlan, full_shape: tuple[int, int]) -> Iterator[Sink]:
    """Write QuPath detections in px of the slide at full resolution, of (H, W) px."""
    space = uuid5(NAMESPACE_URL, f"uninuc:{plan.fingerprint}:{plan.model_sha256}")
    with feature_collection(path, _header(plan, full_shape)) as write:

        def take(block: Block) -> None:
            for feature in features_of(block.segmentation, space, plan.level_mpp, block.origin_yx):
                write(at_full_resolution(feature, plan.downsample))

        yield take


def _header(plan: SlidePlan, full_shape: tuple[int, int]) -> dict[str, Any]:
    palette = ClassPalette.of_names(list(plan.classes))
    frame = {"origin_yx_frame": list(plan.origin_yx)} if any(plan.origin_yx) else {}
    return {
        "version": 1,
        "shape": list(full_shape),
        "origin_yx_slide": [0, 0],
        **frame,
        "mpp": plan.mpp,
        "classes": [{"name": c.name, "color": list(rgb_of(c.colour))} for c in palette.classes],
    }
