"""Table and QuPath file of a result, written anew around the nuclei that changed."""

import gzip
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from napari_uninuc.core.extents import crop_boxes, slices
from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.nuclei import Status
from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.engine.protocol import FoundNucleus
from napari_uninuc.errors import OutputError
from napari_uninuc.io.colours import rgb_of
from napari_uninuc.io.geojson import HEADER, ID, at_full_resolution, features_of
from napari_uninuc.io.targets import replacing
from napari_uninuc.slides.correction import Correction
from napari_uninuc.slides.nuclei import Nuclei
from napari_uninuc.slides.plan import SlidePlan, space_of
from napari_uninuc.slides.protocol import Box
from napari_uninuc.slides.results import SlideResult
from napari_uninuc.slides.rows import COLUMNS, rows_of
from napari_uninuc.slides.summary import OUTPUTS

__all__ = ["changed_block", "write_merged_geojson", "write_merged_table"]

_SCHEMA = pa.schema([*COLUMNS.items(), ("status", pa.string())])
_ROWS_AT_ONCE = 20_000
_ID = re.compile(rf'"{re.escape(ID)}": "(\d+)"')
_COMPRESSION = 6
_NOWHERE = (float("nan"),) * 4


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Nuclei that changed, px of a window of the level.

    Attributes
    ----------
    segmentation : ids as of the result
    origin_yx : the window's first pixel, px of the level
    nuclei : the same nuclei in the order of the table, px of the level
    """

    segmentation: Segmentation
    origin_yx: tuple[int, int]
    nuclei: Nuclei


def changed_block(
    plan: SlidePlan,
    pixels: npt.NDArray[np.int32],
    window: Box,
    ids: Sequence[int],
    id_in_region: Mapping[int, int],
    correction: Correction,
) -> Block:
    """Put the nuclei that changed into a block of their own.

    Parameters
    ----------
    pixels : (H, W) of the window, after joining
    window : px of the level
    ids : of the result, ascending
    id_in_region : id of the result -> row of the correction
    """
    boxes = crop_boxes(pixels, window[:2], frozenset(ids))
    found = [_found(id_, pixels, window, boxes[id_], id_in_region[id_], correction) for id_ in ids]
    names = [correction.classes.name_of(each.mask.class_id) for each in found]
    table = pd.DataFrame(
        {
            "id": np.array(ids, np.int64),
            "score": np.array([each.mask.score for each in found], np.float64),
            "class": names,
        }
    )
    sides = np.array([boxes[id_] for id_ in ids], np.int64).reshape(-1, 4) - [*window[:2]] * 2
    for name, side in zip(("y0", "x0", "y1", "x1"), sides.T, strict=True):
        table[name] = side
    kept = np.where(np.isin(pixels, ids), pixels, np.int32(0)).astype(np.int32)
    segmentation = Segmentation(kept, table, {}, correction.classes)
    nuclei = replace(Nuclei.of_found(0, found), id=np.array(ids, np.int64))
    return Block(segmentation, (window[0], window[1]), nuclei)


def _found(
    id_: int,
    pixels: npt.NDArray[np.int32],
    window: Box,
    box: Box,
    own: int,
    correction: Correction,
) -> FoundNucleus:
    row, (y, x) = correction.rows[own], correction.box_yxyx[:2]
    local = box[0] - window[0], box[1] - window[1], box[2] - window[0], box[3] - window[1]
    mask = InstanceMask(
        box[:2], pixels[slices(local)] == id_, row.score, row.class_id, row.predicted_iou
    )
    found = row.detected_box_yxyx
    moved = _NOWHERE if found is None else (found[0] + y, found[1] + x, found[2] + y, found[3] + x)
    return FoundNucleus(mask, moved)


def write_merged_table(
    result: SlideResult,
    path: Path,
    gone: Collection[int],
    block: Block,
    statuses: Sequence[str],
) -> None:
    """Write the table without some ids, and with the nuclei of a block at its end.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    leaving = pa.array(sorted(gone), pa.int64())
    with replacing(path) as part, pq.ParquetWriter(part, _SCHEMA, compression="zstd") as writer:
        for batch in pq.ParquetFile(result.table_path).iter_batches(_ROWS_AT_ONCE):
            kept = pa.Table.from_batches([batch])
            kept = kept.filter(pc.invert(pc.is_in(kept["id"], leaving)))
            if "status" not in kept.column_names:
                automatic = pa.array([Status.AUTOMATIC.value] * len(kept), pa.string())
                kept = kept.append_column("status", automatic)
            writer.write_table(kept.select(_SCHEMA.names).cast(_SCHEMA))
        if len(block.nuclei):
            rows = _rows(block, result.plan).assign(status=list(statuses))
            writer.write_table(pa.Table.from_pandas(rows, _SCHEMA, preserve_index=False))


