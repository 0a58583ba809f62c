"""Errors met early in a review."""

import numpy as np
import pytest
from review_cases import (
    ReviewCase,
    evaluate_review,
    n_met,
    raster_order,
    score_review,
    segment_for_review,
    tune_weights,
    wrong_nuclei,
)

from napari_uninuc.core.labels import LabelMap
from napari_uninuc.core.nuclei import Nucleus, Status
from napari_uninuc.core.uncertainty import ReviewWeights
from napari_uninuc.datasets.folder import LabelledTile
from napari_uninuc.errors import DatasetError
from napari_uninuc.testing import FakeAnnotator, make_tile


def case_of(scores, ious, wrong):
    """Nuclei of one size in rows of five, ids from 1 in reading order."""
    labels = np.zeros((100, 100), int)
    rows = {}
    for index, (score, iou) in enumerate(zip(scores, ious, strict=True)):
        y, x = 4 + 10 * (index // 5), 4 + 10 * (index % 5)
        labels[y : y + 5, x : x + 5] = index + 1
        rows[index + 1] = Nucleus(index + 1, 0, score, iou, Status.AUTOMATIC)
    return ReviewCase("case", LabelMap.from_labels(labels, rows), frozenset(wrong))


def test_wrong_is_what_overlaps_no_truth_by_half():
    truth, predicted = np.zeros((20, 40), int), np.zeros((20, 40), int)
    truth[2:10, 2:10], truth[2:10, 20:28] = 5, 6
    predicted[2:10, 3:11] = 1  # IoU 7/9
    predicted[2:6, 20:28] = 2  # IoU 1/2: not below
    predicted[7:10, 20:28] = 3  # IoU 3/8
    predicted[15:18, 30:38] = 4  # nothing there
    assert wrong_nuclei(truth, predicted) == {3, 4}
    assert wrong_nuclei(truth, np.zeros_like(truth)) == frozenset()
    assert wrong_nuclei(np.zeros_like(truth), predicted) == {1, 2, 3, 4}


def test_raster_order_reads_rows():
    case = case_of([0.5] * 12, [0.5] * 12, [])
    assert raster_order(case.labels) == list(range(1, 13))


@pytest.mark.parametrize(("budget", "met"), [(0.2, 1), (0.21, 2), (1.0, 3), (0.0, 0)])
def test_the_budget_is_whole_nuclei(budget, met):
    assert n_met(list(range(10)), {1, 2, 9}, budget) == met


def test_doubt_meets_errors_that_reading_order_does_not():
    scores = [0.9] * 8 + [0.1, 0.2]
    row = score_review(case_of(scores, [0.9] * 10, [9, 10, 4]))
    assert (row.n_nuclei, row.n_wrong, row.n_seen) == (10, 3, 2)
    assert (row.uncertain, row.raster, row.best) == (2, 0, 2)


def test_tuning_finds_the_term_that_tells():
    rng = np.random.default_rng(0)
    ious = rng.uniform(0.2, 1, 40)
    wrong = [index + 1 for index in np.argsort(ious)[:8]]
    case = case_of(rng.uniform(0.2, 1, 40), ious, wrong)
    weights = tune_weights([case])
    assert weights.predicted_iou > weights.score
    assert score_review(case, weights).uncertain == 8
    score_only = ReviewWeights(1, 0, 0, 0, 0)
    assert score_review(case, score_only).uncertain < 8


def test_tuning_needs_errors():
    with pytest.raises(DatasetError, match="errors"):
        tune_weights([case_of([0.5] * 3, [0.5] * 3, [])])


def test_a_tile_is_segmented_as_the_plugin_does_it():
    made = make_tile((160, 200), 15, seed=2)
    annotator = FakeAnnotator(field_size=120, halo=30)
    found = segment_for_review(annotator, LabelledTile(made.tile, made.labels, None), 0.0)
    assert len(found.labels) == 15
    assert found.wrong == frozenset()
    shifted = np.roll(made.labels, 40, axis=1)
    lost = segment_for_review(annotator, LabelledTile(made.tile, shifted, None), 0.0)
    assert len(lost.wrong) > 10


def test_progress_counts_images():
    class Stored:
        def read(self, mpp):
            made = make_tile((80, 80), 4, mpp=mpp)
            return LabelledTile(made.tile, made.labels, None)

    told = []
    cases = evaluate_review(
        FakeAnnotator(), [Stored(), Stored()], progress=lambda *step: told.append(step)
    )
    assert [len(case.labels) for case in cases] == [4, 4]
    assert told == [(1, 2), (2, 2)]
