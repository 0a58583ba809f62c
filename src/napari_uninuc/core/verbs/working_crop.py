"""The part of a label map that a verb is working on."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from napari_uninuc.core.edits import Edit
from napari_uninuc.core.extents import Box, slices
from napari_uninuc.core.labels import LabelMap
from napari_uninuc.core.nuclei import Nucleus
from napari_uninuc.errors import LabelsError

__all__ = ["WorkingCrop", "unique_ids", "visible_row"]


class WorkingCrop:
    """A copy of one box of a label map, and the rows that change with it.

    Parameters
    ----------
    labels : left as it is
    box_yxyx : px of the tile, inside it

    Attributes
    ----------
    ids : (h, w) int32, to be written by the verb
    rows : id -> row, or None for a nucleus that goes; every nucleus touched must get one
    """

    def __init__(self, labels: LabelMap, box_yxyx: Box) -> None:
        self._labels = labels
        self._box = box_yxyx
        self.ids: npt.NDArray[np.int32] = labels.pixels[slices(box_yxyx)].copy()
        self.rows: dict[int, Nucleus | None] = {}

    def window(self, box_yxyx: Box) -> npt.NDArray[np.int32]:
        """View of `ids` in a box.

        Parameters
        ----------
        box_yxyx : half-open px of the tile, inside the crop

        Returns
        -------
        window : (h, w) int32; writing into it writes into `ids`
        """
        y, x = self._box[:2]
        y0, x0, y1, x1 = box_yxyx
        return self.ids[y0 - y : y1 - y, x0 - x : x1 - x]

    def edit(self, verb: str) -> Edit | None:
        """Compare with the label map; None when nothing has changed."""
        return Edit.trimmed(
            verb,
            self._box[:2],
            self._labels.pixels[slices(self._box)],
            self.ids,
            {id_: self._labels.nuclei.get(id_) for id_ in self.rows},
            self.rows,
        )


def unique_ids(ids: Iterable[int]) -> list[int]:
    """Drop repeated ids, keep their order."""
    return list(dict.fromkeys(int(id_) for id_ in ids))


def visible_row(labels: LabelMap, id_: int) -> Nucleus:
    """Look up the row of a nucleus that has pixels.

    Raises
    ------
    LabelsError
        No such nucleus, or it is hidden by the filter.
    """
    row = labels.nuclei.get(id_)
    if row is None or not row.visible:
        state = "does not exist" if row is None else "is hidden by the filter"
        raise LabelsError(f"nucleus {id_} {state}; pick one that is visible")
    return row
