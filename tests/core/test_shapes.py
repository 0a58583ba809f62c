import numpy as np
from scipy import ndimage

from napari_uninuc.core.geometry import label_boxes
from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.shapes import N_SHAPES, Places, measure_shapes
from napari_uninuc.testing import make_tile


def masks_of(labels):
    ids, boxes = label_boxes(labels)
    return [
        InstanceMask((y0, x0), labels[y0:y1, x0:x1] == id_, 1.0, 0, 1.0)
        for id_, (y0, x0, y1, x1) in zip(ids.tolist(), boxes.tolist(), strict=True)
    ]


def measured(labels, rgb, mpp=0.25):
    masks = masks_of(labels)
    inside = Places.inside(masks, labels.shape)
    return measure_shapes(rgb, inside, Places.around(masks, labels.shape, 5), mpp)


def test_measures_are_those_that_scipy_gives():
    tissue = make_tile((200, 220), n_nuclei=20)
    rows = measured(tissue.labels, tissue.tile.rgb)
    ids = np.unique(tissue.labels)[1:]
    assert rows.shape == (len(ids), N_SHAPES)
    areas = ndimage.sum_labels(np.ones(tissue.labels.shape), tissue.labels, ids)
    assert np.allclose(rows[:, 0], np.log(areas * 0.25**2), atol=1e-5)
    density = -np.log10(np.maximum(tissue.tile.rgb[..., 0], 1) / 255)
    assert np.allclose(rows[:, 5], ndimage.mean(density, tissue.labels, ids), atol=1e-5)
    assert np.allclose(
        rows[:, 6], ndimage.standard_deviation(density, tissue.labels, ids), atol=1e-4
    )
    border = [
        np.count_nonzero((tissue.labels == i) & ~ndimage.binary_erosion(tissue.labels == i))
        for i in ids
    ]
    assert np.allclose(rows[:, 4], np.log((np.array(border) + 1) * 0.25), atol=1e-5)


def test_a_nucleus_alone_at_the_border_of_one_px_is_measured_too():
    labels = np.zeros((8, 8), np.int32)
    labels[0, 0] = 1
    rows = measured(labels, np.full((8, 8, 3), 200, np.uint8))
    assert np.isfinite(rows).all()
    assert measured(np.zeros((8, 8), np.int32), np.zeros((8, 8, 3), np.uint8)).shape == (
        0,
        N_SHAPES,
    )


def test_the_scale_is_in_micrometres():
    labels = np.zeros((120, 120), np.int32)
    labels[20:30, 20:40], labels[80:90, 80:90] = 1, 2
    rgb = np.full((120, 120, 3), 180, np.uint8)
    fine, coarse = measured(labels, rgb, 0.25), measured(labels, rgb, 0.5)
    assert np.allclose(coarse[:, 0] - fine[:, 0], np.log(4), atol=1e-5)
    assert np.allclose(coarse[:, 14] - fine[:, 14], np.log(2), atol=1e-5)  # the nearest neighbour
