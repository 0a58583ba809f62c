"""Segmentation and detection scores of one image, from two label images.

Written from the definitions (micro-sam's and CellViT's protocols, Kumar 2017 for AJI), not from
their code. Matching is one-to-one: above IoU 0.5 two label images allow nothing else, and at
exactly 0.5, where two halves may tie for one nucleus, the first is taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from skimage.measure import label as label_components

from napari_uninuc.core.overlaps import Overlaps, match
from napari_uninuc.errors import RecipeError

MSA_THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
MPP_AT_40X = 0.25
CENTROID_RADIUS_UM = 3.0
"""Distance within which a detection counts: 12 px at 40x, 6 px at 20x (CellViT's protocol)."""


def split_components(labels: np.ndarray) -> np.ndarray:
    """Give each 8-connected piece of each id its own id; ids become 1, 2, ...

    Parameters
    ----------
    labels : (H, W) integers, 0 background

    Returns
    -------
    labels : (H, W) int64
    """
    return np.asarray(label_components(labels, connectivity=2), dtype=np.int64)


def mean_segmentation_accuracy(
    truth: np.ndarray,
    predicted: np.ndarray,
    *,
    thresholds: Sequence[float] = MSA_THRESHOLDS,
    split_truth: bool = True,
) -> float:
    """Compute mSA: the mean over thresholds of TP / (TP + FP + FN), matches at IoU >= t.

    Parameters
    ----------
    truth, predicted : (H, W) non-negative integers, 0 background
    thresholds : IoU in [0.5, 1]
    split_truth : count each connected piece of a true id as a nucleus, as PathoSAM does

    Returns
    -------
    accuracy : in [0, 1]; 0 where there is no true match, so also where both are empty

    Raises
    ------
    LabelsError
        As `match`.
    RecipeError
        A threshold below 0.5, where matches are no longer unique, or above 1.

    Examples
    --------
    One of two nuclei is found, at an IoU of 0.8, which 7 of 10 thresholds let count:

    >>> import numpy as np
    >>> from napari_uninuc.evaluation.metrics import mean_segmentation_accuracy
    >>> truth = np.zeros((40, 60), np.int32)
    >>> truth[10:20, 20:30], truth[30:36, 5:11] = 1, 2
    >>> predicted = np.zeros((40, 60), np.int32)
    >>> predicted[10:20, 20:28] = 1
    >>> round(mean_segmentation_accuracy(truth, predicted), 4)
    0.35
    """
    overlaps = match(split_components(truth) if split_truth else truth, predicted)
    return accuracy_of(overlaps, thresholds)


def accuracy_of(overlaps: Overlaps, thresholds: Sequence[float] = MSA_THRESHOLDS) -> float:
    """Compute mSA from overlaps already counted; see `mean_segmentation_accuracy`."""
    if min(thresholds) < 0.5 or max(thresholds) > 1:
        raise RecipeError(
            f"thresholds must be in [0.5, 1], got {tuple(thresholds)}; "
            "below 0.5 a match is not unique"
        )
    ious = overlaps.ious[overlaps.one_to_one()]
    n_both = len(overlaps.first_ids) + len(overlaps.second_ids)
    scores = []
    for threshold in thresholds:
        matched = int(np.count_nonzero(ious >= threshold))
        scores.append(matched / (n_both - matched) if matched else 0.0)
    return float(np.mean(scores))


@dataclass(frozen=True, slots=True)
class PanopticQuality:
    """Panoptic quality of one image and one class.

    Attributes
    ----------
    pq, dq, sq : in [0, 1]; NaN where the truth holds no nucleus (PanNuke's protocol)
        ``pq = dq * sq``; sq is the mean IoU of the matches, 0 without any.
    n_matched, n_false, n_missed : TP, FP, FN at IoU > 0.5
    """

    pq: float
    dq: float
    sq: float
    n_matched: int
    n_false: int
    n_missed: int


def panoptic_quality(truth: np.ndarray, predicted: np.ndarray) -> PanopticQuality:
    """Compute PQ over all nuclei, whatever their class (bPQ).

    Parameters
    ----------
    truth, predicted : (H, W) non-negative integers, 0 background

    Raises
    ------
    LabelsError
        As `match`.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_uninuc.evaluation.metrics import panoptic_quality
    >>> truth = np.zeros((40, 60), np.int32)
    >>> truth[10:20, 20:30], truth[30:36, 5:11] = 1, 2
    >>> predicted = np.zeros((40, 60), np.int32)
    >>> predicted[10:20, 20:28] = 1
    >>> quality = panoptic_quality(truth, predicted)
    >>> round(quality.dq, 4), round(quality.sq, 4), quality.n_missed
    (0.6667, 0.8, 1)
    """
    return panoptic_quality_of(match(truth, predicted))


def panoptic_quality_of(overlaps: Overlaps) -> PanopticQuality:
    """Compute PQ from overlaps already counted; the match is strict, IoU > 0.5."""
    ious = overlaps.ious
    matched = ious[ious > 0.5]
    n_matched = len(matched)
    n_false = len(overlaps.second_ids) - n_matched
    n_missed = len(overlaps.first_ids) - n_matched
    if not len(overlaps.first_ids):
        return PanopticQuality(np.nan, np.nan, np.nan, 0, n_false, 0)
    dq = n_matched / (n_matched + 0.5 * n_false + 0.5 * n_missed)
    sq = float(matched.mean()) if n_matched else 0.0
    return PanopticQuality(dq * sq, dq, sq, n_matched, n_false, n_missed)


def class_panoptic_quality(
    truth: np.ndarray,
    predicted: np.ndarray,
    truth_classes: Mapping[int, str],
    predicted_classes: Mapping[int, str],
) -> dict[str, PanopticQuality]:
    """Compute PQ within each class named on either side, by class name.

    A predicted nucleus that lies on a true one of unknown class (IoU > 0.5) is left out: no name
    of it is wrong.

    Parameters
    ----------
    truth, predicted : (H, W) non-negative integers, 0 background
    truth_classes, predicted_classes : class name of each id; an id without one is left out

    Returns
    -------
    qualities : classes absent from the truth have NaN, see `mean_over_classes`
    """
    names = sorted(set(truth_classes.values()) | set(predicted_classes.values()))
    judged = _without(predicted, _on_unknown(match(truth, predicted), truth_classes))
    return {
        name: panoptic_quality(
            _only_class(truth, truth_classes, name),
            _only_class(judged, predicted_classes, name),
        )
        for name in names
    }


def _on_unknown(overlaps: Overlaps, truth_classes: Mapping[int, str]) -> np.ndarray:
    """Ids of predicted nuclei that match a true one without a class."""
    unknown = ~np.isin(overlaps.first_ids, list(truth_classes))
    pairs = (overlaps.ious > 0.5) & unknown[overlaps.first_index]
    ids: np.ndarray = overlaps.second_ids[overlaps.second_index[pairs]]
    return ids


def _without(labels: np.ndarray, ids: np.ndarray) -> np.ndarray:
    return np.where(np.isin(labels, ids), 0, labels) if len(ids) else labels


def mean_over_classes(qualities: Mapping[str, PanopticQuality]) -> float:
    """Compute an image's mPQ: the mean PQ of classes the truth holds; NaN if it holds none.

    As PanNuke has it (facts 4.4): a class that only the model sees there counts in no image. What
    it costs to see it is the nucleus missed in the class that is right.
    """
    present = [quality.pq for quality in qualities.values() if not np.isnan(quality.pq)]
    return float(np.mean(present)) if present else float("nan")


def _only_class(labels: np.ndarray, classes: Mapping[int, str], name: str) -> np.ndarray:
    wanted = [nucleus for nucleus, class_name in classes.items() if class_name == name]
    return np.where(np.isin(labels, wanted), labels, 0)


def aggregated_jaccard(overlaps: Overlaps) -> float:
    """Compute AJI (Kumar 2017): summed intersections over summed unions.

    Each true nucleus takes the predicted one of best IoU; one predicted nucleus may be taken
    more than once. Predicted nuclei taken by none add their area to the union.

    Returns
    -------
    aji : in [0, 1]; NaN where both are empty
    """
    best_first = np.lexsort((overlaps.second_index, -overlaps.ious, overlaps.first_index))
    _, first = np.unique(overlaps.first_index[best_first], return_index=True)
    taken = best_first[first]
    alone_truth = np.ones(len(overlaps.first_ids), dtype=bool)
    alone_truth[overlaps.first_index[taken]] = False
    alone_predicted = np.ones(len(overlaps.second_ids), dtype=bool)
    alone_predicted[overlaps.second_index[taken]] = False
    union = (
        overlaps.unions[taken].sum()
        + overlaps.first_areas[alone_truth].sum()
        + overlaps.second_areas[alone_predicted].sum()
    )
    return float(overlaps.intersections[taken].sum() / union) if union else float("nan")


@dataclass(frozen=True, slots=True)
class DetectionScore:
    """How well nuclei were found, their outline aside.

    Attributes
    ----------
    f1, precision, recall : in [0, 1]; NaN where nothing to divide by
    """

    f1: float
    precision: float
    recall: float

    @classmethod
    def of_counts(cls, n_matched: int, n_truth: int, n_predicted: int) -> DetectionScore:
        """Compute the three ratios from counts."""

        def ratio(part: float, whole: float) -> float:
            return part / whole if whole else float("nan")

        return cls(
            ratio(2 * n_matched, n_truth + n_predicted),
            ratio(n_matched, n_predicted),
            ratio(n_matched, n_truth),
        )


def detection_by_iou(overlaps: Overlaps) -> DetectionScore:
    """Compute detection scores with matches at IoU >= 0.5."""
    return DetectionScore.of_counts(
        len(overlaps.one_to_one()), len(overlaps.first_ids), len(overlaps.second_ids)
    )


def detection_by_centroid(
    truth: np.ndarray,
    predicted: np.ndarray,
    radius_px: float = CENTROID_RADIUS_UM / MPP_AT_40X,
) -> DetectionScore:
    """Compute detection scores with matches by centroids at most `radius_px` apart.

    As many pairs as possible are matched, then the nearest (Hungarian). Memory grows with
    true x predicted nuclei: 8 MB for 1,000 x 1,000.

    Parameters
    ----------
    truth, predicted : (H, W) non-negative integers, 0 background
    radius_px : 12 px is 3 um at 40x

    Examples
    --------
    >>> import numpy as np
    >>> from napari_uninuc.evaluation.metrics import detection_by_centroid
    >>> truth = np.zeros((40, 60), np.int32)
    >>> truth[10:20, 20:30], truth[30:36, 5:11] = 1, 2
    >>> predicted = np.zeros((40, 60), np.int32)
    >>> predicted[10:20, 20:28] = 1
    >>> score = detection_by_centroid(truth, predicted, radius_px=12.0)
    >>> round(score.f1, 4), score.precision, score.recall
    (0.6667, 1.0, 0.5)
    """
    truth_yx, predicted_yx = centroids(truth), centroids(predicted)
    matched = 0
    if len(truth_yx) and len(predicted_yx):
        distance = cdist(truth_yx, predicted_yx)  # (T, P)
        forbidden = (radius_px + 1.0) * (min(distance.shape) + 1)  # dearer than all others together
        near = distance <= radius_px
        rows, columns = linear_sum_assignment(np.where(near, distance, forbidden))
        matched = int(np.count_nonzero(near[rows, columns]))
    return DetectionScore.of_counts(matched, len(truth_yx), len(predicted_yx))


def centroids(labels: np.ndarray) -> np.ndarray:
    """Compute the mean pixel position of each id, ascending: (N, 2) float64, yx in px."""
    ys, xs = np.nonzero(labels)
    _, rows, areas = np.unique(labels[ys, xs], return_inverse=True, return_counts=True)
    if not len(areas):
        return np.zeros((0, 2))
    sums = [np.bincount(rows, weights=axis, minlength=len(areas)) for axis in (ys, xs)]
    return np.stack(sums, axis=1) / areas[:, None]
