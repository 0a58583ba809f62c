"""A corrected region goes back into the result of a slide: labels, table and all made of them.

Everything is made ready beside the result first. Only then are the labels' chunks written and the
files exchanged; a merge that was stopped there is carried on by the next one, or by
`finish_merge`.
"""

import shutil
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import zarr

from napari_uninuc.core.steps import result_of
from napari_uninuc.errors import OutputError
from napari_uninuc.io.targets import replacing
from napari_uninuc.slides.correction import Correction
from napari_uninuc.slides.joining import Joined, join
from napari_uninuc.slides.merged_files import (
    changed_block,
    write_merged_geojson,
    write_merged_table,
)
from napari_uninuc.slides.protocol import Box
from napari_uninuc.slides.recount import write_recounted
from napari_uninuc.slides.results import NEXT_ID, SlideResult
from napari_uninuc.slides.state import STATE, claimed
from napari_uninuc.slides.summary import OUTPUTS
from napari_uninuc.slides.tissue import Tissue

__all__ = [
    "Merged",
    "carry_on",
    "finish_merge",
    "is_merging",
    "merge_back",
    "merge_steps",
]

_Value = TypeVar("_Value")
Steps = Generator[tuple[int, int], None, _Value]
"""Yields (steps done, of all)."""

_BESIDE = ".merge"
_LABELS, _READY = "labels.npz", "ready"
_EXCHANGED = (*(OUTPUTS[name] for name in ("parquet", "geojson", "density", "report")), STATE)


@dataclass(frozen=True, slots=True)
class Merged:
    """What became of the nuclei: how many were changed, added and removed."""

    changed: int
    added: int
    removed: int


def merge_back(result: SlideResult, correction: Correction, tissue: Tissue) -> Merged:
    """Write a corrected region into the result of its slide.

    Nuclei that cross the region's edge are kept whole, see `joining.join`. Nuclei that are the
    same as before keep id, row and feature as they are; those of the region that are new get new
    ids. Heat maps, report and counts are made anew where the result has them.

    Parameters
    ----------
    tissue : of the slide, for the report

    Raises
    ------
    OutputError
        Another run or merge is at work there, damage, or no room; then the result is as before,
        or is finished by the next merge.
    """
    return result_of(merge_steps(result, correction, tissue))


def merge_steps(result: SlideResult, correction: Correction, tissue: Tissue) -> Steps[Merged]:
    """Do `merge_back` bit by bit: yields (steps done, of all), returns `Merged`."""
    with claimed(result.folder):
        carry_on(result)
        yield 0, 5
        known = _Known.of(result, correction)
        joined = join(
            known.pixels,
            correction.pixels,
            known.at_yx,
            own_from=correction.own_from,
            elsewhere=known.elsewhere,
            next_id=known.next_id,
        )
        merged, beside = yield from _make_ready(result, correction, known, joined)
        write_recounted(result, beside, tissue)
        (beside / _READY).touch()
        yield 4, 5
        carry_on(result)
        yield 5, 5
        return merged


def finish_merge(result: SlideResult) -> bool:
    """Carry a merge on that was stopped while it was being written; False where none was.

    Raises
    ------
    OutputError
        As `merge_back`.
    """
    if not (result.folder / _BESIDE).exists():
        return False
    with claimed(result.folder):
        return carry_on(result)


def is_merging(folder: Path) -> bool:
    """Whether a merge was stopped there while it was being written."""
    return (folder / _BESIDE / _READY).exists()


@dataclass(frozen=True, slots=True, eq=False)
class _Known:
    """The result around a region: a window of labels that holds its nuclei whole, and rows."""

    window: Box
    pixels: npt.NDArray[np.int32]
    at_yx: tuple[int, int]
    rows: pd.DataFrame
    elsewhere: frozenset[int]
    next_id: int

    @classmethod
    def of(cls, result: SlideResult, correction: Correction) -> "_Known":
        """Read it."""
        y0, x0, y1, x1 = correction.box_yxyx
        rows = result.rows_near(correction.box_yxyx)
        inside = result.pixels(correction.box_yxyx)
        here = {int(id_) for id_ in np.unique(inside)} - {0}
        met = rows.loc[[id_ for id_ in rows.index if id_ in here]]
        step, (height, width) = result.plan.downsample, result.plan.shape
        # Boxes were rounded outwards to px of full resolution; one px more is no harm.
        window = (
            max(0, min(y0, _lowest(met["y0"], step) - 1)),
            max(0, min(x0, _lowest(met["x0"], step) - 1)),
            min(height, max(y1, _highest(met["y1"], step) + 1)),
            min(width, max(x1, _highest(met["x1"], step) + 1)),
        )
        elsewhere = frozenset(result.ids().tolist()) - here
        at_yx = y0 - window[0], x0 - window[1]
        return cls(window, result.pixels(window), at_yx, rows, elsewhere, result.next_id())


