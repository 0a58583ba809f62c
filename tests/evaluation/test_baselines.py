"""The two baselines on pictures whose nuclei are known."""

import numpy as np
import pytest

from napari_uninuc.core.overlaps import match
from napari_uninuc.datasets.sample import immunohistochemistry_tile
from napari_uninuc.errors import PromptError
from napari_uninuc.evaluation.baselines import BoxEllipse, OtsuWatershed
from napari_uninuc.evaluation.metrics import detection_by_iou

HAEMATOXYLIN, EOSIN = (90, 60, 150), (235, 190, 215)


def discs(centres_yx: list[tuple[int, int]], radius: float = 9) -> np.ndarray:
    ys, xs = np.mgrid[:100, :120]
    labels = np.zeros((100, 120), np.int32)
    for nucleus, (y, x) in enumerate(centres_yx, start=1):
        labels[(ys - y) ** 2 + (xs - x) ** 2 <= radius**2] = nucleus
    return labels


def test_otsu_finds_dark_discs_and_splits_touching_ones():
    truth = discs([(20, 20), (20, 70), (60, 30), (60, 47)])
    rgb = np.where((truth > 0)[..., None], HAEMATOXYLIN, EOSIN).astype(np.uint8)
    baseline = OtsuWatershed()
    baseline.set_image(rgb, mpp=0.25)
    labels = baseline.segment().labels
    assert detection_by_iou(match(truth, labels)).f1 == 1.0


def test_otsu_scales_with_micrometres_per_pixel():
    speck = discs([(20, 20)], radius=4)
    rgb = np.where((speck > 0)[..., None], HAEMATOXYLIN, EOSIN).astype(np.uint8)
    baseline = OtsuWatershed()
    baseline.set_image(rgb, mpp=0.25)
    assert baseline.segment().labels.max() == 0
    baseline.set_image(rgb, mpp=0.5)
    assert baseline.segment().labels.max() == 1


@pytest.mark.parametrize("value", [0, 128, 255])
def test_otsu_finds_nothing_in_one_colour(value):
    baseline = OtsuWatershed()
    baseline.set_image(np.full((40, 40, 3), value, np.uint8))
    assert baseline.segment().labels.max() == 0


def test_otsu_finds_nuclei_on_real_tissue():
    baseline = OtsuWatershed()
    tile = immunohistochemistry_tile()
    baseline.set_image(tile.rgb)
    segmentation = baseline.segment()
    assert segmentation.labels.shape == tile.shape
    assert 50 < len(segmentation.table) < 1000


def test_ellipse_fills_its_box_and_touches_each_side():
    baseline = BoxEllipse()
    baseline.set_image(np.zeros((100, 120, 3), np.uint8))
    masks, ious, logits = baseline.predict(box=np.array([[10, 20, 40, 60], [0, 0, 120, 100]]))
    assert masks.shape == (2, 1, 100, 120)
    assert ious.shape == (2, 1)
    assert logits.shape == (2, 1, 256, 256)
    ys, xs = np.nonzero(masks[0, 0])
    assert (ys.min(), ys.max() + 1, xs.min(), xs.max() + 1) == (20, 60, 10, 40)
    assert masks[0, 0].sum() == pytest.approx(np.pi / 4 * 30 * 40, rel=0.02)
    assert (logits[1, 0] > 0).mean() == pytest.approx(np.pi / 4, rel=0.02)


def test_ellipse_of_one_pixel_is_that_pixel():
    baseline = BoxEllipse()
    baseline.set_image(np.zeros((9, 9, 3), np.uint8))
    masks, _, _ = baseline.predict(box=np.array([[4, 5, 5, 6]]))
    assert np.argwhere(masks[0, 0]).tolist() == [[5, 4]]


@pytest.mark.parametrize("box", [None, np.zeros(4)])
def test_ellipse_without_boxes_is_refused(box):
    with pytest.raises(PromptError, match="needs boxes"):
        BoxEllipse().predict(box=box)