def _rows(block: Block, plan: SlidePlan) -> pd.DataFrame:
    """Measure the nuclei of a block, from its first pixel."""
    origins = np.tile(np.array(block.origin_yx, np.int64), (len(block.nuclei), 1))
    names = block.segmentation.table["class"].tolist()
    return pd.DataFrame(rows_of(block.nuclei, origins, names, plan.mpp, plan.downsample))


def write_merged_geojson(
    result: SlideResult,
    path: Path,
    gone: Collection[int],
    block: Block,
    statuses: Sequence[str],
) -> None:
    """Write the features without some ids, and with the nuclei of a block at the end.

    Raises
    ------
    OutputError
        The file cannot be written, or the result's is not as `uninuc slide` wrote it.
    """
    source = result.folder / OUTPUTS["geojson"]
    with gzip.open(source, "rt", encoding="utf-8") as old, replacing(path) as part:
        start = _with_classes(source, old.readline(), block.segmentation)
        with part.open("wb") as raw, gzip.GzipFile("", "wb", _COMPRESSION, raw, mtime=0) as file:
            file.write(start.encode())
            between = ""
            for line in _kept_lines(source, old, frozenset(gone)):
                file.write(f"{between}\n{line}".encode())
                between = ","
            for feature in _features(result.plan, block, statuses):
                file.write(f"{between}\n{json.dumps(feature)}".encode())
                between = ","
            file.write(b"\n]}\n")


def _kept_lines(source: Path, lines: Iterator[str], gone: frozenset[int]) -> Iterator[str]:
    for line in lines:
        text = line.rstrip().rstrip(",")
        if text in ("]}", ""):
            continue
        found = _ID.search(text)
        if found is None:
            raise OutputError(
                f"{source}: expected the file as `uninuc slide` wrote it, got a feature without "
                "id; outline the slide again"
            )
        if int(found[1]) not in gone:
            yield text


def _with_classes(source: Path, start: str, added: Segmentation) -> str:
    """Add classes that the file does not name yet to its first line."""
    try:
        header = json.loads(start.rstrip() + "]}")[HEADER]
        names = [each["name"] for each in header["classes"]]
    except (ValueError, KeyError, TypeError) as problem:
        raise OutputError(
            f"{source}: expected the file as `uninuc slide` wrote it, got damage ({problem}); "
            "outline the slide again"
        ) from None
    used = set(added.table["class"])
    for each in added.palette.classes:
        if each.name in used and each.name not in names:
            header["classes"].append({"name": each.name, "color": list(rgb_of(each.colour))})
    return f'{{"type": "FeatureCollection", "{HEADER}": {json.dumps(header)}, "features": ['


def _features(plan: SlidePlan, block: Block, statuses: Sequence[str]) -> Iterator[dict[str, Any]]:
    space, nuclei = space_of(plan), block.segmentation
    with_status = replace(nuclei, table=nuclei.table.assign(status=list(statuses)))
    for feature in features_of(with_status, space, plan.level_mpp, block.origin_yx):
        yield at_full_resolution(feature, plan.downsample)
