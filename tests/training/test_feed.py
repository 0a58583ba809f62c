"""Crops on their way into a network."""

import pytest
import torch
from running import recipe_of

from napari_uninuc.training.feed import batches, window_sides
from napari_uninuc.training.recipe import CropsSection


def test_a_loader_process_draws_the_same_crops(nuclei, tmp_path):
    crops = {}
    for workers in (0, 1):
        section = CropsSection(size=64, batch=2, workers=workers)
        recipe = recipe_of(nuclei, tmp_path / "run", crops=section, steps=2)
        crops[workers] = [crop for batch in batches(recipe, 0, smoke=False) for crop in batch]
    assert len(crops[0]) == 4
    for first, second in zip(crops[0], crops[1], strict=True):
        assert torch.equal(first.image, second.image)
        assert torch.equal(first.labels, second.labels)


def test_loading_leaves_the_number_of_threads_alone(nuclei, tmp_path):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        recipe = recipe_of(nuclei, tmp_path / "run", steps=1)
        assert len(list(batches(recipe, 0, smoke=False))) == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("size", "sides"), [(64, [64]), (96, [64]), (128, [64, 128]), (256, [64, 128, 256])]
)
def test_windows_double_up_to_the_crop(size, sides):
    assert window_sides(64, size) == sides
