"""Which window a prompt gets."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_uninuc.core.geometry import Field
from napari_uninuc.engine.frame import uniform_frame
from napari_uninuc.engine.requests import PromptBatch
from napari_uninuc.engine.windows import (
    Window,
    choose_sides,
    prompt_tokens,
    touches_border,
)
from napari_uninuc.errors import PromptError
from napari_uninuc.network.prompt_encoder import (
    BOX_BOTTOM_RIGHT,
    BOX_TOP_LEFT,
    PADDING,
    POSITIVE,
)
from napari_uninuc.network.windows import FILL

WHOLE = (0, 0, 500, 600)
FRAME = uniform_frame(Field(0, WHOLE, WHOLE), 1.0, 64)  # input 512 x 608


def clicks(points_yx, labels):
    return PromptBatch(np.array([points_yx], np.float32), np.array([labels]))


def box(*yxyx):
    return PromptBatch.of_boxes(np.array([yxyx], np.float32))


@given(st.floats(1, 480), st.floats(1, 480))
def test_a_box_fits_into_its_window(height, width):
    side = choose_sides(FRAME, box(5, 5, 5 + height, 5 + width), 64)[0]
    assert side >= min(max(height, width) / FILL, 512)
    assert side == 608 or (side % 64 == 0 and side < 512)


@pytest.mark.parametrize(("length", "side"), [(20, 64), (46, 64), (47, 128), (200, 608)])
def test_the_smallest_fitting_window_is_taken(length, side):
    assert choose_sides(FRAME, box(10, 10, 10 + length, 30), 64)[0] == side


def test_one_click_gets_the_smallest_window():
    assert choose_sides(FRAME, clicks([[100, 100]], [1]), 64)[0] == 64


def test_padding_points_widen_no_window():
    prompts = clicks([[100, 100], [0, 0], [110, 100]], [1, -1, 0])
    assert choose_sides(FRAME, prompts, 64)[0] == 64


def test_distant_clicks_share_a_wider_window():
    assert choose_sides(FRAME, clicks([[100, 100], [200, 100]], [1, 0]), 64)[0] == 128


def test_no_smallest_window_means_the_whole_input():
    assert choose_sides(FRAME, box(0, 0, 5, 5), None)[0] == 608
    window = Window.of(FRAME, 608, 8)
    assert window.whole
    assert window.cells_hw == (64, 76)


def test_mask_prompts_need_their_extent():
    logits = np.full((1, 256, 304), -5.0, np.float32)
    logits[0, 50:90, 20:40] = 5  # 80 x 40 input px
    prompts = PromptBatch(np.zeros((1, 0, 2), np.float32), np.zeros((1, 0), int), None, logits)
    assert choose_sides(FRAME, prompts, 64)[0] == 128
    _, _, centres = prompt_tokens(FRAME, prompts)
    np.testing.assert_allclose(centres, [[140, 60]])


def test_tokens_are_ordered_as_sam2_orders_them():
    prompts = PromptBatch(
        np.array([[[12, 34]]], np.float32), np.array([[1]]), np.array([[1, 2, 30, 40]], np.float32)
    )
    points, labels, _ = prompt_tokens(FRAME, prompts)
    np.testing.assert_allclose(points, [[[2, 1], [40, 30], [34, 12], [0, 0]]])
    assert labels.tolist() == [[BOX_TOP_LEFT, BOX_BOTTOM_RIGHT, POSITIVE, PADDING]]


def test_nothing_is_no_prompt():
    empty = PromptBatch(np.zeros((1, 0, 2), np.float32), np.zeros((1, 0), int))
    with pytest.raises(PromptError, match="pass one"):
        prompt_tokens(FRAME, empty)


@pytest.mark.parametrize(
    ("corner", "cell", "cut"),
    [
        ((8, 8), (0, 9), True),
        ((8, 8), (31, 9), True),
        ((8, 8), (9, 31), True),
        ((8, 8), (9, 9), False),
        ((0, 0), (0, 0), False),
        ((0, 0), (31, 31), True),
        ((56, 68), (31, 31), False),
    ],
)
def test_a_mask_is_cut_where_its_window_ends_inside_the_input(corner, cell, cut):
    inside = torch.zeros((1, 32, 32), dtype=torch.bool)
    inside[0, cell[0], cell[1]] = True
    window = Window.of(FRAME, 64, 8)
    assert touches_border(inside, torch.tensor([corner]), window, FRAME, 8).tolist() == [cut]
