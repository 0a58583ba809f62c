import numpy as np
from scipy import ndimage

from napari_uninuc.core.geometry import label_boxes
from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.shapes import (
    N_NEIGHBOURS,
    N_SHAPES,
    N_TEXTURES,
    Places,
    measure_neighbours,
    measure_shapes,
    measure_texture,
    middles_of,
)
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


def test_neighbours_are_counted_and_those_that_are_not_there_are_far():
    assert measure_neighbours(np.zeros((0, 2))).shape == (0, N_NEIGHBOURS)
    alone = measure_neighbours(np.array([[5.0, 5.0]]))
    assert np.allclose(alone, [[np.log(250)] * 4 + [0] * 3], atol=1e-5)
    labels = np.zeros((120, 120), np.int32)
    labels[20:30, 20:40], labels[80:90, 80:91] = 1, 2
    middles = middles_of(masks_of(labels))
    assert middles.tolist() == [[24.5, 29.5], [84.5, 85.0]]
    near, far = measure_neighbours(middles * 0.25), measure_neighbours(middles * 0.5)
    assert np.allclose(far[:, 0] - near[:, 0], np.log(2), atol=1e-5)
    assert np.allclose(near[:, 4:], [[0, np.log(2), np.log(2)]] * 2, atol=1e-5)


def test_grain_is_that_of_each_nucleus_alone_and_a_flat_one_has_none():
    rng = np.random.default_rng(0)
    labels, rgb = np.zeros((60, 120), np.int32), np.full((60, 120, 3), 230, np.uint8)
    labels[10:50, 10:50], labels[10:50, 70:110] = 1, 2
    rgb[10:50, 10:50] = 120
    rgb[10:50, 70:110] = rng.integers(60, 180, (40, 40, 1))
    masks = masks_of(labels)
    flat, grained = measure_texture(rgb, Places.inside(masks, labels.shape), 0.25)
    assert grained[2] > 3 * flat[2]  # the size of the curvature of red
    quantiles = slice(6, 11)
    assert np.allclose(flat[quantiles], -np.log10(120 / 255), atol=1e-5)
    density = -np.log10(rgb[10:50, 70:110, 0] / 255)
    expected = np.quantile(density, [0.05, 0.25, 0.5, 0.75, 0.95], method="lower")
    assert np.allclose(grained[quantiles], expected, atol=1e-5)
    assert flat[-2:].tolist() == [0, 120]
    alone = measure_texture(rgb, Places.inside(masks[1:], labels.shape), 0.25)
    assert np.allclose(alone[0], grained, atol=1e-5)
    assert measure_texture(rgb, Places.inside([], labels.shape), 0.25).shape == (0, N_TEXTURES)
