"""Which predicted nucleus overlaps which true one, and by how many pixels (sparse)."""

from dataclasses import dataclass

import numpy as np

from napari_uninuc.errors import LabelsError


@dataclass(frozen=True, slots=True, eq=False)
class Overlaps:
    """The overlaps of two label images of one shape.

    Attributes
    ----------
    truth_ids, predicted_ids : (T,), (P,) int64, ascending, as in the label images
    truth_areas, predicted_areas : (T,), (P,) int64 px
    truth_index, predicted_index : (K,) int64
        Rows of the K pairs that share at least one pixel, by truth then by predicted.
    intersections : (K,) int64 px, at least 1
    """

    truth_ids: np.ndarray
    predicted_ids: np.ndarray
    truth_areas: np.ndarray
    predicted_areas: np.ndarray
    truth_index: np.ndarray
    predicted_index: np.ndarray
    intersections: np.ndarray

    @property
    def unions(self) -> np.ndarray:
        """(K,) int64 px."""
        return (
            self.truth_areas[self.truth_index]
            + self.predicted_areas[self.predicted_index]
            - self.intersections
        )

    @property
    def ious(self) -> np.ndarray:
        """(K,) float64 in (0, 1]."""
        return self.intersections / self.unions


def match(truth: np.ndarray, predicted: np.ndarray) -> Overlaps:
    """Count the pixels every pair of nuclei shares.

    Parameters
    ----------
    truth, predicted : (H, W) non-negative integers, 0 background
        Ids may be any; the pixels of one id need not touch.

    Raises
    ------
    LabelsError
        Not two-dimensional integers, a negative id, or two shapes.

    Notes
    -----
    Costs two counts over the image and a sort of the shared foreground only.
    """
    truth_rows, truth_ids, truth_areas = _compact(truth, "truth")
    predicted_rows, predicted_ids, predicted_areas = _compact(predicted, "predicted")
    if truth.shape != predicted.shape:
        raise LabelsError(
            f"predicted labels must be {truth.shape} (H, W) like the truth, "
            f"got {predicted.shape}; compare images of one size"
        )
    shared = (truth_rows >= 0) & (predicted_rows >= 0)
    keys = truth_rows[shared] * max(len(predicted_ids), 1) + predicted_rows[shared]
    pairs, intersections = np.unique(keys, return_counts=True)
    truth_index, predicted_index = np.divmod(pairs, max(len(predicted_ids), 1))
    return Overlaps(
        truth_ids,
        predicted_ids,
        truth_areas,
        predicted_areas,
        truth_index,
        predicted_index,
        intersections,
    )


def _compact(labels: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Number the ids 0, 1, ...: per-pixel rows (-1 background), ids and areas."""
    if labels.ndim != 2 or labels.dtype.kind not in "ui":
        raise LabelsError(
            f"{name} labels must be (H, W) integers, got {labels.shape} {labels.dtype}; "
            "pass one channel of instance ids"
        )
    if labels.size and int(labels.min()) < 0:
        raise LabelsError(
            f"{name} labels must not be negative, got {labels.min()}; use 0 for background"
        )
    flat = labels.ravel()
    if labels.size and int(labels.max()) > 4 * labels.size:  # too sparse to count by id
        ids, rows, areas = np.unique(flat, return_inverse=True, return_counts=True)
        background = int(ids[0] == 0)
        return (
            rows.astype(np.int64) - background,
            ids[background:].astype(np.int64),
            areas[background:],
        )
    areas = np.bincount(flat.astype(np.int64), minlength=1)
    areas[0] = 0
    ids = np.flatnonzero(areas)
    lookup = np.full(len(areas), -1, dtype=np.int64)
    lookup[ids] = np.arange(len(ids))
    return lookup[flat], ids, areas[ids]
