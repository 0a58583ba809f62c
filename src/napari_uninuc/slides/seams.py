"""Nuclei of many tiles become one picture: none cut at a seam, none twice, none lost.

Fields answer for what has its centre in their inner part, and a little more (`engine.owners`), so
a nucleus at a seam is outlined whole by one tile or by two. As in a picture of one piece
(`core.instances.resolve_overlaps`) pixels go to the better score, and what better ones cover by
more than half is the same nucleus again.

That takes masks in the order of their scores, over the whole slide. What becomes of a mask depends
only on better ones that it meets, so any order is as good in which those come first. This settles
row after row of tiles: a mask waits while a tile that is not loaded yet, or a better mask that
waits itself, could reach it. The result is the same, pixel by pixel, and memory holds two rows.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from napari_uninuc.core.geometry import Field
from napari_uninuc.core.instances import InstanceMask, cut_to_picture, largest_piece
from napari_uninuc.core.outline import tight_crop
from napari_uninuc.engine.protocol import FoundNucleus
from napari_uninuc.slides.canvas import LabelCanvas
from napari_uninuc.slides.plan import SlidePlan
from napari_uninuc.slides.protocol import Box
from napari_uninuc.slides.tiles import TileResult

__all__ = ["Settled", "settle"]

_CELL = 128
"""Px; boxes that could meet are looked for in cells of this side."""


@dataclass(frozen=True, slots=True, eq=False)
class Settled:
    """A nucleus that keeps its pixels.

    Attributes
    ----------
    id : unique over the slide, from 1, in the order they were settled
    tile : index of the field that found it
    mask : tight, px of the level; shares no pixel with another
    box_yxyx : what the detector had proposed, px of the level
    """

    id: int
    tile: int
    mask: InstanceMask
    box_yxyx: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    """A nucleus of a tile, in the order of all: score first, then tile, then place in it."""

    order: tuple[float, int, int]
    tile: int
    found: FoundNucleus


def settle(
    results: Iterable[TileResult], plan: SlidePlan, canvas: LabelCanvas
) -> Iterator[list[Settled]]:
    """Give every pixel to one nucleus at most and paint it.

    Parameters
    ----------
    results : of all tiles of the plan, in their order
    canvas : empty; painted and not flushed

    Yields
    ------
    settled : after each row of tiles, those of which nothing more can change; tile by tile
    """
    rows = [
        list(group)
        for _, group in groupby(plan.tiles, key=lambda index: plan.fields[index].outer_yxyx[0])
    ]
    source, waiting, count = iter(results), list[_Waiting](), 0
    for place, row in enumerate(rows):
        for _ in row:
            waiting += _waiting_of(next(source), canvas.shape)
        to_come = [plan.fields[index] for index in _reaching(rows[place + 1 :], plan)]
        ready, waiting = _sorted_out(waiting, to_come)
        settled = []
        for one in ready:
            kept = _kept(one.found.mask, plan, canvas)
            if kept is not None:
                count += 1
                canvas.paint(kept, count)
                settled.append(Settled(count, one.tile, kept, one.found.box_yxyx))
        yield sorted(settled, key=lambda each: (each.tile, each.id))


def _waiting_of(result: TileResult, shape: tuple[int, int]) -> list[_Waiting]:
    waiting = []
    for place, one in enumerate(result.found):
        window, crop = cut_to_picture(one.mask, shape)
        origin, tight = tight_crop(crop, (window[0].start, window[1].start))
        if tight.size:
            mask = replace(one.mask, origin_yx=origin, mask=tight)
            order = (-mask.score, result.index, place)
            waiting.append(_Waiting(order, result.index, FoundNucleus(mask, one.box_yxyx)))
    return waiting


def _reaching(rows: Sequence[Sequence[int]], plan: SlidePlan) -> list[int]:
    """Tiles of later rows whose outer part reaches higher than the next row's end."""
    if not rows:
        return []
    end = plan.fields[rows[0][0]].outer_yxyx[2]
    return [index for row in rows for index in row if plan.fields[index].outer_yxyx[0] < end]


def _sorted_out(
    waiting: list[_Waiting], to_come: Sequence[Field]
) -> tuple[list[_Waiting], list[_Waiting]]:
    """Tell those that nothing better can reach any more, in order, from those that must wait."""
    blocked = _Boxes()
    for field in to_come:
        blocked.add(field.outer_yxyx)
    ready, still = [], []
    for one in sorted(waiting, key=lambda each: each.order):
        box = one.found.mask.box_yxyx
        if blocked.meet(box):
            blocked.add(box)
            still.append(one)
        else:
            ready.append(one)
    return ready, still


class _Boxes:
    """Boxes that can be asked whether any of them meets another."""

    def __init__(self) -> None:
        self._cells: dict[tuple[int, int], list[Box]] = {}

    def add(self, box: Box) -> None:
        for cell in _cells(box):
            self._cells.setdefault(cell, []).append(box)

    def meet(self, box: Box) -> bool:
        y0, x0, y1, x1 = box
        return any(
            y0 < other[2] and other[0] < y1 and x0 < other[3] and other[1] < x1
            for cell in _cells(box)
            for other in self._cells.get(cell, ())
        )


def _cells(box: Box) -> Iterator[tuple[int, int]]:
    y0, x0, y1, x1 = (side // _CELL for side in (box[0], box[1], box[2] - 1, box[3] - 1))
    return ((y, x) for y in range(y0, y1 + 1) for x in range(x0, x1 + 1))


def _kept(mask: InstanceMask, plan: SlidePlan, canvas: LabelCanvas) -> InstanceMask | None:
    """What is left of a mask once better ones have their pixels; see `resolve_overlaps`."""
    free = canvas.free(mask)
    own, left = mask.area, int(free.sum())
    if left == 0 or own - left > plan.max_overlap * own:
        return None
    origin, tight = tight_crop(largest_piece(free), mask.origin_yx)
    kept = replace(mask, origin_yx=origin, mask=tight)
    return kept if kept.area >= plan.min_area_px else None
