"""Nuclei that touch, outlines over two of them, and how early they come."""

import numpy as np
import pytest
from where_it_fails import apart, contact_shares, early, judge, nuclei_row, outlines_row

from napari_uninuc.datasets.folder import LabelledTile
from napari_uninuc.testing import FakeAnnotator, make_tile


def test_contact_is_a_share_of_the_contour():
    labels = np.zeros((30, 40), int)
    labels[5:15, 5:15] = 1
    labels[5:15, 15:25] = 2  # along one whole side of 1
    labels[20:25, 30:35] = 7
    shares = contact_shares(labels)
    assert shares == {1: pytest.approx(10 / 36), 2: pytest.approx(10 / 36), 7: 0.0}
    assert contact_shares(np.zeros((4, 4), int)) == {}


def test_a_border_of_the_tile_is_no_contour():
    labels = np.ones((6, 6), int)
    labels[:, 3:] = 2
    assert contact_shares(labels) == {1: 1.0, 2: 1.0}


def test_an_outline_over_two_nuclei_is_merged_and_both_are_missed():
    made = make_tile((160, 200), 15, seed=2)
    apart_ = judge(FakeAnnotator(), LabelledTile(made.tile, made.labels, None))
    assert apart_.found.all()
    assert not apart_.merged.any()
    assert (apart_.true > 0.9).all()
    halves = made.labels.copy()
    ys, xs = np.nonzero(halves == 1)
    split = int(np.median(xs))
    halves[ys[xs > split], xs[xs > split]] = 99
    cut = judge(FakeAnnotator(), LabelledTile(made.tile, halves, None))
    assert cut.merged.sum() == 1
    assert cut.found.sum() < cut.found.size
    assert cut.touching.sum() == 2
    assert "| 15 |" in nuclei_row("set", [apart_])
    assert "| 0.000 |" in outlines_row("set", [apart_])


def test_the_first_fifth_is_of_each_tile():
    marked = [np.arange(10) < 4, np.arange(20) >= 3]
    assert early(marked) == (21, (2 + 1) / 21)


def test_errors_of_expectation():
    assert apart(np.array([0.95, 0.95]), np.array([0.9, 0.8])) == pytest.approx(0.1)
    assert np.isnan(apart(np.zeros(0), np.zeros(0)))
