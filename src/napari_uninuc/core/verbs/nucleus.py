"""Verbs on whole nuclei: draw, redraw, remove, name, review, and what napari's brush has done."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_uninuc.core.edits import Edit
from napari_uninuc.core.extents import Box, count_ids, join_boxes
from napari_uninuc.core.instances import InstanceMask, cut_to_picture
from napari_uninuc.core.labels import LabelMap
from napari_uninuc.core.nuclei import MAX_ID, Nucleus, Status
from napari_uninuc.core.verbs.working_crop import WorkingCrop, unique_ids, visible_row
from napari_uninuc.errors import LabelsError

__all__ = [
    "add_nucleus",
    "delete",
    "paint",
    "reclass",
    "refine",
    "set_class",
    "set_stain",
    "set_status",
]

# Tables that are looked up by id, such as a layer's colours, are as long as the largest one.
_MAX_ID_LEAP = 1_000_000


def add_nucleus(
    labels: LabelMap, mask: InstanceMask, class_id: int, status: Status = Status.EDITED
) -> Edit | None:
    """Draw a new nucleus on the pixels that are free.

    Parameters
    ----------
    mask : px of the tile; may reach past the border and over other nuclei, which stay as
        they are. Its scores go to the row, its class does not.
    class_id : from 0

    Raises
    ------
    LabelsError
        `status` is HIDDEN, `class_id` is below 0, or no id is left.
    """
    if status is Status.HIDDEN:
        raise LabelsError("a new nucleus cannot be hidden; add it and set the filter")
    box, wanted = _inside(labels, mask)
    crop = WorkingCrop(labels, box)
    id_ = labels.next_id
    row = Nucleus(id_, class_id, mask.score, mask.predicted_iou, status)
    free = wanted & (crop.ids == 0)
    if not free.any():
        return None
    crop.ids[free] = id_
    crop.rows[id_] = row
    return crop.edit("add")


def refine(
    labels: LabelMap, id_: int, mask: InstanceMask, status: Status = Status.EDITED
) -> Edit | None:
    """Give a nucleus a new outline, on its own pixels and on free ones.

    Its id, class and score stay; its predicted IoU becomes the mask's.

    Parameters
    ----------
    mask : px of the tile; may reach past the border and over neighbours, which stay as they are
    status : what it becomes: REVIEWED where it was accepted before the outline was there

    Returns
    -------
    edit : None when the same pixels result, or none at all

    Raises
    ------
    LabelsError
        No such nucleus, or it is hidden.
    """
    row, old_box = visible_row(labels, id_), labels.box(id_)
    new_box, wanted = _inside(labels, mask)
    if not wanted.any():
        return None
    crop = WorkingCrop(labels, join_boxes(old_box, new_box))
    target = crop.window(new_box)
    kept = wanted & ((target == 0) | (target == id_))
    unchanged = int(np.count_nonzero(target[kept] == id_))
    if not kept.any() or unchanged == np.count_nonzero(kept) == labels.area(id_):
        return None
    crop.ids[crop.ids == id_] = 0
    target[kept] = id_
    crop.rows[id_] = replace(row, status=status, predicted_iou=mask.predicted_iou)
    return crop.edit("refine")


def delete(labels: LabelMap, ids: Iterable[int]) -> Edit | None:
    """Remove nuclei, hidden ones too if asked for.

    Raises
    ------
    LabelsError
        An id that does not exist.
    """
    chosen = unique_ids(ids)
    unknown = [id_ for id_ in chosen if id_ not in labels.nuclei]
    if unknown:
        raise LabelsError(f"nuclei {unknown} do not exist; pick visible ones")
    boxes = {id_: labels.box(id_) for id_ in chosen if labels.nuclei[id_].visible}
    crop = WorkingCrop(labels, join_boxes(*boxes.values()) if boxes else (0, 0, 0, 0))
    for id_, box in boxes.items():
        window = crop.window(box)
        window[window == id_] = 0
    crop.rows = dict.fromkeys(chosen)
    return crop.edit("delete")


def set_class(labels: LabelMap, ids: Iterable[int], class_id: int) -> Edit | None:
    """Name nuclei. Automatic ones become EDITED, so that no filter takes a person's word back.

    A nucleus that has the class already is changed too: now a person has said it.

    Raises
    ------
    LabelsError
        An id that does not exist or is hidden, or a class below 0.
    """
    before = {id_: visible_row(labels, id_) for id_ in unique_ids(ids)}
    renamed = {
        id_: row for id_, row in before.items() if row.class_id != class_id or not row.class_said
    }
    after: dict[int, Nucleus | None] = {
        id_: replace(
            row,
            class_id=class_id,
            class_said=True,
            status=Status.EDITED if row.status is Status.AUTOMATIC else row.status,
        )
        for id_, row in renamed.items()
    }
    return Edit.of_rows("class", renamed, after) if renamed else None


def reclass(labels: LabelMap, became: Mapping[int, int], verb: str) -> Edit:
    """Give every nucleus of some classes another class id, hidden ones too; status stays.

    Parameters
    ----------
    became : class id now -> class id then; those left out stay
    verb : of the edit

    Returns
    -------
    edit : of rows alone; one without rows where no nucleus is of these classes
    """
    before: dict[int, Nucleus | None] = {}
    after: dict[int, Nucleus | None] = {}
    for id_, row in labels.nuclei.items():
        class_id = became.get(row.class_id, row.class_id)
        if class_id != row.class_id:
            before[id_], after[id_] = row, replace(row, class_id=class_id)
    return Edit.of_rows(verb, before, after)


def set_status(
    labels: LabelMap, ids: Iterable[int], status: Status, verb: str = "review"
) -> Edit | None:
    """Say who answers for nuclei; mostly REVIEWED.

    Raises
    ------
    LabelsError
        An id that does not exist or is hidden, or `status` is HIDDEN.
    """
    if status is Status.HIDDEN:
        raise LabelsError("only the filter hides nuclei; set its threshold")
    before = {id_: visible_row(labels, id_) for id_ in unique_ids(ids)}
    changing = {id_: row for id_, row in before.items() if row.status is not status}
    after: dict[int, Nucleus | None] = {
        id_: replace(row, status=status) for id_, row in changing.items()
    }
    return Edit.of_rows(verb, changing, after) if changing else None


def set_stain(labels: LabelMap, levels: Mapping[int, int | None]) -> Edit | None:
    """Say how brown nuclei are, by id, whatever is measured; None takes back what was said.

    Raises
    ------
    LabelsError
        An id that does not exist or is hidden, or a level that is not 0 to 3.
    """
    before = {id_: visible_row(labels, id_) for id_ in unique_ids(levels)}
    changing = {id_: row for id_, row in before.items() if row.stain_said != levels[id_]}
    after: dict[int, Nucleus | None] = {
        id_: replace(row, stain_said=levels[id_]) for id_, row in changing.items()
    }
    return Edit.of_rows("staining", changing, after) if changing else None


def paint(
    labels: LabelMap, box_yxyx: Box, after: npt.NDArray[np.integer[Any]], class_id: int = 0
) -> Edit | None:
    """Take over what a brush, eraser or fill has left in one box.

    Every nucleus that gains or loses a pixel becomes EDITED, one without pixels goes, and an
    id that the map does not know becomes a nucleus.

    Parameters
    ----------
    box_yxyx : half-open px of the tile, inside it
    after : (h, w) integer ids, 0 background: the box's content once painted
    class_id : of nuclei that appear

    Raises
    ------
    LabelsError
        A box that reaches past the tile or does not fit `after`, negative ids, or new ids
        that leave the next one more than a million behind.
    """
    y0, x0, y1, x1 = box_yxyx
    if after.shape != (y1 - y0, x1 - x0) or after.dtype.kind not in "ui":
        raise LabelsError(
            f"painted labels must be ({y1 - y0}, {x1 - x0}) integers like their box, got "
            f"{after.shape} {after.dtype}; cut them from the same box"
        )
    if not (0 <= y0 <= y1 <= labels.shape[0] and 0 <= x0 <= x1 <= labels.shape[1]):
        raise LabelsError(f"the box {box_yxyx} reaches past the tile {labels.shape}; cut it")
    _require_usable(after, labels)
    crop = WorkingCrop(labels, box_yxyx)
    painted = after.astype(np.int32, copy=False)
    changed = crop.ids != painted
    lost, gained = count_ids(crop.ids[changed]), count_ids(painted[changed])
    crop.ids = painted
    for id_ in lost.keys() | gained.keys():
        area = labels.area(id_) - lost.get(id_, 0) + gained.get(id_, 0)
        crop.rows[id_] = _painted_row(labels, id_, class_id) if area else None
    return crop.edit("paint")


def _require_usable(painted: npt.NDArray[np.integer[Any]], labels: LabelMap) -> None:
    lowest, highest = int(painted.min(initial=0)), int(painted.max(initial=0))
    limit = min(labels.next_id + _MAX_ID_LEAP, MAX_ID)
    if lowest < 0 or highest > limit:
        raise LabelsError(
            f"painted ids must be 0..{limit}, got {lowest}..{highest}; paint with the next "
            f"free label, {labels.next_id}"
        )


def _painted_row(labels: LabelMap, id_: int, class_id: int) -> Nucleus:
    known = labels.nuclei.get(id_)
    if known is None:
        return Nucleus(id_, class_id, float("nan"), float("nan"), Status.EDITED)
    return replace(known, status=Status.EDITED)


def _inside(labels: LabelMap, mask: InstanceMask) -> tuple[Box, npt.NDArray[np.bool_]]:
    """Cut a mask to the tile: its box there, and its pixels."""
    (rows, columns), crop = cut_to_picture(mask, labels.shape)
    return (rows.start, columns.start, rows.stop, columns.stop), crop
