"""Figures against worked examples that are printed elsewhere."""

import numpy as np
import pytest

from napari_uninuc.agreement.figures import cohen, fleiss, fleiss_sums

# Fleiss 1971 by way of Wikipedia, "Fleiss' kappa": 14 raters, 10 subjects, 5 classes.
_FLEISS = np.array(
    [
        [0, 0, 0, 0, 14],
        [0, 2, 6, 4, 2],
        [0, 0, 3, 5, 6],
        [0, 3, 9, 2, 0],
        [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0],
        [3, 2, 6, 3, 0],
        [2, 5, 3, 2, 2],
        [6, 5, 2, 1, 0],
        [0, 2, 2, 3, 7],
    ]
)


def test_cohens_kappa_of_a_printed_example():
    assert cohen(np.array([[[20.0, 5.0], [10.0, 15.0]]])) == pytest.approx([0.4])


def test_fleiss_kappa_of_a_printed_example():
    squares = np.arange(10) % 3
    kappa = fleiss(fleiss_sums(_FLEISS, squares, 3))
    assert kappa.value == pytest.approx(0.210, abs=5e-4)
    assert kappa.low <= kappa.value <= kappa.high


@pytest.mark.parametrize("table", [np.zeros((1, 2, 2)), [[[7.0, 0.0], [0.0, 0.0]]]])
def test_one_class_has_no_kappa(table):
    assert np.isnan(cohen(np.array(table))).all()
