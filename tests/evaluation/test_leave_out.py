"""One data set left out: which runs, what they are tested on, and the table."""

import json
from pathlib import Path

import pytest

from napari_uninuc.datasets.folder import read_folder
from napari_uninuc.datasets.recipes import load_toml_recipe
from napari_uninuc.errors import RecipeError
from napari_uninuc.evaluation.leave_out import compare_runs, read_runs, recipe_for, to_markdown
from napari_uninuc.evaluation.recipe import read_recipe
from napari_uninuc.training.recipe import TrainRecipe

FOLDER = Path(__file__).parents[2] / "recipes" / "leave-out"
SETS = ["consep", "dsb2018-stained", "gbm40", "monuseg", "tcga-glioma"]


@pytest.fixture
def ours(monkeypatch, tmp_path):
    monkeypatch.setenv("UNINUC_DATA", str(tmp_path))
    runs, test = read_runs(FOLDER)
    return runs, read_recipe(test)


def test_our_folder_leaves_each_set_out_once(ours):
    runs, test = ours
    assert [run.left_out for run in runs] == ["all", *SETS]
    recipes = [load_toml_recipe(run.recipe, TrainRecipe) for run in runs]
    everything = {spec.name: spec for spec in recipes[0].datasets}
    for run, recipe in zip(runs, recipes, strict=True):
        seen = {spec.name: spec for spec in recipe.datasets}
        assert set(everything) - set(seen) == {f"{run.left_out}-train"} & set(everything)
        assert all(everything[name] == spec for name, spec in seen.items())
        assert recipe.initial == "imagenet-wheel"  # the bundled model has seen them all
        same = {"output": None, "datasets": None}
        assert recipe.model_copy(update=same) == recipes[0].model_copy(update=same)
    assert {spec.name for spec in test.datasets} == {f"{name}-test" for name in SETS}


def test_no_tile_is_both_trained_on_and_tested_or_chosen_on(ours, tmp_path):
    runs, test = ours
    names = {
        "monuseg/train": ["TCGA-00", *test.validation[0].include],
        "monuseg/test": ["TCGA-01"],
        "consep": [*(f"train_{k}" for k in range(1, 28)), "test_1", "test_2"],
        "dsb2018_stained": [f"c{k:x}" for k in range(16)],
        "gbm40": [f"{k:02}" for k in range(1, 41)],
        "tcga_glioma": ["TCGA-DB-5270-R01", "TCGA-DB-5270-R02", "TCGA-DU-8165-R01"],
    }
    for folder, images in names.items():
        for part in ("images", "labels"):
            (tmp_path / folder / part).mkdir(parents=True)
            for image in images:
                (tmp_path / folder / part / f"{image}.png").touch()

    def files(specs):
        return {
            image.image_path
            for spec in specs
            for image in read_folder(spec.path, spec.include, spec.exclude)
        }

    trained = files(load_toml_recipe(runs[0].recipe, TrainRecipe).datasets)
    assert trained
    assert not trained & files(test.datasets)
    assert not trained & files(test.validation)
    assert not files(test.datasets) & files(test.validation)


def test_a_run_is_tested_on_what_it_has_not_seen(ours):
    _, test = ours
    everything = recipe_for(test, "all", Path("runs/x"))
    assert (everything.datasets, everything.validation) == (test.datasets, test.validation)
    assert everything.model == str(Path("runs/x/model"))
    consep = recipe_for(test, "consep", Path("runs/y"))
    assert [spec.name for spec in consep.datasets] == ["consep-test"]
    assert [spec.name for spec in consep.validation] == ["monuseg-validation"]  # not of its own
    assert consep.automatic
    glioma = recipe_for(test, "gbm40", Path("runs/y"))
    assert (glioma.automatic, glioma.validation) == (False, ())
    with pytest.raises(RecipeError, match="moon-test"):
        recipe_for(test, "moon", Path("runs/y"))


def test_a_folder_without_the_run_that_sees_all_is_refused(tmp_path):
    (tmp_path / "train-without-a.toml").touch()
    with pytest.raises(RecipeError, match=r"train-all\.toml") as caught:
        read_runs(tmp_path)
    assert "\n" not in str(caught.value)


def write_report(path, scores):
    """Automatic mSA of images by data set; box I0 is a tenth more."""
    automatic = [
        {"dataset": dataset, "image": f"i{k}", "msa": value}
        | dict.fromkeys(("bpq", "mpq", "aji", "f1_iou"))
        for dataset, values in scores.items()
        for k, value in enumerate(values)
    ]
    interactive = [
        {"dataset": row["dataset"], "image": row["image"], "prompt": "box", "with_mask": True}
        | {"iteration": step, "msa": row["msa"] + 0.1, "mean_iou": 0.5}
        for row in automatic
        for step in (0, 1)
    ]
    path.write_text(json.dumps({"automatic": automatic, "interactive": interactive}))
    return path


def test_the_table_sets_unseen_beside_seen(tmp_path):
    seen = write_report(tmp_path / "all", {"a-test": [0.5, 0.6, 0.7], "b-test": [0.4, 0.5]})
    a = write_report(tmp_path / "a", {"a-test": [0.4, 0.5, 0.5]})
    b = write_report(tmp_path / "b", {"b-test": [0.4, 0.5]})
    rows = compare_runs(seen, [("a", a), ("b", b)])
    assert [(row.dataset, row.prompt, row.iteration) for row in rows] == [
        ("a-test", "automatic", 0),
        ("a-test", "box", 0),
        ("b-test", "automatic", 0),
        ("b-test", "box", 0),
    ]
    assert rows[0].first == pytest.approx(0.6)
    assert rows[0].difference == pytest.approx(-0.4 / 3)
    lines = to_markdown(rows).splitlines()
    assert lines[0].startswith("| test tiles | score | tiles | never seen | seen |")
    assert lines[2].startswith("| a-test | automatic mSA | 3 | 0.4667 | 0.6000 | -0.1333 [")
    assert lines[5].startswith("| b-test | box I0 mSA | 2 | 0.5500 | 0.5500 | +0.0000 [")
