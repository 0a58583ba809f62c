"""Verbs on what the model found: take it over, filter it, throw it away."""

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from napari_uninuc.core.edits import Edit
from napari_uninuc.core.extents import Box, count_ids
from napari_uninuc.core.geometry import clip_boxes
from napari_uninuc.core.instances import (
    MAX_OVERLAP,
    InstanceMask,
    cut_to_picture,
    largest_piece,
)
from napari_uninuc.core.labels import LabelMap
from napari_uninuc.core.nuclei import Nucleus, Status
from napari_uninuc.core.verbs.nucleus import delete
from napari_uninuc.core.verbs.working_crop import WorkingCrop
from napari_uninuc.errors import LabelsError

__all__ = ["add_automatic", "delete_automatic", "set_filter"]

_MODELS_OWN = (Status.AUTOMATIC, Status.HIDDEN)


def add_automatic(
    labels: LabelMap,
    masks: Sequence[InstanceMask],
    boxes_yxyx: Sequence[tuple[float, float, float, float] | None],
    threshold: float = 0.0,
    min_area_px: int = 0,
) -> Edit | None:
    """Take over what an automatic run found, on the pixels that are free.

    Better scores go first. A mask of which more than half is taken is dropped, any other
    keeps the largest 4-connected piece of its free pixels.

    Parameters
    ----------
    masks : px of the tile; may overlap and reach past the border. ``masks[i]`` gets the id
        ``labels.next_id + i``; the ids of those dropped are left out of the edit.
    boxes_yxyx : the detector's box of each mask, half-open px of the tile, or None
    threshold, min_area_px : as in `set_filter`; what fails comes in HIDDEN

    Raises
    ------
    LabelsError
        Not one box a mask.
    """
    if len(boxes_yxyx) != len(masks):
        raise LabelsError(f"every mask needs a box or None, got {len(boxes_yxyx)} for {len(masks)}")
    candidates = dict(enumerate(masks, start=labels.next_id))
    rows = {
        id_: Nucleus(id_, mask.class_id, mask.score, mask.predicted_iou, Status.HIDDEN, box)
        for (id_, mask), box in zip(candidates.items(), boxes_yxyx, strict=True)
    }
    contest = _Contest(labels, candidates, rows)
    contest.settle(-math.inf, 0)
    contest.dismiss_hidden()
    contest.settle(threshold, min_area_px)
    return contest.edit("outline all nuclei")


def set_filter(
    labels: LabelMap, candidates: Mapping[int, InstanceMask], threshold: float, min_area_px: int
) -> Edit | None:
    """Hide and show automatic nuclei, as if the run had been made with this filter.

    Better scores have the first choice of pixels, as in `add_automatic`, so the picture
    depends on where the sliders stand and not on the way there. A nucleus that makes room or
    finds room when another one comes or goes changes its outline with it; all others stay.
    EDITED and REVIEWED nuclei never change and never make room.

    Parameters
    ----------
    candidates : id -> the model's whole mask, px of the tile. Automatic nuclei without one
        are left alone, for once hidden they could not come back.
    threshold : lowest score that shows; an unknown score always does
    min_area_px : smallest area that shows

    Returns
    -------
    edit : costs time in proportion to the nuclei that change, plus a copy of the pixels
    """
    rows = {
        id_: row
        for id_, row in labels.nuclei.items()
        if row.status in _MODELS_OWN and id_ in candidates
    }
    contest = _Contest(labels, candidates, rows)
    contest.settle(threshold, min_area_px)
    return contest.edit("filter")


def delete_automatic(labels: LabelMap) -> Edit | None:
    """Remove every nucleus that no person has touched, hidden ones too."""
    return delete(labels, [i for i, row in labels.nuclei.items() if row.status in _MODELS_OWN])


