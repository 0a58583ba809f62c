"""Augmentation keeps image and labels together and values in range."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

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


@pytest.mark.parametrize("change", [random_stain, random_light, random_focus])
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
