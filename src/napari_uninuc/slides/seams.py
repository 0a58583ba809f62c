"""Nuclei of many tiles become one picture: none cut at a seam, none twice, none lost.

Fields answer for what has its centre in their inner part, and a little more (`engine.owners`), so
a nucleus at a seam is outlined whole by one tile or by two. As in a picture of one piece
(`core.instances.resolve_overlaps`) pixels go to the better score, and what better ones cover by
more than half is the same nucleus again.

That takes masks in the order of their scores, over the whole slide. What becomes of a mask depends
only on better ones that it meets, so any order is as good in which those come first. This settles
row after row of tiles: a mask waits while a tile that is not loaded yet, or a better mask that
waits itself, could reach it. The result is the same, pixel by pixel, and memory holds two rows.

Most masks are one piece and share no pixel with another: they keep what they have, thousands at
once. Only the others are looked at one by one.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from napari_uninuc.core.geometry import Field
from napari_uninuc.core.instances import largest_piece
from napari_uninuc.core.outline import tight_crop
from napari_uninuc.core.runs import Runs, runs_of_crops
from napari_uninuc.slides.nuclei import Nuclei
from napari_uninuc.slides.plan import SlidePlan
from napari_uninuc.slides.protocol import Box

__all__ = ["SettledRow", "settle"]

_CELL = 128
"""Px; boxes that could meet are looked for in cells of this side."""

_BEYOND = 64
"""Px that a mask may reach beyond the field that found it; an annotator's need not at all."""

_EVERYWHERE = 2**62

Crop = npt.NDArray[np.bool_]
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True, eq=False)
class SettledRow:
    """Nuclei of which nothing more can change.

    Attributes
    ----------
    nuclei : tile by tile; ids are in the order in which they were settled, from 1. None shares a
        pixel with another, and each is one 4-connected piece
    low : px; what is settled later lies at or below this row
    """

    nuclei: Nuclei
    low: int


def settle(results: Iterable[Nuclei], plan: SlidePlan) -> Iterator[SettledRow]:
    """Give every pixel to one nucleus at most.

    Parameters
    ----------
    results : of all tiles of the plan, in their order; best score first

    Yields
    ------
    settled : after each row of tiles
    """
    rows = [
        list(group)
        for _, group in groupby(plan.tiles, key=lambda index: plan.fields[index].outer_yxyx[0])
    ]
    source, waiting, near, count = iter(results), Nuclei.none(), Runs.none(), 0
    for place, row in enumerate(rows):
        loaded = (_inside(next(source), plan.shape) for _ in row)
        waiting = Nuclei.joined([waiting, *loaded])
        waiting = waiting.take(np.lexsort((waiting.place, waiting.tile, -waiting.score)))
        blocked = _blocked(waiting.runs.boxes, _to_come(rows[place + 1 :], plan))
        settled = _kept(waiting.take(~blocked), near, plan)
        settled = replace(settled, id=np.arange(count + 1, count + 1 + len(settled)))
        count += len(settled)
        waiting = waiting.take(blocked)
        low = _lowest(waiting, [plan.fields[each[0]] for each in rows[place + 1 :]])
        near = Runs.joined([near, settled.runs])
        near = near.take(near.boxes[:, 2] > low)
        yield SettledRow(settled.take(np.argsort(settled.tile, kind="stable")), low)


def _inside(found: Nuclei, shape: tuple[int, int]) -> Nuclei:
    """Cut what a tile found to the slide."""
    runs, kept = found.runs.cut((0, 0, *shape))
    return replace(found if kept.all() else found.take(kept), runs=runs)


def _to_come(rows: Sequence[Sequence[int]], plan: SlidePlan) -> list[Field]:
    """Tiles of later rows whose outer part reaches higher than the next row's end."""
    if not rows:
        return []
    end = plan.fields[rows[0][0]].outer_yxyx[2]
    fields = [plan.fields[index] for row in rows for index in row]
    return [field for field in fields if field.outer_yxyx[0] < end]


def _lowest(waiting: Nuclei, first_of_rows: Sequence[Field]) -> int:
    """Px above which nothing is settled any more."""
    fields = [field.outer_yxyx[0] - _BEYOND for field in first_of_rows]
    return min([*fields, *waiting.runs.boxes[:, 0].tolist()], default=_EVERYWHERE)


def _blocked(boxes: npt.NDArray[np.int64], to_come: Sequence[Field]) -> npt.NDArray[np.bool_]:
    """Tell which, in order, something better can still reach."""
    blocked, still = _Boxes[None](), np.zeros(len(boxes), np.bool_)
    for field in to_come:
        blocked.add(field.outer_yxyx, None)
    top = min((field.outer_yxyx[0] for field in to_come), default=_EVERYWHERE)
    for place, (y0, x0, y1, x1) in enumerate(boxes.tolist()):
        if y1 > top and any(True for _ in blocked.meeting((y0, x0, y1, x1))):
            blocked.add((y0, x0, y1, x1), None)
            still[place] = True
            top = min(top, y0)
    return still


