"""The label map: the one owner of which pixel is which nucleus, and of the nuclei's table."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from psygnal import Signal

from napari_uninuc.core.edits import Edit
from napari_uninuc.core.extents import (
    Box,
    count_ids,
    crop_boxes,
    holds,
    join_boxes,
    slices,
)
from napari_uninuc.core.geometry import label_boxes
from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.nuclei import MAX_ID, Nucleus, Status
from napari_uninuc.errors import LabelsError

__all__ = ["LabelMap"]


class LabelMap:
    """Pixels and table of all nuclei of one tile; changed by edits only.

    Every id in the pixels has a row; a row has pixels unless its status is HIDDEN. Boxes and
    areas are kept in step edit by edit, so that looking one up costs nothing and an edit
    costs time in proportion to its crop, not to the tile. Belongs to one thread.

    Parameters
    ----------
    shape : (H, W) of the tile, px
    """

    changed = Signal(Edit)
    """Sent after an edit has been applied; an error in a listener leaves it applied."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self._adopt(np.zeros(shape, dtype=np.int32))
        self._rows: dict[int, Nucleus] = {}
        self._boxes: dict[int, Box] = {}
        self._areas: dict[int, int] = {}
        self._next_id = 1
        self._moment: object | None = object()

    def _adopt(self, pixels: npt.NDArray[np.int32]) -> None:
        self._pixels = pixels
        self._view = pixels.view()
        self._view.flags.writeable = False

    @classmethod
    def from_labels(
        cls,
        labels: npt.NDArray[np.integer[Any]],
        rows: Mapping[int, Nucleus] | None = None,
        status: Status = Status.EDITED,
        next_id: int = 1,
    ) -> Self:
        """Start from a label image; the pixels are copied.

        Parameters
        ----------
        labels : (H, W) integers, 0 background; ids may be missing
        rows : id -> row; may hold HIDDEN rows. An id without one gets class 0, unknown scores
            and `status`
        status : of nuclei without a row
        next_id : lowest id a new nucleus may get; raised above every id found

        Raises
        ------
        LabelsError
            Labels that are not (H, W) integers in 0..`MAX_ID`, a row under another id than
            its own, or a row that is HIDDEN with pixels or visible without.
        """
        ids, boxes = label_boxes(labels)
        if ids.size and ids[-1] > MAX_ID:
            raise LabelsError(f"label ids must be at most {MAX_ID}, got {ids[-1]}; relabel them")
        made = cls((0, 0))
        made._adopt(np.array(labels, dtype=np.int32, order="C", copy=True))
        made._areas = count_ids(made._pixels)
        listed = zip(ids.tolist(), boxes.tolist(), strict=True)
        made._boxes = {id_: (box[0], box[1], box[2], box[3]) for id_, box in listed}
        made._rows = {
            id_: Nucleus(id_, 0, math.nan, math.nan, status) for id_ in made._boxes
        } | dict(rows or {})
        for id_, row in made._rows.items():
            made._require_consistent(id_, row, made._areas.get(id_, 0))
        made._next_id = max(next_id, 1, *(id_ + 1 for id_ in made._rows))
        return made

    @property
    def pixels(self) -> npt.NDArray[np.int32]:
        """(H, W) int32 ids, 0 background, read-only: follows edits until one is caught up with.

        So ask for it anew rather than keep it.
        """
        return self._view

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of the tile, px."""
        return self._pixels.shape[0], self._pixels.shape[1]

    @property
    def next_id(self) -> int:
        """The id that a new nucleus gets; only grows, so that no id is ever given twice."""
        return self._next_id

    @property
    def nuclei(self) -> Mapping[int, Nucleus]:
        """Id -> row, HIDDEN ones included: a read-only view that follows every edit."""
        return MappingProxyType(self._rows)

    def __len__(self) -> int:
        """Nuclei that have pixels."""
        return len(self._areas)

    def at(self, yx: tuple[float, float]) -> int:
        """Id of the nucleus on the pixel around a position in px of the tile; 0 for none."""
        y, x = yx
        if not (math.isfinite(y) and math.isfinite(x)):
            return 0
        row, column = math.floor(y + 0.5), math.floor(x + 0.5)
        height, width = self.shape
        if not (0 <= row < height and 0 <= column < width):
            return 0
        return int(self._pixels[row, column])

    def box(self, id_: int) -> Box:
        """Tight half-open yxyx box of a nucleus, px of the tile.

        Raises
        ------
        LabelsError
            It has no pixels, or there is no such nucleus.
        """
        try:
            return self._boxes[id_]
        except KeyError:
            state = "is hidden by the filter" if id_ in self._rows else "does not exist"
            raise LabelsError(f"nucleus {id_} {state}; pick one that is visible") from None

    def area(self, id_: int) -> int:
        """Pixels of a nucleus; 0 when it is hidden or does not exist."""
        return self._areas.get(id_, 0)

    def mask(self, id_: int) -> InstanceMask:
        """Copy a nucleus out as a tight crop with class and scores of its row (may be NaN).

        Raises
        ------
        LabelsError
            It has no pixels, or there is no such nucleus.
        """
        box, row = self.box(id_), self._rows[id_]
        crop = self._pixels[slices(box)] == id_
        return InstanceMask(box[:2], crop, row.score, row.class_id, row.predicted_iou)

    def apply(self, edit: Edit) -> None:
        """Make an edit's change and send `changed`.

        Raises
        ------
        LabelsError
            The edit was made from other pixels or rows than these, reaches past the tile,
            changes a nucleus that it has no row for, or would leave pixels without a visible
            row or the reverse. Nothing has changed then.
        """
        self._require_match(edit)
        gained, lost = self._require_account(edit)
        self._moment = None
        if edit.after.size:
            self._pixels[slices(edit.box_yxyx)] = edit.after
            self._follow(edit, gained, lost)
        self._end(edit)

    def snapshot(self) -> Self:
        """Copy the map as it is between two edits; any thread may ask.

        An edit made on the copy can be made here by `catch_up`, if nothing is changed here first.
        """
        copy = type(self)((0, 0))
        while True:
            moment = self._moment
            copy._adopt(self._pixels.copy())
            copy._rows, copy._boxes, copy._areas = (
                dict(self._rows),
                dict(self._boxes),
                dict(self._areas),
            )
            copy._next_id = self._next_id
            if moment is not None and moment is self._moment:
                copy._moment = moment
                return copy

    def is_at(self, moment: object | None) -> bool:
        """Whether nothing was changed since `moment` was read."""
        return moment is not None and moment is self._moment

    @property
    def moment(self) -> object | None:
        """Stands for the state between two edits; a snapshot has that of its original."""
        return self._moment

    def catch_up(self, ahead: Self, edit: Edit) -> None:
        """Make an edit that was made on a snapshot; what was checked and counted there is taken.

        Parameters
        ----------
        ahead : the snapshot, after that one edit; taken when this map was at the same moment as
            now, see `is_at`. It is part of this map from now on
        edit : the one made there
        """
        self._moment = None
        if edit.after.size:
            # Not copied: of 16 million px that are first written to, this takes half a second.
            self._adopt(ahead._pixels)
            self._areas, self._boxes = ahead._areas, ahead._boxes
        self._end(edit)

    def _end(self, edit: Edit) -> None:
        """Take over the rows of an edit whose pixels are there, and tell of it."""
        for id_, row in edit.rows_after.items():
            if row is None:
                self._rows.pop(id_, None)
            else:
                self._rows[id_] = row
        self._next_id = max(self._next_id, 1 + max(edit.rows_after, default=0))
        self._moment = object()
        self.changed.emit(edit)

    def _require_match(self, edit: Edit) -> None:
        height, width = self.shape
        if not holds((0, 0, height, width), edit.box_yxyx):
            raise LabelsError(
                f"an edit must lie inside the tile of {height} x {width} px, got the box "
                f"{edit.box_yxyx}; cut it"
            )
        for id_, row in edit.rows_before.items():
            if self._rows.get(id_) != row:
                raise LabelsError(
                    f"the edit '{edit.verb}' was made when nucleus {id_} was {row}, but it is "
                    f"{self._rows.get(id_)}; make it again"
                )
        if not np.array_equal(self._pixels[slices(edit.box_yxyx)], edit.before):
            raise LabelsError(
                f"the edit '{edit.verb}' was made from other pixels than those in "
                f"{edit.box_yxyx}; make it again"
            )

    def _require_account(self, edit: Edit) -> tuple[dict[int, int], dict[int, int]]:
        """Count the pixels that every id gains and loses, and check the rows against them."""
        changed = edit.before != edit.after
        arriving, leaving = edit.after[changed], edit.before[changed]
        if arriving.size and arriving.min() < 0:
            raise LabelsError(f"ids must be 0 or above, got {arriving.min()}; correct the edit")
        gained, lost = count_ids(arriving), count_ids(leaving)
        stray = (gained.keys() | lost.keys()) - edit.rows_after.keys()
        if stray:
            raise LabelsError(
                f"the edit '{edit.verb}' changes pixels of nuclei {sorted(stray)} but has no "
                "rows for them; list every nucleus touched"
            )
        for id_, row in edit.rows_after.items():
            area = self.area(id_) + gained.get(id_, 0) - lost.get(id_, 0)
            self._require_consistent(id_, row, area)
        return gained, lost

    @staticmethod
    def _require_consistent(id_: int, row: Nucleus | None, area: int) -> None:
        if row is not None and row.id != id_:
            raise LabelsError(f"row {row.id} stands under id {id_}; file it under its own")
        visible = row is not None and row.visible
        if visible != (area > 0):
            state = "no row" if row is None else f"status {row.status}"
            raise LabelsError(
                f"nucleus {id_} would have {area} px and {state}; a nucleus has pixels unless "
                "it is hidden or gone"
            )

    def _follow(self, edit: Edit, gained: Mapping[int, int], lost: Mapping[int, int]) -> None:
        """Bring areas and boxes in step with pixels that have just been written."""
        touched = frozenset(gained.keys() | lost.keys())
        within = crop_boxes(edit.after, edit.origin_yx, touched)
        for id_ in touched:
            area = self.area(id_) + gained.get(id_, 0) - lost.get(id_, 0)
            if area == 0:
                del self._areas[id_], self._boxes[id_]
                continue
            self._areas[id_] = area
            self._boxes[id_] = self._box_after(id_, within, edit.box_yxyx)

    def _box_after(self, id_: int, within: Mapping[int, Box], crop: Box) -> Box:
        """Find a nucleus' box from those inside the edit's crop and from what sticks out of it."""
        known = self._boxes.get(id_)
        if known is None or holds(crop, known):
            return within[id_]
        reach = join_boxes(known, within.get(id_, known))
        return crop_boxes(self._pixels[slices(reach)], reach[:2], frozenset([id_]))[id_]
