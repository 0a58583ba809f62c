"""Verbs that give visible nuclei another shape: merge, split, fill holes, smooth."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_uninuc.core.edits import Edit
from napari_uninuc.core.extents import join_boxes, pad_box
from napari_uninuc.core.instances import largest_piece
from napari_uninuc.core.labels import LabelMap
from napari_uninuc.core.nuclei import Nucleus, Status
from napari_uninuc.core.verbs.working_crop import WorkingCrop, unique_ids, visible_row
from napari_uninuc.errors import PromptError

__all__ = ["fill_holes", "merge", "smooth", "split_by_line", "split_by_points"]

Mask = npt.NDArray[np.bool_]

_UNKNOWN = float("nan")
_GAP = 2  # px between nuclei that a merge closes: the line annotators leave between neighbours
_DISC_3 = np.ones((3, 3), dtype=np.bool_)  # all pixels within 1.5 px: a disc of 3 px across


def merge(labels: LabelMap, ids: Iterable[int]) -> Edit | None:
    """Make one nucleus of several; the first keeps its id, class and score, the others go.

    A gap of 1 or 2 free px between two of them is closed. Those further apart become one
    nucleus of several pieces.

    Returns
    -------
    edit : None for fewer than two nuclei

    Raises
    ------
    LabelsError
        An id that does not exist or is hidden.
    """
    chosen = unique_ids(ids)
    rows = {id_: visible_row(labels, id_) for id_ in chosen}
    if len(chosen) < 2:
        return None
    around = join_boxes(*(labels.box(id_) for id_ in chosen))
    crop = WorkingCrop(labels, pad_box(around, _GAP, labels.shape))
    masks = [crop.ids == id_ for id_ in chosen]
    union = np.logical_or.reduce(masks) | (_gap_between(masks) & (crop.ids == 0))
    kept = chosen[0]
    crop.ids[union] = kept
    crop.rows = dict.fromkeys(chosen)
    crop.rows[kept] = _redrawn(rows[kept])
    return crop.edit("merge")


def _gap_between(masks: Sequence[Mask]) -> Mask:
    """Pixels of a thin gap: the closing fills them, and two of the masks are near them."""
    near = sum(ndimage.binary_dilation(mask, _DISC_3, _GAP).astype(np.int32) for mask in masks)
    between: Mask = (near >= 2) & _closed(np.logical_or.reduce(masks))
    return between


def split_by_line(
    labels: LabelMap, id_: int, start_yx: tuple[float, float], end_yx: tuple[float, float]
) -> Edit | None:
    """Cut a nucleus in two along the straight line through two positions.

    The line is drawn on past both ends, so that it need not reach the nucleus' border. The
    larger side keeps the id and score; class and status EDITED go to both.

    Parameters
    ----------
    start_yx, end_yx : px of the tile, pixel centres at integers

    Returns
    -------
    edit : None when the line leaves the whole nucleus on one side

    Raises
    ------
    LabelsError
        No such nucleus, or it is hidden.
    PromptError
        The two positions are the same, or not finite.
    """
    direction = np.subtract(end_yx, start_yx)
    if not np.isfinite(direction).all() or not direction.any():
        raise PromptError(
            f"a cut needs two different positions, got {start_yx} and {end_yx}; draw a line"
        )
    visible_row(labels, id_)
    pixels = _pixel_positions(labels, id_) - np.asarray(start_yx)
    side = pixels[:, 1] * direction[0] - pixels[:, 0] * direction[1] > 0
    return _split(labels, id_, side.astype(np.intp))


def split_by_points(
    labels: LabelMap, id_: int, points_yx: Sequence[tuple[float, float]]
) -> Edit | None:
    """Cut a nucleus so that every point has its own part.

    Each pixel goes to the nearest point, counted from the rim of the largest circle about it
    that fits into the nucleus: so the cut between a large and a small lobe falls on the neck
    and not half way. The largest part keeps the id and score, the others get the next ids in
    the order of the points; class and status EDITED go to all.

    Parameters
    ----------
    points_yx : two or more positions in px of the tile; one beside the nucleus counts as its
        nearest pixel

    Returns
    -------
    edit : None when all points fall on one pixel

    Raises
    ------
    LabelsError
        No such nucleus, or it is hidden.
    PromptError
        Fewer than two points, or points that are not finite.
    """
    points = np.asarray(points_yx, dtype=np.float64).reshape(-1, 2)
    if len(points) < 2 or not np.isfinite(points).all():
        raise PromptError(
            f"a split needs two or more finite points, got {list(points_yx)}; click on each part"
        )
    visible_row(labels, id_)
    pixels = _pixel_positions(labels, id_)
    nearest = np.linalg.norm(pixels[None] - points[:, None], axis=-1).argmin(axis=1)
    seeds = pixels[list(dict.fromkeys(nearest.tolist()))].astype(np.float64)  # (P, 2)
    distance = np.linalg.norm(pixels[:, None] - seeds[None], axis=-1)  # (N, P)
    return _split(labels, id_, np.argmin(distance - _radii(labels, id_, seeds), axis=1))


def _radii(labels: LabelMap, id_: int, seeds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Radius of the circle about each of (P, 2) seeds, small enough that none loses its own."""
    mask = labels.mask(id_)
    depth = ndimage.distance_transform_edt(np.pad(mask.mask, 1))
    rows, columns = (seeds - mask.origin_yx + 1).astype(np.intp).T
    radii: npt.NDArray[np.float64] = depth[rows, columns]
    apart = np.linalg.norm(seeds[:, None] - seeds[None], axis=-1)  # (P, P)
    limit: npt.NDArray[np.float64] = np.minimum(radii, (radii[None] + apart / 2).min(axis=1))
    return limit


