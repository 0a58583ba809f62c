"""Rewards of written points beside brute force."""

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_uninuc.training.point_rewards import match_points, panoptic_of

PLACES = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=4)


def by_brute_force(found, true, radius):
    """F1 of the one-to-one assignment of least distance; of equally good ones all are allowed."""
    if not found or not true:
        return {1.0 if not found and not true else 0.0}
    short, long = sorted((found, true), key=len)
    best, scores = float("inf"), set()
    for order in permutations(long, len(short)):
        distances = [
            float(np.hypot(a - c, b - d)) for (a, b), (c, d) in zip(short, order, strict=True)
        ]
        whole = sum(distances)
        hits = sum(distance <= radius for distance in distances)
        f1 = 2 * hits / (len(found) + len(true))
        if whole < best - 1e-6:
            best, scores = whole, {f1}
        elif whole < best + 1e-6:
            scores.add(f1)
    return scores


@settings(max_examples=80)
@given(found=PLACES, true=PLACES, radius=st.sampled_from([3.0, 8.0]))
def test_f1_is_that_of_the_best_assignment(found, true, radius):
    as_tensor = [torch.tensor(some, dtype=torch.float32).reshape(-1, 2) for some in (found, true)]
    match = match_points(*as_tensor, radius)
    assert any(match.f1 == pytest.approx(score) for score in by_brute_force(found, true, radius))
    assert len(match.hits) == len(found)
    assert match.n_true == len(true)


def test_of_two_points_on_one_nucleus_one_is_false():
    match = match_points(torch.tensor([[5.0, 5.0], [5.0, 6.0]]), torch.tensor([[5.0, 6.0]]), 12)
    assert match.hits.tolist() == [False, True]
    assert match.f1 == pytest.approx(2 / 3)


def test_panoptic_quality_of_masks():
    ious = np.array([[0.8, 0.0], [0.6, 0.0], [0.0, 0.4]])
    assert panoptic_of(ious, 2) == pytest.approx(0.8 / (1 + 0.5 * 2 + 0.5 * 1))
    assert panoptic_of(np.zeros((0, 0)), 0) == 1
    assert panoptic_of(np.zeros((2, 0)), 0) == 0
    assert panoptic_of(np.zeros((0, 3)), 3) == 0
