"""Predicted against true IoU."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_uninuc.core.overlaps import match
from napari_uninuc.evaluation.calibration import (
    N_BINS,
    Reliability,
    best_ious,
    calibration_of,
)

KEY = ("set", "box", True, 0)
pairs = hnp.arrays(float, st.tuples(st.integers(0, 30), st.just(2)), elements=st.floats(0, 1))


def test_a_row_by_hand():
    (row,) = calibration_of([(KEY, Reliability.of([0.92, 0.98, 0.31], [0.8, 0.9, 0.4]))])
    assert (row.dataset, row.prompt, row.with_mask, row.iteration, row.n_masks) == (*KEY, 3)
    assert row.bins[9] == (2, pytest.approx(0.95), pytest.approx(0.85))
    assert row.bins[3] == (1, pytest.approx(0.31), pytest.approx(0.4))
    assert math.isnan(row.bins[5][1])
    assert row.error == pytest.approx((2 * 0.10 + 0.09) / 3)


@given(pairs, pairs)
@settings(max_examples=50, deadline=None)
def test_images_add_up_to_what_all_masks_together_give(first, second):
    together = np.concatenate([first, second])
    parts = [(KEY, Reliability.of(*part.T)) for part in (first, second)]
    rows = calibration_of(parts)
    if not len(together):
        assert rows == []
        return
    (row,) = rows
    bins = np.minimum(np.floor(together[:, 0] * N_BINS), N_BINS - 1)
    error = sum(
        np.sum(bins == k) * abs(np.subtract(*together[bins == k].mean(axis=0)))
        for k in np.unique(bins)
    )
    assert row.error == pytest.approx(error / len(together))
    assert row.predicted == pytest.approx(together[:, 0].mean())
    assert sum(n for n, _, _ in row.bins) == len(together)
    assert row.error >= abs(row.predicted - row.true) - 1e-9


def test_protocols_are_kept_apart_and_empty_ones_left_out():
    other = ("set", "automatic", False, 0)
    one, none = Reliability.of([0.5], [0.5]), Reliability.of([], [])
    rows = calibration_of([(KEY, one), (other, one), (KEY, one), (("x", "box", True, 0), none)])
    assert [(row.prompt, row.n_masks) for row in rows] == [("box", 2), ("automatic", 1)]


def test_best_iou_of_each_find_and_none_for_a_false_one():
    truth, found = np.zeros((2, 10), int), np.zeros((2, 10), int)
    truth[0, :4], truth[0, 4:6] = 1, 2
    found[0, 1:5], found[1, :3] = 7, 9
    assert best_ious(match(truth, found)).tolist() == [pytest.approx(3 / 5), 0.0]
