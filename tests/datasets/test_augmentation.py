"""What a recipe says of augmentation is what happens to crops, and nothing else."""

import numpy as np
import pytest
import torch

from napari_uninuc.datasets.transforms import (
    Augmentation,
    random_crop,
    random_focus,
    random_light,
    random_stain,
)

NOTHING = np.zeros((24, 24), np.int32)


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
    [
        ("stain", lambda image, rng: random_stain(image, NOTHING, rng)),
        ("light", random_light),
        ("focus", random_focus),
    ],
)
def test_each_change_of_colour_can_be_had_alone(kept, change):
    image = torch.rand(3, 24, 24, generator=torch.Generator().manual_seed(0))
    off = dict.fromkeys(("stain", "light", "focus"), False)
    for seed in range(6):
        rng = np.random.default_rng(seed)
        assert torch.equal(Augmentation(**off).recolour(image, NOTHING, rng), image)
        only = Augmentation(**{**off, kept: True})
        alone = only.recolour(image, NOTHING, np.random.default_rng(seed))
        assert torch.equal(alone, change(image, np.random.default_rng(seed)))


def test_all_of_it_is_the_rule():
    image = torch.rand(3, 24, 24, generator=torch.Generator().manual_seed(0))
    whole = Augmentation().recolour(image, NOTHING, np.random.default_rng(5))
    rng = np.random.default_rng(5)
    stained = random_stain(image, NOTHING, rng)
    assert torch.equal(whole, random_focus(random_light(stained, rng), rng))


def test_labels_that_lie_off_are_moved_by_parts_of_a_pixel():
    labels = np.zeros((64, 64), np.int32)
    labels[20:40, 10:30] = 1
    rgb = np.where(labels[..., None] > 0, 90, 230).repeat(3, axis=2).astype(np.uint8)
    wrong = np.roll(labels, (-3, 2), axis=(0, 1))
    still = Augmentation(turns=False, stretch=0.0)
    for scale, side in ((1.0, 64), (2.0, 128)):
        rng = np.random.default_rng(0)
        image, ids = random_crop(rgb, wrong, side, rng, (scale, scale), still, (3.0, -2.0))
        assert np.array_equal(ids > 0, image[0].numpy() < 160 / 255)
    up = random_crop(rgb, labels, 128, np.random.default_rng(0), (2.0, 2.0), still, (-0.5, 0.0))[1]
    assert np.array_equal(np.flatnonzero(up.any(1)), np.arange(39, 79))
    assert np.array_equal(np.flatnonzero(up.any(0)), np.arange(20, 60))