class _Boxes(Generic[_Value]):
    """Boxes, each with a value, that can be asked which of them meet another."""

    def __init__(self) -> None:
        self._cells: dict[tuple[int, int], list[tuple[Box, _Value]]] = {}

    def add(self, box: Box, value: _Value) -> None:
        for cell in _cells(box):
            self._cells.setdefault(cell, []).append((box, value))

    def meeting(self, box: Box) -> Iterator[tuple[Box, _Value]]:
        """Those that meet a box; one that lies in several cells may come several times."""
        y0, x0, y1, x1 = box
        for cell in _cells(box):
            for one in self._cells.get(cell, ()):
                other = one[0]
                if y0 < other[2] and other[0] < y1 and x0 < other[3] and other[1] < x1:
                    yield one


def _cells(box: Box) -> Iterator[tuple[int, int]]:
    y0, x0, y1, x1 = (side // _CELL for side in (box[0], box[1], box[2] - 1, box[3] - 1))
    return ((y, x) for y in range(y0, y1 + 1) for x in range(x0, x1 + 1))


def _kept(ready: Nuclei, near: Runs, plan: SlidePlan) -> Nuclei:
    """What is left of masks, in order, once better ones have their pixels.

    Parameters
    ----------
    near : settled before, wherever a mask could meet them
    """
    shared = Runs.joined([near, ready.runs]).clashing()
    clashing, apart = shared[len(near) :], ready.runs.plain()
    large = ready.runs.areas >= plan.min_area_px
    easy = np.flatnonzero(apart & ~clashing & large)
    hard = np.flatnonzero(~apart | clashing)
    places, boxes, crops = _looked_at(
        ready.runs.take(hard), clashing[hard], near.take(shared[: len(near)]), plan
    )
    order = np.concatenate([easy, hard[places]])
    runs = Runs.joined([ready.runs.take(easy), _runs_of(boxes, crops)])
    in_turn = np.argsort(order)
    return replace(ready.take(order[in_turn]), runs=runs.take(in_turn))


def _looked_at(
    runs: Runs, clashing: npt.NDArray[np.bool_], near: Runs, plan: SlidePlan
) -> tuple[npt.NDArray[np.int64], list[Box], list[Crop]]:
    """Look at masks one by one; see `resolve_overlaps`. Returns which are kept, and what of them.

    Parameters
    ----------
    runs : of masks, in order
    clashing : which of them meet another
    near : settled before, each of which meets one of them
    """
    taken = _Boxes[Crop]()
    for box, crop in zip(near.boxes.tolist(), near.crops(), strict=True):
        taken.add(box, crop)
    places: list[int] = []
    boxes: list[Box] = []
    crops: list[Crop] = []
    listed = zip(runs.boxes.tolist(), runs.crops(), clashing.tolist(), strict=True)
    for place, (box, crop, meets) in enumerate(listed):
        free = _free(box, crop, taken) if meets else crop
        own, left = int(np.count_nonzero(crop)), int(np.count_nonzero(free))
        if left == 0 or own - left > plan.max_overlap * own:
            continue
        (y, x), tight = tight_crop(largest_piece(free), (box[0], box[1]))
        if np.count_nonzero(tight) < plan.min_area_px:
            continue
        places.append(place)
        boxes.append((y, x, y + tight.shape[0], x + tight.shape[1]))
        crops.append(tight)
        if meets:
            taken.add(boxes[-1], tight)
    return np.array(places, np.int64), boxes, crops


def _free(box: Box, crop: Crop, taken: _Boxes[Crop]) -> Crop:
    """Take away what better ones have of a crop."""
    free = crop.copy()
    for other, pixels in taken.meeting(box):
        y0, x0 = max(box[0], other[0]), max(box[1], other[1])
        y1, x1 = min(box[2], other[2]), min(box[3], other[3])
        there = pixels[y0 - other[0] : y1 - other[0], x0 - other[1] : x1 - other[1]]
        free[y0 - box[0] : y1 - box[0], x0 - box[1] : x1 - box[1]] &= ~there
    return free


def _runs_of(boxes: list[Box], crops: list[Crop]) -> Runs:
    sizes = np.array([crop.size for crop in crops], np.int64)
    bits = np.concatenate([np.zeros(0, np.bool_), *(crop.ravel() for crop in crops)])
    return runs_of_crops(
        bits.view(np.uint8), np.cumsum(sizes) - sizes, np.array(boxes, np.int64).reshape(-1, 4)
    )