def _lowest(values: pd.Series, step: float) -> int:
    return int(np.floor(values.min() / step)) if len(values) else 2**31


def _highest(values: pd.Series, step: float) -> int:
    return int(np.ceil(values.max() / step)) if len(values) else 0


def _make_ready(
    result: SlideResult, correction: Correction, known: _Known, joined: Joined
) -> Steps[tuple[Merged, Path]]:
    """Write everything new beside the result; returns what changed, and where it lies."""
    id_in_region = {out: id_ for id_, out in joined.id_of.items()}
    touched = _touched(correction, known, joined, id_in_region)
    block = changed_block(
        result.plan, joined.pixels, known.window, touched, id_in_region, correction
    )
    gone = frozenset(touched) | joined.removed
    beside = result.folder / _BESIDE
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    with replacing(beside / _LABELS) as part, part.open("wb") as file:
        np.savez_compressed(
            file, origin=np.array(known.window[:2]), pixels=joined.pixels, next_id=joined.next_id
        )
    yield 1, 5
    statuses = [correction.rows[id_in_region[id_]].status.value for id_ in touched]
    write_merged_table(result, beside / OUTPUTS["parquet"], gone, block, statuses)
    yield 2, 5
    if (result.folder / OUTPUTS["geojson"]).exists():
        write_merged_geojson(result, beside / OUTPUTS["geojson"], gone, block, statuses)
    yield 3, 5
    added = len([id_ for id_ in touched if id_ not in known.rows.index])
    return Merged(len(touched) - added, added, len(joined.removed)), beside


def _touched(
    correction: Correction, known: _Known, joined: Joined, id_in_region: Mapping[int, int]
) -> list[int]:
    """Ids of the result whose pixels, class or status are not as before, ascending."""
    differs = known.pixels != joined.pixels
    other = set(np.unique(known.pixels[differs])) | set(np.unique(joined.pixels[differs]))
    touched = []
    for out, id_ in sorted(id_in_region.items()):
        row = correction.rows[id_]
        said = correction.classes.name_of(row.class_id), row.status.value
        stored = known.rows.loc[out] if out in known.rows.index else None
        same = stored is not None and (str(stored["class"]), str(stored["status"])) == said
        if out in other or not same:
            touched.append(out)
    return touched


def carry_on(result: SlideResult) -> bool:
    """Do `finish_merge` in a folder that is claimed: what is not ready is thrown away.

    Raises
    ------
    OutputError
        The merge cannot be finished; it can be carried on later.
    """
    beside = result.folder / _BESIDE
    if not (beside / _READY).exists():
        shutil.rmtree(beside, ignore_errors=True)
        return False
    try:
        with np.load(beside / _LABELS, allow_pickle=False) as stored:
            _write_labels(result, stored["pixels"], stored["origin"].tolist())
            group = zarr.open_group(str(result.labels_path), mode="r+")
            group.attrs[NEXT_ID] = int(stored["next_id"])
        for name in _EXCHANGED:
            if (beside / name).exists():
                (beside / name).replace(result.folder / name)
    except (OSError, ValueError, KeyError) as problem:
        raise OutputError(
            f"{result.folder}: the merge could not be finished ({problem}); make room there and "
            "merge again, it is carried on"
        ) from None
    (beside / _READY).unlink()  # first: what is left of a folder half removed is not ready
    shutil.rmtree(beside, ignore_errors=True)
    return True


def _write_labels(result: SlideResult, pixels: npt.NDArray[np.int32], origin: list[int]) -> None:
    """Write a window of the finest level, and what coarser ones show of it, where it differs."""
    for place, array in enumerate(result.levels("r+")):
        step = 2**place
        first = [-(-value // step) for value in origin]
        seen = pixels[first[0] * step - origin[0] :: step, first[1] * step - origin[1] :: step]
        _write_where_different(array, seen, (first[0], first[1]))


def _write_where_different(
    array: Any, pixels: npt.NDArray[np.int32], origin: tuple[int, int]
) -> None:
    """Write chunk by chunk; a chunk that is right already is not touched."""
    (y, x), (height, width) = origin, pixels.shape
    rows, columns = array.chunks
    for top in range(y // rows * rows, y + height, rows):
        for left in range(x // columns * columns, x + width, columns):
            ys = slice(max(top, y), min(top + rows, y + height))
            xs = slice(max(left, x), min(left + columns, x + width))
            new = pixels[ys.start - y : ys.stop - y, xs.start - x : xs.stop - x]
            if new.size and not np.array_equal(np.asarray(array[ys, xs]), new):
                array[ys, xs] = new
