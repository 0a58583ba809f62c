"""What the detector says to a first click."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_uninuc.core.detections import Detections
from napari_uninuc.engine.offered import first_clicks, joined, offered_boxes
from napari_uninuc.engine.requests import PromptBatch

CENTRES = [(40.0, 40.0), (60.0, 120.0), (110.0, 70.0)]


@pytest.fixture
def three(paint):
    """Three nuclei of 24 px in a picture of 160 x 192."""
    return paint((160, 192), CENTRES, 12)


def found(boxes_yxyx, scores):
    boxes = np.array(boxes_yxyx, np.float32).reshape(-1, 4)
    return Detections(boxes, np.array(scores, np.float32), np.zeros(len(boxes), np.int64))


def test_the_box_whose_middle_was_clicked_is_offered():
    boxes = found([[10, 10, 30, 30], [14, 14, 60, 60]], [0.5, 0.6])
    np.testing.assert_array_equal(offered_boxes(boxes, np.array([[20, 20]])), [[10, 10, 30, 30]])
    np.testing.assert_array_equal(offered_boxes(boxes, np.array([[37, 36]])), [[14, 14, 60, 60]])


def test_of_boxes_around_one_middle_the_likelier_is_offered():
    boxes = found([[10, 10, 30, 30], [12, 12, 28, 28]], [0.5, 0.6])
    np.testing.assert_array_equal(offered_boxes(boxes, np.array([[19, 20]])), [[12, 12, 28, 28]])


@pytest.mark.parametrize(
    ("click", "score"), [((20, 20), 0.01), ((10, 20), 0.5), ((40, 20), 0.9), ((-200, 4e4), 0.9)]
)
def test_no_box_is_offered_that_is_unlikely_or_was_not_meant(click, score):
    offered = offered_boxes(found([[10, 10, 30, 30]], [score]), np.array([click]))
    assert np.isnan(offered).all()
    assert offered.shape == (1, 4)


def test_where_nothing_is_found_nothing_is_offered():
    assert np.isnan(offered_boxes(Detections.empty(), np.zeros((3, 2)))).all()
    assert offered_boxes(Detections.empty(), np.zeros((0, 2))).shape == (0, 4)


@given(st.integers(0, 2**32 - 1))
def test_what_is_offered_holds_its_click(seed):
    rng = np.random.default_rng(seed)
    corners, sides = rng.uniform(-20, 80, (30, 2)), rng.uniform(0, 40, (30, 2))
    boxes = found(np.concatenate([corners, corners + sides], axis=1), rng.random(30))
    clicks = rng.integers(0, 80, (20, 2))
    offered = offered_boxes(boxes, clicks)
    there = np.isfinite(offered[:, 0])
    middle = clicks[there] + 0.5
    assert (offered[there, :2] <= middle).all()
    assert (middle <= offered[there, 2:]).all()
    for box in offered[there]:
        assert (boxes.boxes_yxyx == box).all(axis=1).any()


def test_an_answer_moves_a_quarter_of_the_way_where_both_mean_the_same():
    mine = torch.full((2, 3, 4, 4), -2.0)
    mine[:, 0] = 2.0
    its = torch.full((2, 1, 4, 4), -10.0)
    its[0, 0, :2] = 6.0  # half of the first answer, nothing of the second
    answer = joined(mine, its)
    assert answer[0, 0, 0, 0] == pytest.approx(3.0)
    assert answer[0, 0, 3, 3] == pytest.approx(-1.0)
    assert torch.equal(answer[0, 1:], mine[0, 1:])
    assert torch.equal(answer[1], mine[1])


def one_click(y, x, label=1):
    return PromptBatch(np.array([[[y, x]]], np.float32), np.array([[label]]))


def test_only_one_click_inside_and_nothing_else_is_a_first_click():
    np.testing.assert_array_equal(first_clicks(one_click(3, 4)), [[3, 4]])
    assert np.isnan(first_clicks(one_click(3, 4, 0))).all()
    assert np.isnan(first_clicks(PromptBatch.of_boxes(np.array([[1, 2, 3, 4]], np.float32)))).all()
    begun = replace(one_click(3, 4), masks=np.zeros((1, 8, 8), np.float32))
    assert np.isnan(first_clicks(begun)).all()


def test_what_is_asked_beside_it_makes_no_click_another():
    points = np.arange(16, dtype=np.float32).reshape(4, 2, 2)
    labels = np.array([[1, -1], [-1, 1], [1, 1], [0, -1]])
    clicks = first_clicks(PromptBatch(points, labels))
    np.testing.assert_array_equal(clicks[:2], [points[0, 0], points[1, 1]])
    assert np.isnan(clicks[2:]).all()


@pytest.fixture
def offering(predictor, three, monkeypatch):
    """Answer with boxes of our own in the place of the detector's; how often it was asked."""
    predictor.set_image(three.rgb, mpp=0.25)
    asked = []

    def answered(boxes, **prompt):
        def propose(embedding):
            asked.append(1)
            return boxes

        monkeypatch.setattr(predictor.engine, "propose", propose)
        return predictor.predict(return_logits=True, **prompt)[0][0]

    return answered, asked


CLICK = {"point_coords": [[40, 40]], "point_labels": [1]}


