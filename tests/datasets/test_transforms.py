"""Augmentation keeps image and labels together and values in range."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_uninuc.datasets.stains import RGB_FROM_HED
from napari_uninuc.datasets.transforms import (
    gaussian_blur,
    random_crop,
    random_focus,
    random_light,
    random_stain,
)


@given(st.integers(8, 90), st.integers(8, 90), st.integers(0, 999))
@settings(max_examples=60)
def test_labels_follow_the_image(height, width, seed):
    rng = np.random.default_rng(seed)
    labels = np.zeros((height, width), np.int32)
    labels[: height // 2, : width // 2] = 1
    labels[height // 2 :, width // 2 :] = 2
    rgb = (labels[..., None] * np.array([100, 100, 100])).astype(np.uint8)
    image, ids = random_crop(rgb, labels, 32, rng, (0.5, 2.0))
    assert image.shape == (3, 32, 32)
    assert ids.shape == (32, 32)
    assert ids.dtype == np.int32
    seen = image[0].numpy() * 255 / 100
    assert (np.abs(seen - ids) < 0.51).mean() > 0.85


def stained(image, rng):
    """Of a picture with two nuclei."""
    labels = np.zeros(image.shape[1:], np.int32)
    labels[4:14, 4:14], labels[4:20, 14:20] = 1, 2
    return random_stain(image, labels, rng)


@pytest.mark.parametrize("change", [stained, random_light, random_focus])
def test_values_stay_in_range_and_depend_on_the_seed(change):
    image = torch.rand(3, 24, 24, generator=torch.Generator().manual_seed(0))
    image[:, 0, 0], image[:, 1, 1] = 0, 1
    for seed in range(12):
        first = change(image, np.random.default_rng(seed))
        second = change(image, np.random.default_rng(seed))
        assert torch.equal(first, second)
        assert first.shape == image.shape
        assert 0 <= first.min() <= first.max() <= 1


def test_some_seed_changes_the_focus():
    image = torch.rand(3, 24, 24, generator=torch.Generator().manual_seed(0))
    changed = [
        not torch.equal(image, random_focus(image, np.random.default_rng(k))) for k in range(20)
    ]
    assert 0 < sum(changed) < 20


def test_blur_keeps_the_mean_of_the_middle_and_lowers_contrast():
    image = torch.zeros(1, 31, 31)
    image[0, 15, 15] = 1
    blurred = gaussian_blur(image, 1.0)
    assert blurred.sum() == pytest.approx(1.0, abs=1e-5)
    assert blurred[0, 15, 15] == pytest.approx(0.159, abs=0.003)  # 1 / (2 pi)
    assert torch.allclose(blurred, blurred.transpose(1, 2))


def test_two_equal_scales_are_always_taken():
    rng = np.random.default_rng(0)
    labels = np.zeros((200, 200), np.int32)
    labels[:, 100:] = 1
    image, ids = random_crop(np.dstack([labels] * 3).astype(np.uint8), labels, 64, rng, (4.0, 4.0))
    assert (image.shape, ids.shape) == ((3, 64, 64), (64, 64))


def seeds(count):
    return [np.random.default_rng(k) for k in range(count)]


def test_crops_are_turned_and_mirrored_all_eight_ways():
    labels = np.repeat(np.repeat(np.array([[1, 2], [3, 4]], np.int32), 32, axis=0), 32, axis=1)
    rgb = (labels[..., None] * np.array([50, 50, 50])).astype(np.uint8)
    ways = set()
    for rng in seeds(80):
        image, ids = random_crop(rgb, labels, 64, rng, (1.0, 1.0))
        corners = [(2, 2), (2, -3), (-3, 2), (-3, -3)]
        assert [round(float(image[0, y, x]) * 255 / 50) for y, x in corners] == [
            ids[y, x] for y, x in corners
        ]
        ways.add(tuple(int(ids[y, x]) for y, x in corners))
    assert len(ways) == 8


def seen_disc(scale_range, count=150):
    """Height, width of a disc of 40 px in crops that hold it whole."""
    ys, xs = np.mgrid[:300, :300]
    labels = ((ys - 150) ** 2 + (xs - 150) ** 2 < 400).astype(np.int32)
    rgb = np.zeros((300, 300, 3), np.uint8)
    sizes = []
    for rng in seeds(count):
        _, ids = random_crop(rgb, labels, 192, rng, scale_range)
        rows, columns = np.flatnonzero(ids.any(1)), np.flatnonzero(ids.any(0))
        if len(rows) and rows[0] > 0 and rows[-1] < 191 and columns[0] > 0 and columns[-1] < 191:
            sizes.append((len(rows), len(columns)))
    assert len(sizes) > count / 4
    return np.array(sizes, float)


def test_crops_are_stretched_by_up_to_a_fifth():
    height, width = seen_disc((1.0, 1.0)).T
    stretch = np.log(height / width)
    assert np.abs(stretch).max() < 0.25
    assert 0.08 < stretch.std() < 0.15  # of +-0.1 both ways, evenly
    assert np.sqrt(height * width).mean() == pytest.approx(39, abs=1)


def test_zoom_lies_in_its_range_and_mostly_in_its_middle():
    zoom = np.log(np.sqrt(seen_disc((0.8, 1.25)).prod(axis=1)) / 39)
    assert zoom.min() > np.log(0.8) - 0.04
    assert zoom.max() < np.log(1.25) + 0.04
    assert zoom.mean() == pytest.approx(0.0, abs=0.03)
    assert 0.05 < zoom.std() < 0.12  # a triangle's 0.09


def haematoxylin(amount=1.0):
    return torch.pow(10.0, -amount * RGB_FROM_HED[0])[:, None, None].expand(3, 8, 8)


NOTHING = np.zeros((8, 8), np.int32)


def test_amounts_of_stain_vary_by_a_quarter():
    image = haematoxylin(1.0)
    amounts = [
        float(-torch.log10(random_stain(image, NOTHING, rng, ihc_share=0.0)).norm(dim=0).mean())
        for rng in seeds(200)
    ]
    assert 0.15 < np.log(np.abs(amounts)).std() < 0.35
