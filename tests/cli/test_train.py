import shutil
import tempfile
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from napari_uninuc.network.card import read_card, write_card


@pytest.fixture
def recipe(tmp_path):
    """A recipe for dark discs on a light ground; runs go to runs/discs."""
    folder = tmp_path / "set"
    ys, xs = np.mgrid[:96, :96]
    labels = np.zeros((96, 96), np.uint16)
    for nucleus, (y, x) in enumerate([(20, 20), (20, 65), (65, 20), (65, 65)], start=1):
        labels[(ys - y) ** 2 + (xs - x) ** 2 <= 81] = nucleus
    rgb = np.where((labels > 0)[..., None], (90, 60, 150), (235, 190, 215)).astype(np.uint8)
    for part, pixels in (("images", rgb), ("labels", labels)):
        (folder / part).mkdir(parents=True)
        Image.fromarray(pixels).save(folder / part / "a.png")

    def write(steps=1, extra="", name="discs"):
        file = tmp_path / "recipe.toml"
        file.write_text(
            f'architecture = "uninuc-n"\noutput = "{tmp_path / "runs" / name}"\n'
            f'steps = {steps}\nlicence = "test"\n{extra}\n'
            "[crops]\nsize = 64\nbatch = 1\nworkers = 0\n"
            "[prompts]\nnuclei_per_crop = 1\ncorrections = 1\n"
            f'[[datasets]]\nname = "discs"\npath = "{folder}"\n',
            encoding="utf-8",
        )
        return file

    return write


def test_train_saves_a_model_and_resumes(uninuc, refused, recipe, tmp_path):
    run = tmp_path / "runs" / "discs"
    status, out, err = uninuc("train", recipe(steps=1), "--device", "cpu")
    assert (status, out, err) == (0, f"model saved in {run / 'model'}\n", "")
    card = read_card(run / "model")
    assert (card.licence, card.training_data) == ("test", ("discs",))
    assert uninuc("models", "verify", run / "model")[0] == 0

    before = (run / "checkpoint.pt").read_bytes()
    assert "pass --resume" in refused("train", recipe(steps=2), "--device", "cpu")
    assert (run / "checkpoint.pt").read_bytes() == before

    log = (run / "log.csv").read_bytes()
    assert uninuc("train", recipe(steps=1), "--device", "cpu", "--resume")[0] == 0
    assert (run / "log.csv").read_bytes() == log  # nothing was left to do
    assert uninuc("train", recipe(steps=2), "--device", "cpu", "--resume")[0] == 0
    assert read_card(run / "model").notes.startswith("2 steps")


def test_smoke_run_keeps_nothing(uninuc, recipe, tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    status, out, err = uninuc("train", recipe(steps=1000), "--device", "cpu", "--smoke")
    assert (status, err) == (0, "")
    assert out == "smoke run passed: 4 steps and export; nothing was kept\n"
    assert list(scratch.iterdir()) == []
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("smoke", [True, False])
def test_masks_are_refused_before_the_work(refused, recipe, tmp_path, smoke):
    file = tmp_path / "set" / "labels" / "a.png"
    written = recipe()
    Image.fromarray((np.asarray(Image.open(file)) > 0).astype(np.uint8) * 255).save(file)
    line = refused("train", written, "--device", "cpu", *(["--smoke"] if smoke else []))
    assert line.startswith(f"{tmp_path / 'set'}: labels must have a number of its own")
    assert not (tmp_path / "runs").exists()


def test_labels_that_may_be_masks_are_told(uninuc, recipe, tmp_path):
    file = tmp_path / "set" / "labels" / "a.png"
    written = recipe()
    labels = np.asarray(Image.open(file)).astype(np.uint8)
    Image.fromarray(np.where(labels == 1, 255, 0).astype(np.uint8)).save(file)
    status, _, err = uninuc("train", written, "--device", "cpu", "--smoke")
    assert (status, err.count("\n")) == (0, 1)
    assert "every label picture has the one number 255" in err


def test_bad_recipes_are_one_line(refused, recipe, tmp_path):
    assert "unknown key 'colour'" in refused("train", recipe(extra='colour = "red"'))
    assert "cannot read the recipe" in refused("train", tmp_path / "gone.toml")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", ["my discs", "-discs", "d\u00e9j\u00e0"])
def test_a_folder_that_names_no_model_is_refused_before_the_work(refused, recipe, tmp_path, name):
    line = refused("train", recipe(name=name), "--device", "cpu")
    assert "output: " in line
    assert "the model's id" in line
    assert not (tmp_path / "runs").exists()


def test_classes_must_be_the_data_sets_own(refused, recipe, tmp_path):
    line = refused("train", recipe(extra='classes = ["a", "b"]'), "--device", "cpu")
    assert "expected names that the data sets use" in line
    assert "got a, b" in line
    assert "a name of its own" in refused("train", recipe(extra='classes = ["a", "a"]'))
    assert "set classes" in refused("train", recipe(extra="[language]"))


def test_smoke_goes_without_weights_that_are_not_there_yet(uninuc, recipe):
    gone = recipe(steps=1000, extra='initial = "runs/not-yet/model.safetensors"')
    status, out, err = uninuc("train", gone, "--device", "cpu", "--smoke")
    assert status == 0
    assert out.startswith("smoke run passed")
    assert err.startswith("uninuc: warning: initial: ")
    assert err.count("\n") == 1


def test_nothing_to_resume_is_one_line(refused, recipe, tmp_path):
    line = refused("train", recipe(), "--device", "cpu", "--resume")
    assert "nothing to resume" in line
    assert not (tmp_path / "runs").exists()


def test_unwritable_output_is_one_line(refused, recipe, tmp_path):
    (tmp_path / "runs").touch()
    assert "cannot be written" in refused("train", recipe(), "--device", "cpu")


def test_what_was_chosen_for_the_first_weights_is_said(uninuc, recipe, random_model, tmp_path):
    first = tmp_path / "first"
    shutil.copytree(random_model, first)
    write_card(replace(read_card(first), id="first", flips=True, box_margin=0.5), first)
    extra = f'initial = "{first / "model.safetensors"}"'
    status, _, err = uninuc("train", recipe(extra=extra), "--device", "cpu")
    assert (status, err.count("\n")) == (0, 1)
    assert "the card has score_threshold, flips, box_margin as in first, chosen for its" in err
    card = read_card(tmp_path / "runs" / "discs" / "model")
    assert (card.score_threshold, card.flips, card.box_margin) == (0.0, True, 0.5)
