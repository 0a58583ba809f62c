"""A finished run as DICOM annotations, square by square: the slide's labels are never held."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.errors import OutputError
from napari_uninuc.io.dicom_annotations import Annotated, Placed, write_placed
from napari_uninuc.io.dicom_slide import DicomSlide, require_on_slide
from napari_uninuc.io.dicom_terms import Code, FoundBy, stand_in
from napari_uninuc.io.sources import DECODING_ERRORS, reason_of
from napari_uninuc.slides.results import SlideResult

__all__ = ["slide_nuclei", "write_slide_annotations"]

_SQUARE = 4096
"""Side of what is read at once, px of the level; nuclei that begin in it are whole."""

_COLUMNS = ["id", "score", "class", "y0", "x0", "y1", "x1"]


def slide_nuclei(
    result: SlideResult, status: str | None = None, class_name: str | None = None
) -> Segmentation:
    """Read the table of a run.

    Parameters
    ----------
    status, class_name : which nuclei, as for `Segmentation.only`

    Returns
    -------
    nuclei : one row for each, boxes in px of the level and at most one px too wide; its labels
        have the size of the level, take no memory and are 0 everywhere

    Raises
    ------
    OutputError
        Damaged.
    LabelsError
        As `Segmentation.only`.
    """
    try:
        stored = pq.read_schema(result.table_path).names
        columns = [*_COLUMNS, *(["status"] if "status" in stored else [])]
        table = pq.read_table(result.table_path, columns=columns).to_pandas()
    except (*DECODING_ERRORS, pa.ArrowException) as problem:
        raise _damaged(result, problem) from None
    corners = table[_COLUMNS[3:]].to_numpy(np.float64) / result.plan.downsample
    boxes = np.concatenate([np.floor(corners[:, :2]), np.ceil(corners[:, 2:])], axis=1)
    boxes = np.clip(boxes, 0, [*result.plan.shape] * 2).astype(np.int64)
    table[_COLUMNS[3:]] = boxes
    nothing = np.zeros((1, 1), np.int32)
    palette = ClassPalette.of_names(list(result.plan.classes))
    kept = Segmentation(nothing, table, {}, palette).only(status, class_name)
    return replace(kept, labels=np.broadcast_to(nothing, result.plan.shape))


def write_slide_annotations(
    result: SlideResult,
    nuclei: Segmentation,
    path: Path,
    slide: DicomSlide | None = None,
    codes: Mapping[str, Code] | None = None,
) -> None:
    """Write annotations in px of the slide at full resolution.

    Parameters
    ----------
    nuclei : as `slide_nuclei` reads them, or some of its rows
    path : replaced whole or not at all
    slide, codes : as `write_dicom_annotations`

    Raises
    ------
    OutputError
        As `write_dicom_annotations`, or the result is damaged.
    """
    plan = result.plan
    if slide is not None:
        require_on_slide(path, slide, nuclei.table, (0, 0), plan.downsample)
    source = stand_in(plan.fingerprint) if slide is None else slide.header
    said = Annotated(
        nuclei,
        plan.level_mpp,
        plan.downsample,
        (0, 0),
        source,
        dict(codes or {}),
        FoundBy(plan.model, plan.model_sha256),
    )
    write_placed(_squares(result, nuclei.table), path, said)


def _squares(result: SlideResult, table: pd.DataFrame) -> Iterator[Placed]:
    """Read the pixels of nuclei whose boxes begin in one square, then of the next."""
    place = table["y0"] // _SQUARE, table["x0"] // _SQUARE
    for _, rows in table.groupby(list(place), sort=True):
        y0, x0 = rows[["y0", "x0"]].min().tolist()
        y1, x1 = rows[["y1", "x1"]].max().tolist()
        try:
            pixels = result.pixels((y0, x0, y1, x1))
        except DECODING_ERRORS as problem:
            raise _damaged(result, problem) from None
        moved = rows.reset_index(drop=True)
        moved[["y0", "y1"]] -= y0
        moved[["x0", "x1"]] -= x0
        yield Segmentation(pixels, moved, {}), (y0, x0)


def _damaged(result: SlideResult, problem: BaseException) -> OutputError:
    return OutputError(
        f"{result.folder}: expected readable nuclei, got {reason_of(problem)}; outline the slide "
        "again"
    )
