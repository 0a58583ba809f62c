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
