"""The regions that simulated clicks are drawn from, which training and evaluation share."""

import numpy as np

from napari_uninuc.core.clicking import correction_regions, deepest_pixel, near_box


def a_nucleus():
    truth = np.zeros((12, 14), bool)
    truth[4:8, 5:9] = True
    return truth, (4, 5, 8, 9)


def test_a_right_answer_is_clicked_in_the_nucleus_and_three_pixels_around_it():
    truth, box = a_nucleus()
    near = near_box(box, truth.shape)
    assert near == (1, 2, 11, 12)
    positive, negative = correction_regions(truth, truth.copy(), near)
    assert np.array_equal(positive, truth)
    ring = np.zeros_like(truth)
    ring[1:11, 2:12] = True
    assert np.array_equal(negative, ring & ~truth)


def test_errors_are_clicked_and_nothing_else():
    truth, box = a_nucleus()
    shown = truth.copy()
    shown[4, 5], shown[0, 0] = False, True
    positive, negative = correction_regions(truth, shown, near_box(box, truth.shape))
    assert np.argwhere(positive).tolist() == [[4, 5]]
    assert np.argwhere(negative).tolist() == [[0, 0]]


def test_a_nucleus_that_fills_the_picture_has_no_outside():
    truth = np.ones((5, 6), bool)
    positive, negative = correction_regions(truth, truth, near_box((0, 0, 5, 6), (5, 6)))
    assert positive.all()
    assert not negative.any()
    assert truth.all()  # and the arguments stay what they were


def test_the_deepest_pixel_counts_the_border_of_the_array():
    region = np.ones((5, 9), bool)
    assert deepest_pixel(region) == (2, 2)
    region[:, :6] = False
    assert deepest_pixel(region) == (1, 7)
