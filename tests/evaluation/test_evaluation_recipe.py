"""Evaluation recipes, run end to end with the baselines."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from napari_uninuc.errors import DatasetError, RecipeError
from napari_uninuc.evaluation.recipe import read_recipe
from napari_uninuc.evaluation.report import write_report
from napari_uninuc.evaluation.run import run_evaluation
from napari_uninuc.network.config import PRESETS
from napari_uninuc.network.cost import encoder_cost


@pytest.fixture
def data(tmp_path, monkeypatch):
    """One image with four round nuclei, under ``${UNINUC_DATA}/set``."""
    folder = tmp_path / "set"
    ys, xs = np.mgrid[:90, :90]
    labels = np.zeros((90, 90), np.uint16)
    for nucleus, (y, x) in enumerate([(20, 20), (20, 65), (65, 20), (65, 65)], start=1):
        labels[(ys - y) ** 2 + (xs - x) ** 2 <= 81] = nucleus
    rgb = np.where((labels > 0)[..., None], (90, 60, 150), (235, 190, 215)).astype(np.uint8)
    for part, pixels in (("images", rgb), ("labels", labels)):
        (folder / part).mkdir(parents=True)
        Image.fromarray(pixels).save(folder / part / "a.png")
    monkeypatch.setenv("UNINUC_DATA", str(tmp_path))
    return tmp_path


def recipe_of(folder, text: str, dataset: str = ""):
    file = folder / "recipe.toml"
    file.write_text(
        f'output = "out"\n{text}\n[[datasets]]\nname = "set"\npath = "${{UNINUC_DATA}}/set"\n'
        f"{dataset}\n",
        encoding="utf-8",
    )
    return read_recipe(file)


def test_automatic_baseline_end_to_end(data):
    recipe = recipe_of(data, 'model = "otsu-watershed"')
    report = run_evaluation(recipe)
    assert [row.dataset for row in report.automatic] == ["set"]
    assert report.automatic[0].f1_iou == 1.0
    assert report.interactive == ()
    stored = json.loads((write_report(report, data / "out") / "report.json").read_text())
    assert stored["settings"]["datasets"][0]["name"] == "set"
    assert str(data) not in json.dumps(stored)


def test_interactive_baseline_end_to_end_with_progress(data):
    recipe = recipe_of(
        data,
        'model = "box-ellipse"\nautomatic = false\n'
        '[interactive]\nkinds = ["box"]\nwith_mask = [true, false]\ncorrections = 1',
    )
    steps: list[tuple[int, int]] = []
    report = run_evaluation(recipe, lambda done, total: steps.append((done, total)))
    assert steps == [(1, 2), (2, 2)]
    assert [(row.with_mask, row.iteration) for row in report.interactive] == [
        (True, 0),
        (True, 1),
        (False, 0),
        (False, 1),
    ]
    (iou,) = {row.mean_iou for row in report.interactive}  # it takes no notice of clicks
    assert 0.85 < iou < 0.95  # discs of whole pixels are a little smaller than their ellipse


def test_defaults_are_those_of_the_protocol(data):
    recipe = recipe_of(data, "[interactive]")
    first, second = recipe.interactive.protocols(seed=5)
    assert (first.prompt, second.prompt) == ("point", "box")
    assert (first.corrections, first.with_mask, first.seed) == (7, True, 5)


def test_incomplete_labels_are_not_scored_automatically(data):
    text = 'model = "box-ellipse"\nautomatic = true\n[interactive]\nkinds = ["box"]'
    with pytest.raises(RecipeError, match="answers boxes only"):
        run_evaluation(recipe_of(data, text))
    with pytest.raises(RecipeError, match="nothing to do"):
        recipe_of(data, "automatic = true", "exhaustive = false")


def test_bundled_model_with_another_proposer_says_its_cost(data):
    text = 'proposer = "peaks"\nflips = true\ndevice = "cpu"\n[interactive]\nkinds = ["box"]\n'
    report = run_evaluation(recipe_of(data, text + "corrections = 1"))
    assert report.automatic[0].f1_iou == 1.0
    assert 1e6 < report.parameters < 1e8
    encoders = encoder_cost(PRESETS["uninuc-n"])
    assert report.encoder_parameters == encoders.parameters < report.parameters
    assert report.encoder_gmacs == encoders.macs / 1e9
    first = [row for row in report.calibration() if row.iteration == 0]
    assert [(row.prompt, row.n_masks) for row in first] == [("automatic", 4), ("box", 4)]
    assert all(0 <= row.error < 0.5 for row in first)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("automatic = false", "nothing to do"),
        ("automatik = true", r"unknown key 'automatik'; expected one of: adapter, automatic"),
        ('[interactive]\nkinds = ["text"]', r"interactive\.kinds\.0: .*'point' or 'box'"),
        ("[interactive]\nkinds = []", r"interactive\.kinds: .*at least 1"),
        ("[interactive]\nrounds = 3", r"'interactive\.rounds'; expected one of: .*corrections"),
        ("[interactive]\nmax_nuclei = 0", r"interactive\.max_nuclei: .*greater than or equal to 1"),
        ("seed = -1", "seed: "),
        ('proposer = "nose"', "proposer: .*'detector', 'peaks', .* or '.*'"),
    ],
)
def test_mistakes_in_a_recipe_get_one_line(data, text, says):
    with pytest.raises(RecipeError, match=says) as caught:
        recipe_of(data, text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('model = "otsu-watershed"\n[interactive]', "takes no prompts"),
        ('model = "box-ellipse"\nautomatic = false\n[interactive]', "needs boxes"),
        ('model = "otsu-watershed"\nproposer = "peaks"', "has none of them; remove them"),
        ('model = "otsu-watershed"\nflips = true', "has none of them; remove them"),
    ],
)
def test_baselines_are_not_asked_for_what_they_cannot_do(data, text, says):
    with pytest.raises(RecipeError, match=says):
        run_evaluation(recipe_of(data, text))


def test_two_data_sets_of_one_name_are_refused(data):
    again = '[[datasets]]\nname = "set"\npath = "elsewhere"'
    with pytest.raises(RecipeError, match="name of its own"):
        recipe_of(data, "", again)


def test_missing_data_is_found_before_the_model_is_loaded(data):
    (data / "set" / "labels" / "a.png").unlink()
    with pytest.raises(DatasetError, match=r"a\.png: has no labels"):
        run_evaluation(recipe_of(data, 'model = "no-such-model"'))


def validation_of(name: str, more: str = "") -> str:
    return f'[[validation]]\nname = "v"\npath = "${{UNINUC_DATA}}/{name}"\n{more}'


def test_a_threshold_chosen_on_the_pictures_tested_on_says_so(data):
    shutil.copytree(data / "set", data / "other")
    text = 'device = "cpu"\nflips = false'
    told = {}
    for name in ("set", "other"):
        report = run_evaluation(recipe_of(data, text, validation_of(name)))
        told[name] = report.threshold.n_tested
        assert ("tested on too" in report.chosen) == (name == "set")
    assert told == {"set": 1, "other": 0}


def test_no_threshold_is_chosen_where_nothing_is_scored_with_it(data):
    text = 'automatic = false\ndevice = "cpu"\n[interactive]\nkinds = ["box"]\ncorrections = 0'
    steps: list[tuple[int, int]] = []
    recipe = recipe_of(data, text, validation_of("set"))
    report = run_evaluation(recipe, lambda done, total: steps.append((done, total)))
    assert report.threshold is None
    assert steps == [(1, 1)]


def test_no_threshold_is_chosen_where_nuclei_are_unlabelled(data):
    with pytest.raises(RecipeError, match="every nucleus is labelled; take v out"):
        recipe_of(data, "", validation_of("set", "exhaustive = false"))
