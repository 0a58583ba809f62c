"""Augmentation keeps image and labels together and values in range."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_uninuc.datasets.transforms import (
    Augmentation,
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


def test_without_turns_and_stretch_a_whole_picture_is_what_it_was():
    rgb = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    labels = np.arange(32 * 32, dtype=np.int32).reshape(32, 32)
    still = Augmentation(turns=False, stretch=0.0)
    for seed in range(8):
        rng = np.random.default_rng(seed)
        image, ids = random_crop(rgb, labels, 32, rng, (1.0, 1.0), still)
        assert np.array_equal(ids, labels)
        assert np.allclose(image.permute(1, 2, 0).numpy() * 255, rgb, atol=1e-3)
    turned = [
        random_crop(rgb, labels, 32, np.random.default_rng(seed), (1.0, 1.0))[1]
        for seed in range(8)
    ]
    assert not all(np.array_equal(ids, labels) for ids in turned)


@pytest.mark.parametrize(
    ("kept", "change"),
    [("stain", random_stain), ("light", random_light), ("focus", random_focus)],
)
def test_each_change_of_colour_can_be_had_alone(kept, change):
    image = torch.rand(3, 24, 24, generator=torch.Generator().manual_seed(0))
    off = dict.fromkeys(("stain", "light", "focus"), False)
    for seed in range(6):
        rng = np.random.default_rng(seed)
        assert torch.equal(Augmentation(**off).recolour(image, rng), image)
        alone = Augmentation(**{**off, kept: True}).recolour(image, np.random.default_rng(seed))
        assert torch.equal(alone, change(image, np.random.default_rng(seed)))


def test_all_of_it_is_the_rule():
    image = torch.rand(3, 24, 24, generator=torch.Generator().manual_seed(0))
    whole = Augmentation().recolour(image, np.random.default_rng(5))
    rng = np.random.default_rng(5)
    assert torch.equal(whole, random_focus(random_light(random_stain(image, rng), rng), rng))


def test_immunohistochemistry_is_imitated_as_often_as_asked():
    haematoxylin = torch.tensor([0.65, 0.70, 0.29])
    blue = torch.pow(10.0, -0.8 * haematoxylin)[:, None, None].expand(3, 8, 8)

    def n_brown(share: float) -> int:
        painted = [random_stain(blue, np.random.default_rng(k), share) for k in range(40)]
        return sum(bool(one[0].mean() > one[2].mean()) for one in painted)

    assert n_brown(0.0) == 0
    assert 0 < n_brown(0.25) < n_brown(1.0)
    assert 16 <= n_brown(1.0) <= 32  # three of five paint the nuclei, the others their surroundings
