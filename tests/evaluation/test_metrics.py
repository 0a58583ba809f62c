"""Metrics against hand-made cases and slow, plain re-computations."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import linear_sum_assignment

from napari_uninuc.core.overlaps import match
from napari_uninuc.errors import LabelsError, RecipeError
from napari_uninuc.evaluation.metrics import (
    MSA_THRESHOLDS,
    aggregated_jaccard,
    centroids,
    class_panoptic_quality,
    detection_by_centroid,
    detection_by_iou,
    mean_over_classes,
    mean_segmentation_accuracy,
    panoptic_quality,
    split_components,
)

label_images = hnp.arrays(np.int32, (6, 7), elements=st.integers(0, 5))


def squares(*boxes_yxyx: tuple[int, int, int, int], shape: tuple[int, int] = (20, 20)):
    labels = np.zeros(shape, np.int32)
    for nucleus, (y0, x0, y1, x1) in enumerate(boxes_yxyx, start=1):
        labels[y0:y1, x0:x1] = nucleus
    return labels


def brute_ious(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """(T, P) IoU of every pair, one boolean image at a time."""
    truth_ids, predicted_ids = (np.unique(part[part > 0]) for part in (truth, predicted))
    table = np.zeros((len(truth_ids), len(predicted_ids)))
    for (i, one), (j, other) in itertools.product(enumerate(truth_ids), enumerate(predicted_ids)):
        a, b = truth == one, predicted == other
        table[i, j] = (a & b).sum() / (a | b).sum()
    return table


def brute_accuracy(ious: np.ndarray, threshold: float) -> float:
    """TP / (TP + FP + FN) with the largest one-to-one matching."""
    hits = (ious >= threshold).astype(float)
    rows, columns = linear_sum_assignment(-hits)
    matched = hits[rows, columns].sum()
    return float(matched / (sum(ious.shape) - matched)) if matched else 0.0


def brute_aji(truth: np.ndarray, predicted: np.ndarray) -> float:
    taken, shared, whole = set(), 0, 0
    for one in np.unique(truth[truth > 0]):
        a = truth == one
        others = np.unique(predicted[a & (predicted > 0)])
        if not len(others):
            whole += a.sum()
            continue
        best = max(others, key=lambda other: (a & (predicted == other)).sum()
                   / (a | (predicted == other)).sum())  # fmt: skip
        taken.add(best)
        shared += (a & (predicted == best)).sum()
        whole += (a | (predicted == best)).sum()
    whole += sum(
        (predicted == j).sum() for j in np.unique(predicted[predicted > 0]) if j not in taken
    )
    return shared / whole if whole else math.nan


@given(label_images, label_images)
@settings(max_examples=150, deadline=None)
def test_sparse_overlaps_equal_every_pair(truth, predicted):
    overlaps = match(truth, predicted)
    table = np.zeros((len(overlaps.first_ids), len(overlaps.second_ids)))
    table[overlaps.first_index, overlaps.second_index] = overlaps.ious
    assert np.array_equal(table, brute_ious(truth, predicted))
    assert overlaps.first_areas.sum() == np.count_nonzero(truth)


@given(label_images, label_images)
@settings(max_examples=150, deadline=None)
def test_scores_equal_plain_recomputation(truth, predicted):
    ious = brute_ious(truth, predicted)
    expected = np.mean([brute_accuracy(ious, t) for t in MSA_THRESHOLDS])
    measured = mean_segmentation_accuracy(truth, predicted, split_truth=False)
    assert measured == pytest.approx(expected)

    quality = panoptic_quality(truth, predicted)
    hits = ious[ious > 0.5]
    if truth.any():
        missed_and_false = sum(ious.shape) - 2 * len(hits)
        assert quality.pq == pytest.approx(hits.sum() / (len(hits) + 0.5 * missed_and_false))
        assert quality.pq == pytest.approx(quality.dq * quality.sq)
    else:
        assert math.isnan(quality.pq)

    assert aggregated_jaccard(match(truth, predicted)) == pytest.approx(
        brute_aji(truth, predicted), nan_ok=True
    )


@given(label_images)
@settings(max_examples=50, deadline=None)
def test_truth_against_itself_is_perfect_and_ids_do_not_matter(truth):
    renamed = np.where(truth > 0, 1_000_000 - truth, 0).astype(np.uint32)
    expected = 1.0 if truth.any() else 0.0
    assert mean_segmentation_accuracy(truth, renamed, split_truth=False) == expected
    if truth.any():
        assert panoptic_quality(truth, renamed).pq == 1.0
        assert aggregated_jaccard(match(truth, renamed)) == 1.0
        assert detection_by_iou(match(truth, renamed)).f1 == 1.0


def test_msa_by_hand_half_right():
    truth = squares((0, 0, 10, 10), (10, 10, 20, 20))
    predicted = squares((0, 0, 10, 7))  # IoU 0.7 with the first, the second is missed
    # 1 / (1 + 0 + 1) at 0.5 .. 0.7 (five thresholds, 0.7 included), 0 above
    assert mean_segmentation_accuracy(truth, predicted) == pytest.approx(0.5 * 5 / 10)


def test_msa_counts_iou_of_exactly_half_and_pq_does_not():
    truth, predicted = squares((0, 0, 2, 4)), squares((0, 0, 2, 2))
    assert mean_segmentation_accuracy(truth, predicted, thresholds=[0.5]) == 1.0
    assert panoptic_quality(truth, predicted).n_matched == 0


def test_two_halves_of_one_nucleus_match_once():
    truth, predicted = squares((0, 0, 2, 4)), squares((0, 0, 2, 2), (0, 2, 2, 4))
    assert mean_segmentation_accuracy(truth, predicted, thresholds=[0.5]) == 0.5
    assert detection_by_iou(match(truth, predicted)).precision == 0.5


def test_truth_in_two_pieces_counts_as_two_nuclei_only_when_split():
    truth = squares((0, 0, 4, 4))
    truth[10:14, 10:14] = 1
    predicted = squares((0, 0, 4, 4), (10, 10, 14, 14))
    assert mean_segmentation_accuracy(truth, predicted) == 1.0
    assert mean_segmentation_accuracy(truth, predicted, split_truth=False) < 0.2
    assert len(np.unique(split_components(truth))) == 3


def test_touching_nuclei_of_different_ids_stay_apart_when_split():
    truth = squares((0, 0, 4, 4), (0, 4, 4, 8))
    assert np.array_equal(split_components(truth), truth)


@pytest.mark.parametrize("truth_filled", [True, False])
def test_one_side_empty_scores_nothing(truth_filled):
    filled, empty = squares((0, 0, 4, 4)), squares()
    pair = (filled, empty) if truth_filled else (empty, filled)
    assert mean_segmentation_accuracy(*pair) == 0.0
    assert aggregated_jaccard(match(*pair)) == 0.0
    assert detection_by_iou(match(*pair)).f1 == 0.0
    assert detection_by_centroid(*pair).f1 == 0.0
    assert math.isnan(panoptic_quality(*pair).pq) is not truth_filled


def test_class_quality_needs_the_right_class():
    truth = squares((0, 0, 4, 4), (8, 8, 12, 12))
    names = {1: "epithelial", 2: "inflammatory"}
    right = class_panoptic_quality(truth, truth, names, names)
    assert {name: quality.pq for name, quality in right.items()} == {
        "epithelial": 1.0,
        "inflammatory": 1.0,
    }
    swapped = class_panoptic_quality(truth, truth, names, {1: "epithelial", 2: "spindle"})
    assert swapped["inflammatory"].pq == 0.0
    assert math.isnan(swapped["spindle"].pq)
    assert mean_over_classes(swapped) == 0.5


def test_centroid_match_takes_as_many_pairs_as_possible():
    # the middle prediction is nearest to both; greedy by distance would match one pair only
    truth = squares((5, 0, 6, 1), (5, 10, 6, 11))
    predicted = squares((5, 9, 6, 10), (5, 19, 6, 20))
    assert detection_by_centroid(truth, predicted, radius_px=9.0).recall == 1.0
    assert detection_by_centroid(truth, predicted, radius_px=8.9).recall == 0.5


def test_centroids_are_mean_pixel_positions():
    assert centroids(squares((0, 0, 2, 2), (4, 6, 5, 9))).tolist() == [[0.5, 0.5], [4.0, 7.0]]


@pytest.mark.parametrize(
    ("predicted", "says"),
    [
        (np.zeros((4, 5), np.int32), r"must be \(4, 4\)"),
        (np.zeros((4, 4), np.float32), "float32"),
        (np.full((4, 4), -1, np.int32), "negative"),
        (np.zeros((4, 4, 1), np.int32), r"\(4, 4, 1\)"),
    ],
)
def test_unusable_labels_are_refused(predicted, says):
    with pytest.raises(LabelsError, match=says):
        match(np.zeros((4, 4), np.int32), predicted)


def test_threshold_without_unique_match_is_refused():
    labels = squares((0, 0, 4, 4))
    with pytest.raises(RecipeError, match="unique"):
        mean_segmentation_accuracy(labels, labels, thresholds=[0.3])
