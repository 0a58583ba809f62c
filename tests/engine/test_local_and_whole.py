"""A mask from a window around the prompt, and from all of a field, are the same nucleus."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_uninuc.core.detections import Detections
from napari_uninuc.engine.requests import PromptBatch
from napari_uninuc.engine.windows import SURE_LOGIT, choose_sides


@pytest.fixture
def both(predictor):
    """Answer a prompt from a window, then from the whole field."""

    def answered(rgb, **prompt):
        predictor.set_image(rgb, mpp=0.25)
        masks = []
        for decoding in ("local", "whole"):
            predictor.engine.decoding = decoding
            masks.append(predictor.predict(**prompt)[0][0])
        return masks

    yield answered
    predictor.engine.decoding = "local"


def ellipse(shape, centre, half, angle=0.0):
    """A nucleus in the colours of H&E, and which pixels are its."""
    ys, xs = np.mgrid[: shape[0], : shape[1]] - np.reshape(centre, (2, 1, 1))
    u = ys * np.cos(angle) + xs * np.sin(angle)
    v = xs * np.cos(angle) - ys * np.sin(angle)
    inside = (u / half[0]) ** 2 + (v / half[1]) ** 2 <= 1
    rgb = np.where(inside[..., None], (96.0, 70.0, 140.0), (236.0, 214.0, 226.0))
    rgb += np.random.default_rng(0).normal(0, 4, rgb.shape)
    return ndimage.gaussian_filter(rgb, (0.7, 0.7, 0)).clip(0, 255).astype(np.uint8), inside


def box_of(inside):
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], float)


def iou(first, second):
    return (first & second).sum() / (first | second).sum()


PLACES = {
    "corner of the tile": ((2, 3), (10, 10), 0.0),
    "opposite corner": ((188, 220), (10, 10), 0.0),
    "upper right corner": ((3, 221), (10, 10), 0.0),
    "lower left corner": ((189, 2), (10, 10), 0.0),
    "border": ((96, 1), (11, 9), 0.0),
    "edge of a window": ((64, 64), (10, 10), 0.0),
    "between two cells": ((68, 92), (9, 9), 0.0),
    "a px before the edge of a window": ((63, 127), (10, 10), 0.0),
    "a px after it": ((65, 129), (10, 10), 0.0),
    "elongated": ((100, 110), (24, 5), 0.6),
    "elongated, along the border": ((5, 120), (4, 26), 0.0),
    "elongated, across two windows": ((64, 96), (6, 30), 0.0),
    "larger than the smallest window": ((96, 112), (30, 26), 0.3),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_box_gives_the_same_nucleus(both, place):
    rgb, inside = ellipse((192, 224), *PLACES[place])
    local, whole = both(rgb, box=box_of(inside))
    assert iou(local, whole) > 0.85
    assert iou(local, inside) > iou(whole, inside) - 0.05
    assert iou(local, inside) > 0.6  # beyond the border the thinnest depends on the processor


@pytest.mark.parametrize(
    "place",
    [
        "corner of the tile",
        "opposite corner",
        "upper right corner",
        "lower left corner",
        "edge of a window",
        "between two cells",
        "larger than the smallest window",
    ],
)
def test_a_click_gives_the_same_nucleus(both, place):
    centre = np.clip(PLACES[place][0], 4, (186, 218))
    rgb, inside = ellipse((192, 224), *PLACES[place])
    local, whole = both(rgb, point_coords=centre[None, ::-1].astype(float), point_labels=[1])
    assert iou(local, whole) > 0.8
    assert iou(local, inside) > 0.6  # beyond the border the thinnest depends on the processor


def test_a_box_as_large_as_the_field_is_decoded_whole_and_exactly_so(both):
    rgb, inside = ellipse((192, 224), (96, 112), (80, 85))
    local, whole = both(rgb, box=box_of(inside))
    np.testing.assert_array_equal(local, whole)
    assert iou(local, inside) > 0.5


@pytest.mark.parametrize(("half", "side"), [((30, 26), 128), ((66, 60), 256)])
def test_a_very_large_nucleus_gets_a_window_that_holds_it(both, monkeypatch, predictor, half, side):
    rgb, inside = ellipse((320, 352), (150, 180), half, 0.3)
    decode, seen = predictor.engine.model.decode, []

    def counted(embedding, prompts, shift, **options):
        seen.append(prompts.cells_hw)
        return decode(embedding, prompts, shift, **options)

    monkeypatch.setattr(predictor.engine.model, "decode", counted)
    local, whole = both(rgb, box=box_of(inside))
    assert seen == [(side // 8, side // 8), (40, 44)]
    assert iou(local, whole) > 0.8
    assert iou(local, inside) > iou(whole, inside) - 0.05


def test_prompts_asked_together_are_answered_as_alone(predictor):
    pictures = [ellipse((192, 224), *PLACES[place])[1] for place in PLACES]
    rgb, _ = ellipse((192, 224), (96, 112), (30, 26))
    predictor.set_image(rgb, mpp=0.25)
    boxes = np.stack([box_of(inside) for inside in pictures])
    together = predictor.predict(box=boxes, return_logits=True)[0]
    for box, logits in zip(boxes, together, strict=True):
        alone = predictor.predict(box=box, return_logits=True)[0]
        np.testing.assert_allclose(logits, alone, atol=1e-3)


@pytest.fixture
def _nothing_found(predictor, monkeypatch):
    """The detector has no say in clicks, and its boxes no windows."""
    monkeypatch.setattr(predictor.engine, "propose", lambda embedding: Detections.empty())


@pytest.mark.usefixtures("_nothing_found")
def test_a_click_on_a_nucleus_that_never_fits_ends_with_the_whole(predictor, monkeypatch):
    rgb, _ = ellipse((192, 224), (96, 112), (10, 10))
    predictor.set_image(rgb, mpp=0.25)
    engine, decode = predictor.engine, predictor.engine.model.decode
    windows = []

    def endless(embedding, prompts, shift, **options):
        windows.append(prompts.cells_hw)
        logits, ious = decode(embedding, prompts, shift, **options)
        return torch.full_like(logits, 4.0), ious

    monkeypatch.setattr(engine.model, "decode", endless)
    masks, _, _ = predictor.predict(point_coords=[[112.0, 96.0]], point_labels=[1])
    assert windows == [(8, 8), (16, 16), (24, 28)]
    assert masks.all()


@pytest.mark.usefixtures("_nothing_found")
def test_an_answer_that_is_sure_of_nothing_gets_no_larger_window(predictor, monkeypatch):
    rgb, _ = ellipse((192, 224), (96, 112), (10, 10))
    predictor.set_image(rgb, mpp=0.25)
    engine, decode = predictor.engine, predictor.engine.model.decode
    windows = []

    def unsure(embedding, prompts, shift, **options):
        windows.append(prompts.cells_hw)
        logits, ious = decode(embedding, prompts, shift, **options)
        return torch.full_like(logits, SURE_LOGIT - 0.1), ious

    monkeypatch.setattr(engine.model, "decode", unsure)
    predictor.predict(point_coords=[[112.0, 96.0]], point_labels=[1])
    assert windows == [(8, 8)]


def test_whole_decoding_takes_the_whole_for_every_prompt(both, predictor):
    rgb, inside = ellipse((192, 224), (96, 112), (10, 10))
    both(rgb, box=box_of(inside))
    engine = predictor.engine
    (field,) = predictor.engine.fields(predictor._pictures[0].tile)
    frame = engine.embed(predictor._pictures[0].tile, field).frame
    boxes = PromptBatch.of_boxes(np.array([[90, 100, 110, 124]], np.float32))
    assert choose_sides(frame, boxes, None)[0] == max(frame.input_hw)


def test_hundreds_of_prompts_are_decoded_in_bounded_batches(predictor, dense, monkeypatch):
    predictor.set_image(dense.rgb, mpp=0.25)
    engine, decode = predictor.engine, predictor.engine.model.decode
    pixels = []

    def counted(embedding, prompts, shift, **options):
        n, (h, w) = len(prompts.points_xy), prompts.cells_hw
        pixels.append(n * h * w * engine.config.coarse_stride**2)
        return decode(embedding, prompts, shift, **options)

    monkeypatch.setattr(engine.model, "decode", counted)
    centres = np.array(dense.centres_yx)[:, ::-1].repeat(4, axis=0)
    rows = predictor.answer(
        PromptBatch.of_boxes(
            np.concatenate([centres[:, ::-1] - 9, centres[:, ::-1] + 9], 1).astype(np.float32)
        )
    )
    answered = np.concatenate([index for index, _ in rows])
    assert sorted(answered) == list(range(len(centres)))
    assert max(pixels) <= 256 * 64 * 64 < sum(pixels)


def test_the_card_says_how_its_weights_were_taught(predictor):
    assert predictor.card.decoding == "local"
    assert replace(predictor.card, decoding="whole").decoding == "whole"
