"""The recipes of the paper's tables fit their models, and name data that can be read."""

from pathlib import Path

import pytest
from layouts import WRITERS

from napari_uninuc.datasets.public.registry import LAYOUTS, read_layout
from napari_uninuc.datasets.recipes import load_toml_recipe
from napari_uninuc.evaluation.recipe import read_recipe
from napari_uninuc.network.config import PRESETS
from napari_uninuc.training.recipe import TrainRecipe

FOLDER = Path(__file__).parents[2] / "recipes" / "paper"
TRAIN = sorted(FOLDER.glob("train-*.toml"))
EVALUATE = sorted(FOLDER.glob("evaluate-*.toml"))
PANNUKE_CLASSES = ("neoplastic", "inflammatory", "connective", "dead", "epithelial")
PUBLIC = {layout.name for layout in LAYOUTS.values() if layout.variant_of is None}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for name in PUBLIC - {"lynsec-ihc"}:
        WRITERS[name](folder / name.removesuffix("-he"))
    return folder


@pytest.fixture(autouse=True)
def places(monkeypatch, data):
    monkeypatch.setenv("UNINUC_DATA", str(data))
    monkeypatch.setenv("UNINUC_MODELS", "models")


def test_there_is_a_recipe_for_each_protocol():
    assert {path.stem.removeprefix("train-") for path in TRAIN} == {
        "interactive",
        *(f"pannuke-split{k}" for k in (1, 2, 3)),
        *(f"pannuke-split{k}-language" for k in (1, 2, 3)),
        *(f"table3-row{k}" for k in (1, 2)),
        *(f"table4-{size}" for size in ("small", "base", "large")),
    }
    assert {path.stem.removeprefix("evaluate-") for path in EVALUATE} == {
        "automatic",
        *(path.stem.removeprefix("train-") for path in TRAIN),
    }


@pytest.mark.parametrize("path", TRAIN, ids=lambda path: path.stem)
def test_training_recipes_name_data_that_is_read_at_their_scale(path):
    recipe = load_toml_recipe(path, TrainRecipe)
    assert recipe.architecture in PRESETS
    assert (recipe.optimiser.lr, recipe.optimiser.weight_decay) == (5e-5, 1e-4)
    assert (recipe.losses.giou, recipe.losses.l1, recipe.prompts.focal_weight) == (5, 2, 20)
    assert recipe.crops.size == PRESETS[recipe.architecture].input_size
    for spec in recipe.datasets:
        assert spec.mpp is not None
        images = read_layout(spec.layout, spec.path, spec.split, partial=True)
        assert images[0].read(spec.mpp).labels.max() == 2


@pytest.mark.parametrize("path", EVALUATE, ids=lambda path: path.stem)
def test_evaluation_recipes_test_what_was_not_trained_on(path):
    recipe = read_recipe(path)
    seen = pictures(load_toml_recipe(trained_by(recipe.model), TrainRecipe).datasets)
    for spec in recipe.datasets:
        assert pictures([spec])
        assert not seen & pictures([spec])


@pytest.mark.parametrize("path", EVALUATE, ids=lambda path: path.stem)
def test_the_threshold_is_chosen_on_pictures_that_are_not_used_otherwise(path):
    recipe = read_recipe(path)
    judged = pictures(recipe.validation)
    assert bool(judged) == recipe.automatic
    assert not judged & pictures(recipe.datasets)
    assert not judged & pictures(load_toml_recipe(trained_by(recipe.model), TrainRecipe).datasets)
    if "pannuke-split" in path.stem:
        (tested,), (chosen,) = recipe.datasets, recipe.validation
        (trained,) = load_toml_recipe(trained_by(recipe.model), TrainRecipe).datasets
        folds = (*trained.split, *chosen.split, *tested.split)
        rotation = {"1": (1, 2, 3), "2": (2, 1, 3), "3": (3, 2, 1)}[path.stem.split("split")[1][0]]
        assert folds == tuple(f"fold{number}" for number in rotation)


def test_splits_of_one_table_name_their_test_pictures_alike():
    for suffix in ("", "-language"):
        recipes = [
            read_recipe(FOLDER / f"evaluate-pannuke-split{split}{suffix}.toml")
            for split in (1, 2, 3)
        ]
        assert len({recipe.datasets[0].name for recipe in recipes}) == 1


def test_the_page_names_every_recipe():
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in (*TRAIN, *EVALUATE) if f"`{path.name}`" not in text] == []


@pytest.mark.parametrize("path", TRAIN, ids=lambda path: path.stem)
def test_what_the_paper_does_not_vary_is_not_varied(path):
    augmentation = load_toml_recipe(path, TrainRecipe).augmentation
    assert (augmentation.stain, augmentation.stretch) == (False, 0)
    assert augmentation.turns
    assert augmentation.light


def pictures(specs) -> set[str]:
    """Pictures of some data sets, by layout, file and name."""
    return {
        f"{spec.layout} {image.image_path} {image.name}"
        for spec in specs
        for image in read_layout(spec.layout, spec.path, spec.split, partial=True)
    }


def trained_by(model: str) -> Path:
    """The training recipe that makes a model folder RUN/model."""
    return FOLDER / f"train-{Path(model).parent.name}.toml"


@pytest.mark.parametrize("name", ["interactive", "automatic"])
def test_the_tables_have_all_fourteen_data_sets(name):
    recipe = read_recipe(FOLDER / f"evaluate-{name}.toml")
    assert {spec.layout for spec in recipe.datasets} == PUBLIC
    assert len(PUBLIC) == 14
    assert all(spec.exhaustive for spec in recipe.datasets) == (name == "automatic")


def test_the_language_prior_is_all_that_differs():
    for split in (1, 2, 3):
        plain = load_toml_recipe(FOLDER / f"train-pannuke-split{split}.toml", TrainRecipe)
        path = FOLDER / f"train-pannuke-split{split}-language.toml"
        worded = load_toml_recipe(path, TrainRecipe)
        assert (worded.language.encoder, plain.language) == ("clip", None)
        same = {"language": None, "output": None}
        assert worded.model_copy(update=same) == plain.model_copy(update=same)
        assert set(plain.classes) == set(PANNUKE_CLASSES)


def test_table_3_differs_in_parts_only():
    full = load_toml_recipe(FOLDER / "train-table4-base.toml", TrainRecipe)
    for row in (1, 2):
        other = load_toml_recipe(FOLDER / f"train-table3-row{row}.toml", TrainRecipe)
        same = {"architecture": None, "output": None, "initial": None}
        assert other.model_copy(update=same) == full.model_copy(update=same)
        config = PRESETS[other.architecture]
        base = PRESETS[full.architecture]
        assert not config.mask.mshq
        assert (config.detector.backbone is None) == (row == 1)
        assert (config.encoder, config.input_size) == (base.encoder, base.input_size)
