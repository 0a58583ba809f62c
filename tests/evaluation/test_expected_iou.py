"""The IoU expected of automatic outlines."""

from dataclasses import replace

import numpy as np
import pytest

from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.core.tile import Tile
from napari_uninuc.datasets.folder import LabelledTile
from napari_uninuc.errors import DatasetError
from napari_uninuc.evaluation.expected_iou import JudgedMasks, fit_expected_iou, judge
from napari_uninuc.network.card import ExpectedIou


def masks_of(n, seed, bias=-0.3, score=0.9, predicted=0.4):
    """Masks whose true IoU is 0 or 1 with the odds that three numbers give."""
    rng = np.random.default_rng(seed)
    scores, ious = rng.uniform(0.05, 0.95, n), rng.uniform(0.3, 0.97, n)
    rule = ExpectedIou(bias=bias, score=score, predicted=predicted)
    odds = [rule.of(*pair) for pair in zip(scores.tolist(), ious.tolist(), strict=True)]
    return JudgedMasks(scores, ious, (rng.random(n) < odds).astype(float))


def test_the_rule_behind_the_masks_is_found():
    fit = fit_expected_iou([masks_of(20000, 0), masks_of(20000, 1)])
    assert fit.n_masks == 40000
    assert fit.expected.bias == pytest.approx(-0.3, abs=0.1)
    assert fit.expected.score == pytest.approx(0.9, abs=0.1)
    assert fit.expected.predicted == pytest.approx(0.4, abs=0.1)
    assert fit.after < 0.02 < 0.1 < fit.before


def test_it_holds_on_other_masks():
    rule = fit_expected_iou([masks_of(5000, 0)]).expected
    other = masks_of(5000, 7)
    expected = [rule.of(*pair) for pair in zip(other.scores, other.predicted, strict=True)]
    assert np.mean(expected) == pytest.approx(other.true.mean(), abs=0.03)


def test_a_reason_that_misleads_gets_no_weight():
    fit = fit_expected_iou([masks_of(5000, 0, score=0.9, predicted=-2.0 + 2.0)])
    assert fit.expected.predicted < 0.1
    turned = masks_of(5000, 0)
    fit = fit_expected_iou([replace(turned, scores=1 - turned.scores)])
    assert fit.expected.score == 0


def test_steps_are_told_and_too_little_refused():
    told = []
    fit_expected_iou([masks_of(100, 0), masks_of(100, 1)], lambda: told.append(1))
    assert len(told) == 2
    for parts in ([], [masks_of(49, 0)]):
        with pytest.raises(DatasetError, match="at least 50") as caught:
            fit_expected_iou(parts)
        assert "\n" not in str(caught.value)


def test_masks_are_judged_by_the_nucleus_they_fit_best():
    truth, found = np.zeros((20, 20), np.int32), np.zeros((20, 20), np.int32)
    truth[2:10, 2:10] = 1
    found[2:10, 2:6], found[12:18, 12:18] = 3, 8
    segmentation = Segmentation.from_labels(found)
    segmentation.table["score"] = [0.8, 0.3]
    tile = LabelledTile(Tile.from_array(np.zeros((20, 20, 3), np.uint8), name="a"), truth, None)
    with pytest.raises(DatasetError, match="predicted_iou"):
        judge(tile, segmentation)
    segmentation.table["predicted_iou"] = [0.9, 0.7]
    judged = judge(tile, segmentation)
    assert judged.true.tolist() == [0.5, 0.0]
    assert (judged.scores.tolist(), judged.predicted.tolist()) == ([0.8, 0.3], [0.9, 0.7])


def test_what_brown_adds_is_fitted_where_both_kinds_are_there():
    other, brown = masks_of(20000, 0), masks_of(20000, 1, bias=-1.1)
    fit = fit_expected_iou([other, replace(brown, brown=True)]).expected
    assert fit.bias == pytest.approx(-0.3, abs=0.1)
    assert fit.brown == pytest.approx(-0.8, abs=0.1)
    assert fit.of(0.5, 0.7, brown=True) < fit.of(0.5, 0.7)
    for parts in ([other], [replace(brown, brown=True)]):
        assert fit_expected_iou(parts).expected.brown == 0
