"""Answers in crops against answers as whole images, from the bundled model."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from napari_uninuc import load_predictor
from napari_uninuc.core.tile import Tile
from napari_uninuc.datasets.folder import LabelledTile
from napari_uninuc.engine.requests import PromptBatch
from napari_uninuc.evaluation.answers import CroppingPredictor, ask
from napari_uninuc.evaluation.baselines import BoxEllipse
from napari_uninuc.evaluation.interactive import InteractiveProtocol, score_interactive


@pytest.fixture(scope="module")
def predictor():
    return load_predictor("uninuc-n", device="cpu")


@pytest.fixture(scope="module")
def labelled() -> LabelledTile:
    """Nuclei inside, on the border, and one too large for the smallest window."""
    ys, xs = np.mgrid[:200, :180]
    labels = np.zeros((200, 180), np.int32)
    spots = [(20, 20, 9), (0, 90, 10), (60, 60, 11), (140, 120, 35), (199, 10, 12), (90, 178, 8)]
    for nucleus, (y, x, radius) in enumerate(spots, start=1):
        labels[(ys - y) ** 2 + (xs - x) ** 2 <= radius**2] = nucleus
    rgb = np.where((labels > 0)[..., None], (96, 70, 140), (236, 214, 226)).astype(float)
    rgb = ndimage.gaussian_filter(rgb + np.random.default_rng(0).normal(0, 6, rgb.shape), (1, 1, 0))
    tile = Tile.from_array(rgb.clip(0, 255).astype(np.uint8), name="discs")
    return LabelledTile(tile, labels, None)


class WholeImages:
    """The same predictor with nothing but the face of SAM 2's."""

    def __init__(self, predictor):
        self.set_image, self.predict = predictor.set_image, predictor.predict


def without_seconds(rows):
    return [(row.iteration, row.msa, row.mean_iou, row.reached) for row in rows]


@pytest.mark.parametrize("prompt", ["point", "box"])
@pytest.mark.parametrize("with_mask", [True, False])
def test_crops_score_as_whole_images_do(predictor, labelled, prompt, with_mask):
    predictor.set_image(labelled.tile.rgb)
    protocol = InteractiveProtocol(prompt, with_mask=with_mask, corrections=4)
    crops = score_interactive(predictor, labelled, protocol)
    images = score_interactive(WholeImages(predictor), labelled, protocol)
    assert without_seconds(crops) == without_seconds(images)
    assert crops[-1].mean_iou > 0.5


def test_crops_score_as_whole_images_do_over_several_fields(predictor, labelled, monkeypatch):
    small = replace(predictor.engine.config, input_size=128, halo=32)
    monkeypatch.setattr(predictor.engine, "config", small)
    predictor.set_image(labelled.tile.rgb)
    protocol = InteractiveProtocol("box", corrections=2)
    crops = score_interactive(predictor, labelled, protocol)
    images = score_interactive(WholeImages(predictor), labelled, protocol)
    assert without_seconds(crops) == without_seconds(images)


def test_only_predictors_that_can_are_asked_for_crops(predictor):
    assert isinstance(predictor, CroppingPredictor)
    assert not isinstance(WholeImages(predictor), CroppingPredictor)
    assert not isinstance(BoxEllipse(), CroppingPredictor)


def test_masks_end_at_the_border_of_the_image(predictor, labelled):
    predictor.set_image(labelled.tile.rgb)
    boxes = PromptBatch.of_boxes(np.array([[0, 80, 11, 101], [188, 0, 200, 23]], np.float32))
    crops, logits, ious = ask(predictor, boxes, (200, 180), candidates=False)
    assert ious.shape == (2,)
    assert ((ious > 0) & (ious <= 1)).all()
    for crop in crops:
        y0, x0, y1, x1 = crop.box_yxyx
        assert 0 <= y0 < y1 <= 200
        assert 0 <= x0 < x1 <= 180
        assert crop.mask.shape == (y1 - y0, x1 - x0)
    assert len(logits) == 2
