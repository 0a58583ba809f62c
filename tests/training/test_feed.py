"""Crops on their way into a network."""

import pytest
import torch
from running import recipe_of

from napari_uninuc.datasets.recipes import load_toml_recipe
from napari_uninuc.datasets.transforms import Augmentation
from napari_uninuc.errors import RecipeError
from napari_uninuc.training.feed import batches, window_sides
from napari_uninuc.training.ranks import Ranks
from napari_uninuc.training.recipe import CropsSection, TrainRecipe


def test_a_loader_process_draws_the_same_crops(nuclei, tmp_path):
    crops = {}
    for workers in (0, 1):
        section = CropsSection(size=64, batch=2, workers=workers)
        recipe = recipe_of(nuclei, tmp_path / "run", crops=section, steps=2)
        crops[workers] = [
            crop for parts in batches(recipe, 0, smoke=False) for part in parts for crop in part
        ]
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


@pytest.mark.parametrize("count", [1, 2, 4])
def test_processes_share_the_batches_of_a_step(nuclei, tmp_path, count):
    """However many there are, and wherever they begin, a step has the same crops."""
    section = CropsSection(size=64, batch=2, workers=0, accumulate=4)
    recipe = recipe_of(nuclei, tmp_path / "run", crops=section, steps=2)
    alone = [part for parts in batches(recipe, 0, smoke=False) for part in parts]
    assert [len(part) for part in alone] == [2] * 8
    shares = [
        list(batches(recipe, 1, smoke=False, ranks=Ranks(rank, count))) for rank in range(count)
    ]
    assert [len(share[0]) for share in shares] == [4 // count] * count
    together = [shares[k % count][0][k // count] for k in range(4)]
    for mine, whole in zip(together, alone[4:], strict=True):
        assert all(torch.equal(a.image, b.image) for a, b in zip(mine, whole, strict=True))


def test_a_step_that_cannot_be_shared_evenly(nuclei, tmp_path):
    recipe = recipe_of(nuclei, tmp_path / "run", steps=1)
    with pytest.raises(RecipeError, match=r"crops\.accumulate .* 2 processes"):
        next(batches(recipe, 0, smoke=False, ranks=Ranks(0, 2)))


def test_what_a_recipe_says_of_augmentation_is_what_crops_get(nuclei, tmp_path):
    still = Augmentation(turns=False, stretch=0, stain=False, light=False, focus=False)
    section = CropsSection(size=64, batch=1, workers=0)
    drawn = {}
    for name, augmentation in (("still", still), ("varied", Augmentation())):
        recipe = recipe_of(
            nuclei, tmp_path / name, crops=section, steps=1, augmentation=augmentation
        )
        (((crop,),),) = batches(recipe, 0, smoke=False)
        drawn[name] = len(torch.unique((crop.image * 255).round()))
    assert drawn["still"] < drawn["varied"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("ihc_share = 2", r"augmentation\.ihc_share: .*less than or equal to 1"),
        ("stretch = -0.1", r"augmentation\.stretch: "),
        ('stain = "purple"', r"augmentation\.stain: "),
        ("flips = true", r"'augmentation\.flips'; expected one of: focus, ihc_share, light"),
    ],
)
def test_mistakes_in_the_augmentation_get_one_line(tmp_path, line, says):
    file = tmp_path / "train.toml"
    file.write_text(
        f'architecture = "uninuc-n"\noutput = "runs/mine"\nsteps = 1\n[augmentation]\n{line}\n'
        '[[datasets]]\nname = "a"\npath = "a"\n',
        encoding="utf-8",
    )
    with pytest.raises(RecipeError, match=says) as caught:
        load_toml_recipe(file, TrainRecipe)
    assert "\n" not in str(caught.value)
