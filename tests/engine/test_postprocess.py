"""Window logits land on the pixels they belong to."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_uninuc.core.geometry import Field
from napari_uninuc.engine.frame import uniform_frame
from napari_uninuc.engine.postprocess import instances_of, logits_at_picture, without_crumbs
from napari_uninuc.engine.requests import DecodedMasks, PromptBatch
from napari_uninuc.engine.windows import Window

STRIDE = 2


def frame_of(origin, shape, scale):
    y, x = origin
    box = (y, x, y + shape[0], x + shape[1])
    return uniform_frame(Field(0, box, box), scale, 64)


def ramps(frame, window, corner):
    """Logits that say where they lie: (2, h, w), y and x in px of the picture (corners)."""
    cells = [np.arange(side // STRIDE) * STRIDE + STRIDE / 2 for side in window.side_hw]
    ys, xs = ((c + k) / s for c, k, s in zip(cells, corner, frame.scale_yx, strict=True))
    return torch.from_numpy(np.stack(np.meshgrid(ys, xs, indexing="ij"))[None]).float()


@given(
    st.tuples(st.integers(0, 50), st.integers(0, 50)),
    st.floats(0.4, 3.0),
    st.tuples(st.integers(0, 12), st.integers(0, 12)),
)
def test_every_pixel_gets_the_logit_at_its_centre(origin, scale, cell):
    frame = frame_of(origin, (400, 420), scale)
    window = Window.of(frame, 64, 8)
    corner = np.array(cell) * 8 if not window.whole else np.zeros(2, int)
    places = ramps(frame, window, corner)
    origins, logits = logits_at_picture(places, torch.from_numpy(corner)[None], window, frame)
    ys = origins[0, 0] - origin[0] + np.arange(logits.shape[2]) + 0.5
    xs = origins[0, 1] - origin[1] + np.arange(logits.shape[3]) + 0.5
    rows = (ys * frame.scale_yx[0] > corner[0] + 1) & (
        ys * frame.scale_yx[0] < corner[0] + window.side_hw[0] - 1
    )
    columns = (xs * frame.scale_yx[1] > corner[1] + 1) & (
        xs * frame.scale_yx[1] < corner[1] + window.side_hw[1] - 1
    )
    np.testing.assert_allclose(logits[0, 0, rows, 0], ys[rows], atol=2e-2)
    np.testing.assert_allclose(logits[0, 1, 0, columns], xs[columns], atol=2e-2)


@given(st.floats(0.2, 3.0), st.integers(0, 12))
def test_no_pixel_of_a_window_is_left_out(scale, cell):
    frame = frame_of((0, 0), (700, 700), scale)
    window = Window.of(frame, 64, 8)
    corner = 0 if window.whole else cell * 8
    places = torch.zeros((1, 1, 32, 32))
    origins, logits = logits_at_picture(places, torch.full((1, 2), corner), window, frame)
    centres = (np.arange(700) + 0.5) * frame.scale_yx[0]
    inside = np.flatnonzero((centres > corner) & (centres < corner + window.side_hw[0]))
    assert origins[0, 0] <= inside[0]
    assert origins[0, 0] + logits.shape[2] > inside[-1]


@pytest.mark.parametrize("scale", [0.25, 0.5, 1.0, 2.0])
def test_windows_in_the_corner_start_at_the_first_pixel(scale):
    frame = frame_of((7, 9), (600, 600), scale)
    window = Window.of(frame, 64, 8)
    origins, _ = logits_at_picture(
        torch.zeros((1, 1, 32, 32)), torch.zeros((1, 2), dtype=torch.long), window, frame
    )
    assert origins.tolist() == [[7, 9]]


def answer_of(logits):
    n = len(logits)
    zeros = np.zeros((n, 2), np.int64)
    small = np.zeros((n, 1, 2, 2), np.float32)
    ious = np.full((n, 1), 0.5, np.float32)
    return DecodedMasks(zeros + np.array([10, 20]), logits, ious, small, zeros)


def test_an_instance_is_one_piece_without_holes():
    logits = np.full((2, 1, 12, 12), -1.0, np.float32)
    logits[0, 0, 2:8, 3:9] = 1
    logits[0, 0, 4, 5] = -1  # hole
    logits[0, 0, 11, 11] = 1  # stray
    found = instances_of(answer_of(logits), np.array([0.75, 0.5]), np.array([0, 0]))
    assert len(found) == 1
    assert found[0].box_yxyx == (12, 23, 18, 29)
    assert found[0].area == 36
    assert found[0].score == 0.75
    assert found[0].predicted_iou == 0.5


def test_crumbs_go_and_holes_close_unless_a_click_asks_for_them():
    logits = np.full((2, 1, 20, 20), -3, np.float32)
    logits[:, 0, 2:12, 2:12] = 3
    logits[:, 0, 6, 6] = -2
    logits[:, 0, 15:18, 15:18] = 2
    answers = DecodedMasks(
        np.array([[10, 30], [10, 30]]),
        logits,
        np.ones((2, 1), np.float32),
        np.zeros((2, 1, 1, 1), np.float32),
        np.zeros((2, 2), np.int64),
    )
    points = np.array([[[14, 34], [0, 0]], [[26, 46], [16, 36]]], np.float32)
    prompts = PromptBatch(points, np.array([[1, -1], [1, 0]]))
    plain, asked = without_crumbs(answers, prompts).logits[:, 0] > 0
    assert plain[6, 6]
    assert not plain[15:18, 15:18].any()
    # Only the piece of the inside click is meant; the hole lies in the other one.
    assert asked[15:18, 15:18].all()
    assert not asked[2:12, 2:12].any()
    both = np.array([[[26, 46], [13, 33], [16, 36]]], np.float32)
    prompts = PromptBatch(both.repeat(2, axis=0), np.array([[1, 1, 0]]).repeat(2, axis=0))
    kept = without_crumbs(answers, prompts).logits[0, 0]
    assert (kept > 0).sum() == (logits[0, 0] > 0).sum()
    assert np.array_equal(answers.logits, logits), "what came in is not changed"
