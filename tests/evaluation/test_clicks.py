"""Where the simulated annotator clicks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from napari_uninuc.evaluation.clicks import centre_click, correction_clicks
from napari_uninuc.evaluation.crops import crop_of, targets_of

masks = hnp.arrays(bool, (9, 11))
nuclei = masks.filter(lambda mask: mask.any())


@given(nuclei)
@settings(max_examples=80, deadline=None)
def test_centre_is_inside_and_no_pixel_is_deeper(nucleus):
    (target,) = targets_of(nucleus.astype(np.int32))
    y, x = centre_click(target)
    depth = ndimage.distance_transform_edt(np.pad(nucleus, 1))[1:-1, 1:-1]
    assert nucleus[y, x]
    assert depth[y, x] == depth.max()


def test_centre_of_a_ring_is_on_the_ring():
    ring = np.zeros((20, 20), np.int32)
    ring[4:16, 4:16] = 1
    ring[7:13, 7:13] = 0
    y, x = centre_click(targets_of(ring)[0])
    assert ring[y, x] == 1


@given(nuclei, masks, st.integers(0, 3))
@settings(max_examples=200, deadline=None)
def test_clicks_fall_on_errors_or_where_the_protocol_says(nucleus, predicted, seed):
    (target,) = targets_of(nucleus.astype(np.int32))
    (positive, negative), labels = correction_clicks(
        target, crop_of(predicted), nucleus.shape, np.random.default_rng(seed)
    )
    missed, wrong = nucleus & ~predicted, predicted & ~nucleus
    assert labels[0] == 1
    assert (missed if missed.any() else nucleus)[tuple(positive)]
    if labels[1] == 1:
        assert nucleus.all()
        return
    y0, x0, y1, x1 = target.box_yxyx
    near = np.zeros_like(nucleus)
    near[max(y0 - 3, 0) : y1 + 3, max(x0 - 3, 0) : x1 + 3] = True
    assert (wrong if wrong.any() else near & ~nucleus)[tuple(negative)]


def test_every_missed_pixel_can_be_drawn():
    nucleus = np.zeros((8, 8), np.int32)
    nucleus[2:4, 2:5] = 1
    rng = np.random.default_rng(0)
    (target,) = targets_of(nucleus)
    empty = crop_of(np.zeros((8, 8), bool))
    drawn = {tuple(correction_clicks(target, empty, (8, 8), rng)[0][0]) for _ in range(300)}
    assert drawn == set(zip(*np.nonzero(nucleus), strict=True))


@pytest.mark.parametrize("spot", [(0, 0), (7, 7)])
def test_far_false_pixels_are_found(spot):
    nucleus = np.zeros((8, 8), np.int32)
    nucleus[3:5, 3:5] = 1
    predicted = nucleus > 0
    predicted[spot] = True
    points, labels = correction_clicks(
        targets_of(nucleus)[0], crop_of(predicted), (8, 8), np.random.default_rng(0)
    )
    assert tuple(points[1]) == spot
    assert labels.tolist() == [1, 0]
