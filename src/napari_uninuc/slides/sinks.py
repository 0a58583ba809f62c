"""Where pieces of a slide go, in turn: each format streams, none holds the slide."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.io.colours import rgb_of
from napari_uninuc.io.geojson import collection_ends, packed
from napari_uninuc.io.targets import replacing
from napari_uninuc.slides.pieces import Written
from napari_uninuc.slides.plan import SlidePlan
from napari_uninuc.slides.rows import COLUMNS

__all__ = ["Sink", "geojson_sink", "parquet_sink", "table_of"]

Sink = Callable[[Written], None]
"""Takes one piece; called in the order of the slide."""

_SCHEMA = pa.schema(list(COLUMNS.items()))
_ROWS_AT_ONCE = 20_000


@contextmanager
def parquet_sink(path: Path) -> Iterator[Sink]:
    """Write one row a nucleus as Parquet; see `COLUMNS`. Groups of rows end where tiles end."""
    pending: list[pd.DataFrame] = []
    with replacing(path) as part, pq.ParquetWriter(part, _SCHEMA, compression="zstd") as writer:

        def write() -> None:
            if pending:
                writer.write_table(table_of(pd.concat(pending, ignore_index=True)))
                pending.clear()

        def take(piece: Written) -> None:
            rows = pd.DataFrame(piece.columns)
            waiting, begin, end = sum(map(len, pending)), 0, 0
            for size in piece.sizes:
                end += size
                if waiting + end - begin >= _ROWS_AT_ONCE:
                    pending.append(rows[begin:end])
                    write()
                    waiting, begin = 0, end
            if end > begin:
                pending.append(rows[begin:end])

        yield take
        write()


def table_of(rows: pd.DataFrame) -> pa.Table:
    """Put rows into the types of `COLUMNS`."""
    return pa.Table.from_pandas(rows, _SCHEMA, preserve_index=False)


@contextmanager
def geojson_sink(path: Path, plan: SlidePlan, full_shape: tuple[int, int]) -> Iterator[Sink]:
    """Write QuPath detections in px of the slide at full resolution, of (H, W) px.

    The file is gzip in many members, one a piece, as several processes pack them.
    """
    start, end = collection_ends(_header(plan, full_shape))
    with replacing(path) as part, part.open("wb") as file:
        file.write(packed(start))

        def take(piece: Written) -> None:
            file.write(piece.lines)

        yield take
        file.write(packed(end))


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
