"""The verb that takes over nuclei drawn elsewhere: on an earlier day or in another program."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_uninuc.core.edits import Edit
from napari_uninuc.core.extents import count_ids
from napari_uninuc.core.labels import LabelMap
from napari_uninuc.core.nuclei import MAX_ID, Nucleus
from napari_uninuc.core.verbs.working_crop import WorkingCrop
from napari_uninuc.errors import LabelsError

__all__ = ["adopt"]

Ids = npt.NDArray[np.int32]

_MAX_ID_LEAP = 1_000_000  # a layer's colours are a table as long as the largest id


def adopt(
    labels: LabelMap,
    pixels: npt.NDArray[np.integer[Any]],
    rows: Mapping[int, Nucleus],
    *,
    beside: bool = False,
) -> Edit | None:
    """Take over the nuclei of a label image, in the place of those there are or beside them.

    Parameters
    ----------
    pixels : (H, W) integer ids of the tile's shape, 0 background
    rows : id -> row of every id in `pixels`
    beside : those there are stay as they are. A nucleus more than half covered by them is left
        out, another gets the pixels that are free; one whose id is taken gets a new one

    Returns
    -------
    edit : None when nothing would change

    Raises
    ------
    LabelsError
        Another shape, ids without a row, negative, or more than a million above the others.
    """
    _require_usable(labels, pixels, rows)
    ours = pixels.astype(np.int32, copy=False)
    crop = WorkingCrop(labels, (0, 0, *labels.shape))
    if not beside:
        crop.rows = dict.fromkeys(labels.nuclei) | dict(rows)
        crop.ids = ours
        return crop.edit("import")
    ours = np.where(crop.ids == 0, ours, np.int32(0))
    free, drawn = count_ids(ours), count_ids(pixels)
    kept = sorted(id_ for id_, area in free.items() if 2 * area >= drawn[id_])
    numbers = _free_numbers(labels, kept)
    crop.rows = {new: replace(rows[old], id=new) for old, new in numbers.items()}
    renamed = _renamed(ours, numbers)
    crop.ids = np.where(renamed > 0, renamed, crop.ids)
    return crop.edit("import")


def _require_usable(
    labels: LabelMap, pixels: npt.NDArray[np.integer[Any]], rows: Mapping[int, Nucleus]
) -> None:
    if pixels.shape != labels.shape or pixels.dtype.kind not in "ui":
        raise LabelsError(
            f"labels must be {labels.shape} integers like the picture, got {pixels.shape} "
            f"{pixels.dtype}; choose the labels of this picture"
        )
    lowest, highest = int(pixels.min(initial=0)), int(pixels.max(initial=0))
    limit = min(labels.next_id + len(rows) + _MAX_ID_LEAP, MAX_ID)
    if lowest < 0 or highest > limit:
        raise LabelsError(f"label ids must be 0..{limit}, got {lowest}..{highest}; relabel them")
    missing = count_ids(pixels).keys() - rows.keys()
    if missing:
        raise LabelsError(f"nuclei {sorted(missing)[:5]} have pixels but no row; list them all")


def _free_numbers(labels: LabelMap, ids: list[int]) -> dict[int, int]:
    """Old id -> new id: the same where nobody has it."""
    following = max(labels.next_id, *(id_ + 1 for id_ in ids)) if ids else labels.next_id
    numbers = {}
    for id_ in ids:
        taken = id_ in labels.nuclei
        numbers[id_] = following if taken else id_
        following += taken
    return numbers


def _renamed(pixels: Ids, numbers: Mapping[int, int]) -> Ids:
    """Replace ids; those without a new number become background."""
    old = np.array(sorted(numbers), dtype=np.int32)
    if old.size == 0:
        return np.zeros_like(pixels)
    new = np.array([numbers[int(id_)] for id_ in old], dtype=np.int32)
    place = np.minimum(np.searchsorted(old, pixels), old.size - 1)
    renamed: Ids = np.where(old[place] == pixels, new[place], np.int32(0))
    return renamed