class _Contest:
    """Candidates that compete for the pixels no person has given away, better scores first.

    Parameters
    ----------
    labels : left as it is
    candidates : id -> whole mask, px of the tile
    rows : id -> row of those that compete, AUTOMATIC or HIDDEN
    """

    def __init__(
        self,
        labels: LabelMap,
        candidates: Mapping[int, InstanceMask],
        rows: Mapping[int, Nucleus],
    ) -> None:
        self._shape = labels.shape
        self._candidates = candidates
        self._rows = dict(rows)
        self._areas = {id_: labels.area(id_) for id_ in rows}
        self._ranked = sorted(rows, key=lambda id_: (-_score(rows[id_]), id_))
        self._rank = {id_: rank for rank, id_ in enumerate(self._ranked)}
        boxes = np.array([candidates[i].box_yxyx for i in self._ranked], np.int64).reshape(-1, 4)
        self._boxes = clip_boxes(boxes, labels.shape)  # (N, 4), best first
        self._crop = WorkingCrop(labels, _around(self._boxes))

    def edit(self, verb: str) -> Edit | None:
        """Compare with the label map; None when nothing has changed."""
        return self._crop.edit(verb)

    def dismiss_hidden(self) -> None:
        """Let those that are hidden now compete no longer."""
        self._rows = {id_: row for id_, row in self._rows.items() if row.visible}

    def settle(self, threshold: float, min_area_px: int) -> None:
        """Show what passes and hide what fails, and repeat where that moves a worse outline.

        Exact without visiting everything: an outline depends only on better ones, so it can
        change only if its own verdict does or if a better one that overlaps it has changed.
        """
        queued = np.array([self._is_open(i, threshold, min_area_px) for i in self._ranked], bool)
        queue = np.flatnonzero(queued).tolist()  # sorted, and so a heap
        while queue:
            rank = heapq.heappop(queue)
            if not self._place(rank, threshold, min_area_px) or queued[rank:].all():
                continue
            moved = ~queued[rank:] & self._overlapping(rank)
            for other in (rank + np.flatnonzero(moved)).tolist():
                if self._may_show(self._ranked[other], threshold):
                    heapq.heappush(queue, other)
            queued[rank:] |= moved

    def _may_show(self, id_: int, threshold: float) -> bool:
        row = self._rows.get(id_)
        return row is not None and _score(row) >= threshold

    def _is_open(self, id_: int, threshold: float, min_area_px: int) -> bool:
        """Whether a nucleus is visible but fails, or is hidden and could show."""
        row = self._rows.get(id_)
        if row is None or not row.visible:
            return self._may_show(id_, threshold)
        return _score(row) < threshold or self._areas[id_] < min_area_px

    def _overlapping(self, rank: int) -> npt.NDArray[np.bool_]:
        """(N - rank,) bool: which candidates from `rank` on share pixels of its box."""
        y0, x0, y1, x1 = self._boxes[rank]
        boxes = self._boxes[rank:]
        shared: npt.NDArray[np.bool_] = (
            (boxes[:, 0] < y1) & (boxes[:, 2] > y0) & (boxes[:, 1] < x1) & (boxes[:, 3] > x0)
        )
        return shared

    def _place(self, rank: int, threshold: float, min_area_px: int) -> bool:
        """Draw one nucleus anew over worse ones; whether a pixel has changed."""
        id_ = self._ranked[rank]
        row = self._rows[id_]
        (rows, columns), wanted = cut_to_picture(self._candidates[id_], self._shape)
        seen = self._crop.window((rows.start, columns.start, rows.stop, columns.stop))
        better, settled = self._rivals(seen, wanted, rank)
        # A visible nucleus is never hidden for what a person has drawn over the model's idea of it.
        taken = better if row.visible else better | settled
        crowded = np.count_nonzero(taken) > MAX_OVERLAP * np.count_nonzero(wanted)
        new = largest_piece(wanted & ~better & ~settled)
        area = int(np.count_nonzero(new))
        if crowded or _score(row) < threshold or area < max(min_area_px, 1):
            new, area = np.zeros_like(new), 0
        self._areas[id_] = area
        self._rows[id_] = replace(row, status=Status.AUTOMATIC if area else Status.HIDDEN)
        if area or row.visible:  # else it is hidden as before, or was never drawn
            self._crop.rows[id_] = self._rows[id_]
        old = seen == id_
        seen[old] = 0
        seen[new] = id_  # worse ones overlap it, and so get their turn after this
        return not np.array_equal(old, new)

    def _rivals(
        self, seen: npt.NDArray[np.int32], wanted: npt.NDArray[np.bool_], rank: int
    ) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Find the wanted pixels that better candidates have, and those that are no candidates'."""
        better, settled = np.zeros_like(wanted), np.zeros_like(wanted)
        present = seen[wanted]
        for other in count_ids(present) if present.any() else ():
            standing = self._rank.get(other, -1)
            if standing < rank:
                rival = better if standing >= 0 else settled
                rival |= wanted & (seen == other)
        return better, settled


def _around(boxes: npt.NDArray[np.int64]) -> Box:
    """Find the box around (N, 4) boxes; an empty one for none."""
    if len(boxes) == 0:
        return 0, 0, 0, 0
    (y0, x0), (y1, x1) = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    return int(y0), int(x0), int(y1), int(x1)


def _score(row: Nucleus) -> float:
    """Score to rank and filter by; an unknown one passes every threshold."""
    return math.inf if math.isnan(row.score) else row.score
