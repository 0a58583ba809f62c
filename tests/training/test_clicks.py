"""The simulated user of training."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_uninuc.evaluation.clicks import centre_click, correction_clicks
from napari_uninuc.evaluation.crops import crop_of
from napari_uninuc.network.prompt_encoder import (
    BOX_BOTTOM_RIGHT,
    BOX_TOP_LEFT,
    NEGATIVE,
    PADDING,
    POSITIVE,
)
from napari_uninuc.training.clicks import (
    box_prompt,
    corrections,
    deepest_pixels,
    jitter_boxes,
    protocol_clicks,
    random_pixels,
)


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


def drawn_in_training(predicted, truth, box, rounds=2000):
    """All pixels (x, y) of both clicks that ever were drawn, and the labels."""
    xy, labels = protocol_clicks(
        torch.tensor(predicted).expand(rounds, -1, -1),
        torch.tensor(truth).expand(rounds, -1, -1),
        torch.tensor([box], dtype=torch.float32).expand(rounds, -1),
        seeded(),
    )
    assert (labels == labels[0]).all()
    return [set(map(tuple, xy[:, k].long().tolist())) for k in (0, 1)], labels[0].tolist()


def drawn_in_evaluation(predicted, truth, rounds=2000):
    rng = np.random.default_rng(0)
    many = [
        correction_clicks(crop_of(truth), crop_of(predicted), truth.shape, rng)
        for _ in range(rounds)
    ]
    places = [{tuple(points[k, ::-1].tolist()) for points, _ in many} for k in (0, 1)]
    return places, many[0][1].tolist()


def test_training_clicks_where_evaluation_does():
    truth = np.zeros((10, 12), bool)
    truth[3:6, 4:8] = True
    missing, excess = truth.copy(), truth.copy()
    missing[3, 4:6] = False
    excess[8, 9:11] = True
    for predicted in (truth, missing, excess, missing ^ excess ^ truth, np.zeros_like(truth)):
        here, kinds = drawn_in_training(predicted, truth, (4, 3, 8, 6))
        there, labels = drawn_in_evaluation(predicted, truth)
        assert here == there
        assert kinds == [POSITIVE, NEGATIVE]
        assert labels == [1, 0]


def test_a_nucleus_that_fills_its_window_is_clicked_inside_twice():
    whole = np.ones((4, 4), bool)
    (first, second), kinds = drawn_in_training(whole, whole, (0, 0, 4, 4), rounds=50)
    assert first == second
    assert kinds == [POSITIVE, POSITIVE]
    assert drawn_in_evaluation(whole, whole, 5)[1] == [1, 1]


def test_the_middle_is_that_of_evaluation():
    masks = np.zeros((2, 20, 20), bool)
    masks[0, 3:12, 2:7], masks[1, 5:, 9:13] = True, True
    middles = deepest_pixels(torch.tensor(masks))
    assert middles.dtype == torch.float32
    assert middles.flip(1).tolist() == [list(map(float, centre_click(crop_of(m)))) for m in masks]


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