def test_a_box_has_a_say_in_the_answer_to_a_click(offering):
    answered, _ = offering
    alone = answered(Detections.empty(), **CLICK)
    close = answered(found([[26, 26, 55, 55]], [0.9]), **CLICK)
    far = answered(found([[46, 106, 75, 135]], [0.9]), **CLICK)
    np.testing.assert_array_equal(alone, far)
    assert np.abs(alone - close).max() > 0.1
    assert close[40, 40] > 0
    both = ((alone > 0) & (close > 0)).sum() / ((alone > 0) | (close > 0)).sum()
    assert both > 0.7


def test_a_click_is_answered_as_alone_beside_one_outside(offering):
    answered, asked = offering
    boxes = found([[26, 26, 55, 55], [46, 106, 75, 135]], [0.9, 0.9])
    places = np.array(CENTRES, np.float32)[:, None, ::-1]
    alone = answered(boxes, **CLICK)
    assert np.abs(alone - answered(Detections.empty(), **CLICK)).max() > 0.1
    together = answered(boxes, point_coords=places, point_labels=np.array([[1], [1], [0]]))
    assert len(asked) == 3
    np.testing.assert_allclose(together[0], alone, atol=1e-3)  # (1, H, W), of the first nucleus


def test_a_box_of_the_detector_is_not_taken_as_right_to_the_pixel(predictor, three, monkeypatch):
    engine = predictor.engine
    predictor.set_image(three.rgb, mpp=0.25)
    monkeypatch.setattr(engine, "propose", lambda embedding: found([[28, 28, 57, 57]], [0.9]))
    [field] = engine.fields(predictor._pictures[0].tile)
    embedding = engine.embed(predictor._pictures[0].tile, field)
    answers = [
        next(iter(engine.decode(embedding, one_click(40, 40), by_hand=True, tight=tight)))[1]
        for tight in (False, True)
    ]
    np.testing.assert_array_equal(answers[0].low_res, answers[1].low_res)


def test_a_box_that_means_something_else_changes_nothing(offering):
    answered, _ = offering
    alone = answered(Detections.empty(), **CLICK)
    whole = answered(found([[-60, -60, 140, 140]], [0.99]), **CLICK)
    either = ((alone > 0) | (whole > 0)).sum()
    assert ((alone > 0) & (whole > 0)).sum() > 0.9 * either


@pytest.mark.parametrize(
    "prompt",
    [
        {"box": [28, 28, 53, 53]},
        {"point_coords": [[40, 40], [60, 40]], "point_labels": [1, 0]},
        {"point_coords": [[40, 40]], "point_labels": [0]},
    ],
)
def test_whoever_says_more_is_taken_at_his_word(offering, prompt):
    answered, asked = offering
    answered(found([[26, 26, 55, 55]], [0.9]), **prompt)
    assert not asked


def test_candidates_are_three_and_a_batch_is_answered_as_its_clicks_alone(predictor, three):
    predictor.set_image(three.rgb, mpp=0.25)
    clicks = np.array(CENTRES, np.float32)[:, None, ::-1]
    ones = np.ones((3, 1), np.int64)
    masks, ious, _ = predictor.predict(clicks, ones, multimask_output=True)
    assert masks.shape == (3, 3, 160, 192)
    assert ious.shape == (3, 3)
    together = predictor.predict(clicks, ones, return_logits=True)[0]
    for k, (y, x) in enumerate(CENTRES):
        alone = predictor.predict([[x, y]], [1], return_logits=True)[0]
        np.testing.assert_allclose(together[k], alone, atol=1e-3)
        assert together[k, 0, round(y), round(x)] > 0


def test_a_model_without_a_scale_answers_as_sam_2_does(predictor, three, monkeypatch):
    engine = predictor.engine
    monkeypatch.setattr(engine, "card", replace(engine.card, mpp=None))
    monkeypatch.setattr(engine, "propose", lambda embedding: pytest.fail("was asked"))
    predictor.set_image(three.rgb)
    assert predictor.predict(**CLICK)[0].any()


def test_a_detector_with_an_encoder_of_its_own_is_not_waited_for(predictor, three, monkeypatch):
    engine = predictor.engine
    assert engine.hears_detector
    monkeypatch.setattr(engine.model, "detector_backbone", torch.nn.Identity())
    assert not engine.hears_detector
    monkeypatch.setattr(engine, "propose", lambda embedding: pytest.fail("was asked"))
    predictor.set_image(three.rgb, mpp=0.25)
    assert predictor.predict(**CLICK)[0].any()


def test_a_field_is_looked_at_once_however_often_it_is_asked(predictor, three, monkeypatch):
    engine, detect, seen = predictor.engine, predictor.engine.model.detect, []
    engine._found.clear()

    def counted(*inputs, **options):
        seen.append(1)
        return detect(*inputs, **options)

    monkeypatch.setattr(engine.model, "detect", counted)
    predictor.set_image(three.rgb, mpp=0.25)
    for _ in range(2):
        predictor.predict(**CLICK)
        predictor.segment()
    assert len(seen) == 1
    engine.make_room()
    predictor.predict(**CLICK)
    assert len(seen) == 2
