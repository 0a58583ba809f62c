"""How brown the nuclei of a slide are: its pixels read once more, under the labels of a result."""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from napari_uninuc.core.stain import StainVectors, dab_of_pixels
from napari_uninuc.errors import OutputError
from napari_uninuc.slides.protocol import Box, Slide
from napari_uninuc.slides.results import SlideResult
from napari_uninuc.slides.state import read_state
from napari_uninuc.slides.summary import SlideSummary

__all__ = ["dab_of_result", "tissue_of_result"]

_SIDE = 2048
"""Px of the squares that are looked at one after the other; bounds the memory."""

Progress = Callable[[int, int], None]
"""Called with (squares done, squares in all)."""


def dab_of_result(
    result: SlideResult,
    slide: Slide,
    vectors: StainVectors | None = None,
    progress: Progress = lambda done, total: None,
) -> tuple[npt.NDArray[np.str_], npt.NDArray[np.float64]]:
    """Mean optical density of DAB of each nucleus, as the labels are now.

    Parameters
    ----------
    slide : that the result is of
    vectors : None takes Ruifrok and Johnston's

    Returns
    -------
    classes : name of each nucleus' class, (N,), in the order of the table
    density : (N,), 0 or more

    Raises
    ------
    ImageError
        Pixels that cannot be read, or vectors that cannot be told apart.
    OutputError
        Labels and table that do not belong together.
    """
    table = pq.read_table(result.table_path, columns=["id", "class"])
    ids = np.asarray(table["id"].to_numpy(), np.int64)
    order = np.argsort(ids)
    ascending = ids[order]
    sums, counts = np.zeros(len(ids)), np.zeros(len(ids), np.int64)
    squares = list(_squares(result.plan.shape))
    labels = result.levels()[0]
    for done, (y0, x0, y1, x1) in enumerate(squares):
        progress(done, len(squares))
        here = np.asarray(labels[y0:y1, x0:x1])
        inside = here > 0
        if not inside.any():
            continue
        rgb = slide.read(result.plan.level, (y0, x0, y1, x1))[inside]
        there, place = np.unique(here[inside], return_inverse=True)
        rows = np.searchsorted(ascending, there)
        if (rows == len(ids)).any() or (ascending[rows] != there).any():
            raise OutputError(
                f"{result.table_path}: expected a row for every nucleus of the labels, got none "
                "for some; the labels are of another run, outline the slide again"
            )
        sums[rows] += np.bincount(place, dab_of_pixels(rgb, vectors))
        counts[rows] += np.bincount(place)
    progress(len(squares), len(squares))
    density = np.empty(len(ids))
    density[order] = sums / np.maximum(counts, 1)
    return np.asarray(table["class"].to_pylist(), np.str_), density


def tissue_of_result(result: SlideResult) -> float:
    """Square millimetres of tissue on the slide; OutputError where the state is damaged."""
    stored = read_state(result.folder) or {}
    try:
        return float(SlideSummary.of(stored["finished"]).tissue_mm2)
    except (KeyError, TypeError, ValueError) as problem:
        raise OutputError(
            f"{result.folder}: expected the area of tissue in the state of the run, got damage "
            f"({problem}); outline the slide again"
        ) from None


def _squares(shape: tuple[int, int]) -> Iterator[Box]:
    height, width = shape
    for y in range(0, height, _SIDE):
        for x in range(0, width, _SIDE):
            yield y, x, min(y + _SIDE, height), min(x + _SIDE, width)
