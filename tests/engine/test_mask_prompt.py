"""Masks in tile px, resampled onto the logit grid."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_uninuc.core.geometry import Field
from napari_uninuc.engine.frame import square_frame, uniform_frame
from napari_uninuc.engine.mask_prompt import mask_window
from napari_uninuc.engine.requests import OUTSIDE

STRIDE = 2


def frame_of(scale, outer=(100, 200, 228, 360)):
    return uniform_frame(Field(0, outer, outer), scale, 64)


def grid_of(frame):
    return frame.input_hw[0] // STRIDE, frame.input_hw[1] // STRIDE


def logits_on_grid(logits, origin_yx, frame, grid_hw):
    """The window in its place on the whole grid."""
    window = mask_window(logits, origin_yx, frame, grid_hw)
    assert window.grid_hw == grid_hw
    return window.cut(0, (0, 0), grid_hw)


def test_a_cell_is_the_average_of_its_pixels():
    frame = frame_of(1.0)
    logits = np.random.default_rng(0).normal(0, 3, (8, 12)).astype(np.float32)
    grid = logits_on_grid(logits, (110, 220), frame, grid_of(frame))
    averages = logits.reshape(4, 2, 6, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(grid[5:9, 10:16], averages, atol=1e-5)
    grid[5:9, 10:16] = OUTSIDE
    assert (grid == OUTSIDE).all()


def test_half_covered_cells_are_half_outside():
    frame = frame_of(1.0)
    grid = logits_on_grid(np.full((2, 3), 8.0), (111, 221), frame, grid_of(frame))
    np.testing.assert_allclose(grid[5, 10:12], [(8 + 3 * OUTSIDE) / 4, (8 + OUTSIDE) / 2])
    np.testing.assert_allclose(grid[6, 10:12], [(8 + 3 * OUTSIDE) / 4, (8 + OUTSIDE) / 2])


@pytest.mark.parametrize("scale", [0.5, 0.8, 1.0, 1.9, 2.0, 3.0, 4.4])
def test_a_mask_keeps_its_place_and_area_at_every_scale(scale):
    frame = frame_of(scale)
    ys, xs = np.mgrid[:41, :51]
    disc = (ys - 20) ** 2 + ((xs - 25) / 1.2) ** 2 <= 15**2
    grid = logits_on_grid(np.where(disc, 8.0, OUTSIDE), (140, 250), frame, grid_of(frame))
    share = (grid.astype(float) - OUTSIDE) / (8 - OUTSIDE)  # of the cell, inside
    cells = np.indices(share.shape).reshape(2, -1)
    middle = (cells * share.ravel()).sum(axis=1) / share.sum()
    picture = (middle + 0.5) * STRIDE / frame.scale_yx - 0.5 + frame.origin_yx
    np.testing.assert_allclose(picture, (160, 275), atol=0.02)
    area = share.sum() * STRIDE**2 / frame.scale_yx.prod()
    assert area == pytest.approx(disc.sum(), rel=0.001)


def test_a_thin_part_fades_and_does_not_vanish():
    frame = frame_of(0.5)  # a cell is 4 px wide
    line = np.full((1, 40), 8.0)
    grid = logits_on_grid(line, (150, 240), frame, grid_of(frame))
    assert (grid[12, 10:20] > OUTSIDE + 3).all()


@given(
    st.integers(60, 260), st.integers(150, 400), st.integers(1, 30), st.sampled_from([0.7, 1, 3])
)
def test_nothing_is_invented_wherever_the_crop_lies(y, x, side, scale):
    frame = frame_of(scale)
    grid = logits_on_grid(np.full((side, side), 5.0), (y, x), frame, grid_of(frame))
    assert grid.shape == grid_of(frame)
    assert grid.min() >= OUTSIDE
    assert grid.max() <= 5 + 1e-4


def test_a_frame_with_two_scales():
    frame = square_frame((200, 100), 256)
    grid = logits_on_grid(np.full((200, 100), 3.0), (0, 0), frame, (64, 64))
    np.testing.assert_allclose(grid[1:-1, 1:-1], 3.0, atol=1e-5)


def test_only_what_the_crop_can_reach_is_kept():
    frame = frame_of(1.0)
    window = mask_window(np.full((20, 30), 5.0), (140, 250), frame, grid_of(frame))
    assert window.logits[0].shape == (12, 17)
    apart = mask_window(np.full((20, 30), 5.0), (4000, 4000), frame, grid_of(frame))
    assert apart.logits[0].size == 0
