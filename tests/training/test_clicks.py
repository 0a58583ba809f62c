"""The simulated user of training."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_uninuc.network.prompt_encoder import (
    BOX_BOTTOM_RIGHT,
    BOX_TOP_LEFT,
    NEGATIVE,
    PADDING,
    POSITIVE,
)
from napari_uninuc.training.clicks import box_prompt, corrections, jitter_boxes, random_pixels


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@given(st.integers(0, 500))
def test_pixels_are_inside_their_region(seed):
    regions = torch.rand(6, 9, 13, generator=seeded(seed)) > 0.9
    regions[5] = False
    xy, found = random_pixels(regions, seeded(seed))
    assert found.tolist() == regions.flatten(1).any(1).tolist()
    for region, (x, y), there in zip(regions, xy.long().tolist(), found, strict=True):
        assert not there or region[y, x]


def test_every_pixel_can_be_drawn():
    region = torch.zeros(1, 5, 7, dtype=torch.bool)
    region[0, 1:3, 2:5] = True
    generator = seeded()
    drawn = {tuple(random_pixels(region, generator)[0][0].tolist()) for _ in range(200)}
    assert drawn == {(x, y) for x in (2, 3, 4) for y in (1, 2)}


def test_corrections_point_at_errors():
    truth = torch.zeros(2, 10, 10, dtype=torch.bool)
    truth[:, 2:6, 2:6] = True
    predicted = truth.clone()
    predicted[0, 2, 2], predicted[0, 8, 9] = False, True
    xy, labels = corrections(predicted, truth, seeded())
    assert labels.tolist() == [[POSITIVE, NEGATIVE], [PADDING, PADDING]]
    assert xy[0].tolist() == [[2, 2], [9, 8]]


def test_boxes_become_corners():
    points, labels = box_prompt(torch.tensor([[1.0, 2, 30, 40]]))
    assert points.tolist() == [[[1, 2], [30, 40], [0, 0]]]
    assert labels.tolist() == [[BOX_TOP_LEFT, BOX_BOTTOM_RIGHT, PADDING]]


@given(st.integers(0, 200), st.floats(0, 2))
def test_jittered_boxes_stay_boxes(seed, relative):
    boxes = torch.tensor([[10.0, 20, 30, 60], [0, 0, 2, 2]])
    moved = jitter_boxes(boxes, relative, seeded(seed))
    assert (moved[:, 2:] >= moved[:, :2] + 0.999).all()
    assert ((moved - boxes).abs()[0, :2] <= 2 * relative * torch.tensor([20, 40]) + 1e-4).all()