def _pixel_positions(labels: LabelMap, id_: int) -> npt.NDArray[np.intp]:
    """(N, 2) yx of a nucleus' pixels, px of the tile, row by row."""
    mask = labels.mask(id_)
    positions: npt.NDArray[np.intp] = np.argwhere(mask.mask) + mask.origin_yx
    return positions


def _split(labels: LabelMap, id_: int, part: npt.NDArray[np.intp]) -> Edit | None:
    """Give each part but the largest a new id; `part` is (N,), from 0, in pixel order."""
    parts, sizes = np.unique(part, return_counts=True)
    if len(parts) < 2:
        return None
    row, largest = labels.nuclei[id_], parts[sizes.argmax()]
    crop = WorkingCrop(labels, labels.box(id_))
    own = crop.ids == id_
    crop.rows[id_] = _redrawn(row)
    new_ids = np.full(len(part), id_, dtype=np.int32)
    others = (p for p in parts if p != largest)
    for new_id, index in enumerate(others, start=labels.next_id):
        crop.rows[new_id] = Nucleus(new_id, row.class_id, _UNKNOWN, _UNKNOWN, Status.EDITED)
        new_ids[part == index] = new_id
    crop.ids[own] = new_ids
    return crop.edit("split")


def fill_holes(labels: LabelMap, ids: Iterable[int]) -> Edit | None:
    """Fill the holes of nuclei; another nucleus in a hole stays. What changes becomes EDITED.

    Raises
    ------
    LabelsError
        An id that does not exist or is hidden.
    """
    return _reshape(labels, ids, ndimage.binary_fill_holes, "fill holes")


def smooth(labels: LabelMap, ids: Iterable[int]) -> Edit | None:
    """Take off spurs and fill notches up to 2 px wide, and keep the largest piece.

    Neighbours stay as they are; a nucleus that would vanish stays too. What changes becomes
    EDITED.

    Raises
    ------
    LabelsError
        An id that does not exist or is hidden.
    """
    return _reshape(labels, ids, _smoothed, "smooth")


def _smoothed(mask: Mask) -> Mask:
    opened: Mask = ndimage.binary_opening(mask, _DISC_3)
    return largest_piece(_closed(opened))


def _closed(mask: Mask) -> Mask:
    """Close with the disc; the border counts as background, not as a wall to stick to."""
    closed: Mask = ndimage.binary_closing(np.pad(mask, 1), _DISC_3)[1:-1, 1:-1]
    return closed


def _reshape(
    labels: LabelMap, ids: Iterable[int], reshaped: Callable[[Mask], Mask], verb: str
) -> Edit | None:
    """Give each nucleus the shape that a function makes of its own, on free pixels only.

    Nuclei are taken in turn: where two grow into one gap, the first has it.
    """
    chosen = {id_: visible_row(labels, id_) for id_ in unique_ids(ids)}
    if not chosen:
        return None
    boxes = {id_: pad_box(labels.box(id_), 1, labels.shape) for id_ in chosen}
    crop = WorkingCrop(labels, join_boxes(*boxes.values()))
    for id_, row in chosen.items():
        window = crop.window(boxes[id_])
        own = window == id_
        new = reshaped(own) & (own | (window == 0))
        if new.any() and not np.array_equal(own, new):
            window[own] = 0
            window[new] = id_
            crop.rows[id_] = _redrawn(row)
    return crop.edit(verb)


def _redrawn(row: Nucleus) -> Nucleus:
    """Row of a nucleus whose outline a person has changed: the model's estimates of it lapse."""
    return replace(row, predicted_iou=_UNKNOWN, status=Status.EDITED, detected_box_yxyx=None)
