"""Points and boxes there and back; no half-pixel slip at any scale."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from napari_uninuc.core.geometry import Field
from napari_uninuc.engine.frame import square_frame, uniform_frame

sides = st.integers(1, 700)
scales = st.floats(0.2, 8.0)
origins = st.tuples(st.integers(0, 5000), st.integers(0, 5000))


def frame_of(origin, shape, scale):
    y, x = origin
    box = (y, x, y + shape[0], x + shape[1])
    return uniform_frame(Field(0, box, box), scale, 64)


@given(origins, st.tuples(sides, sides), scales, st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_boxes_there_and_back(origin, shape, scale, share):
    frame = frame_of(origin, shape, scale)
    low = np.array(origin) + np.array(share) * shape
    box = np.concatenate([low, low + 5.25])
    back = frame.boxes_to_picture(frame.boxes_to_input(box))
    np.testing.assert_allclose(back, box, atol=1e-6)


@given(origins, st.tuples(sides, sides), scales)
def test_the_field_is_the_content(origin, shape, scale):
    frame = frame_of(origin, shape, scale)
    whole = np.array([*origin, origin[0] + shape[0], origin[1] + shape[1]])
    np.testing.assert_allclose(frame.boxes_to_input(whole), [0, 0, *frame.content_hw], atol=1e-6)
    assert all(
        content <= side for content, side in zip(frame.content_hw, frame.input_hw, strict=True)
    )
    assert all(side % 32 == 0 and side >= 64 for side in frame.input_hw)


@given(origins, st.tuples(sides, sides), scales, st.integers(0, 699), st.integers(0, 699))
def test_a_pixel_and_its_box_have_one_centre(origin, shape, scale, dy, dx):
    """The centre of pixel i is i; its box is [i, i + 1): half an input px apart, at any scale."""
    assume(dy < shape[0] and dx < shape[1])
    frame = frame_of(origin, shape, scale)
    y, x = origin[0] + dy, origin[1] + dx
    box = frame.boxes_to_input(np.array([y, x, y + 1, x + 1]))
    point = frame.points_to_input(np.array([y, x]))
    np.testing.assert_allclose((box[:2] + box[2:]) / 2 - 0.5, point, atol=1e-6)


def test_first_and_last_pixel_at_twice_the_size():
    frame = frame_of((0, 0), (100, 100), 2.0)
    points = frame.points_to_input(np.array([[0.0, 0.0], [99.0, 99.0]]))
    np.testing.assert_allclose(points, [[0.5, 0.5], [198.5, 198.5]])


def test_same_scale_changes_nothing_but_the_origin():
    frame = frame_of((30, 40), (100, 100), 1.0)
    np.testing.assert_array_equal(frame.points_to_input(np.array([31.0, 43.0])), [1, 3])


def test_sam2_scales_points_as_corners():
    frame = square_frame((100, 50), 1024)
    np.testing.assert_allclose(frame.points_to_input(np.array([50.0, 25.0])), [512, 512])


@pytest.mark.parametrize(("shape", "expected"), [((1, 1), (64, 64)), ((65, 200), (96, 224))])
def test_padding_is_to_whole_cells(shape, expected):
    assert frame_of((0, 0), shape, 1.0).input_hw == expected
