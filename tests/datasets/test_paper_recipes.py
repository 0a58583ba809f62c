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
    seen = {
        image.labels_path
        for spec in load_toml_recipe(trained_by(recipe.model), TrainRecipe).datasets
        for image in read_layout(spec.layout, spec.path, spec.split, partial=True)
    }
    for spec in recipe.datasets:
        images = read_layout(spec.layout, spec.path, spec.split, partial=True)
        assert images
        assert not seen & {image.labels_path for image in images}


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
