"""A dense decoder is taught: distances, classes, words; with the encoder or without; resumed."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from running import Interrupted, recipe_of, stop_after

from napari_uninuc.datasets.recipes import DatasetSpec
from napari_uninuc.network import language_encoders
from napari_uninuc.network.card import read_card, sha256_of
from napari_uninuc.network.dense_files import load_dense
from napari_uninuc.training.dense import DenseTrainer
from napari_uninuc.training.dense_losses import (
    IGNORED,
    class_pixels,
    distance_loss,
    map_targets,
    semantic_loss,
    words_loss,
)
from napari_uninuc.training.dense_pool import sampling_weights
from napari_uninuc.training.export import export_learnt, export_model
from napari_uninuc.training.loop import Trainer
from napari_uninuc.training.recipe import DenseSection, WordsSection
from napari_uninuc.training.run import begin

CPU = torch.device("cpu")
CLASSES = ("left", "right")
SEMANTIC = DenseSection(semantic=True, width=8, crops=4, oversampling=0.5)


@pytest.fixture(scope="module")
def base(nuclei, tmp_path_factory) -> Path:
    """Weights of a whole network that was hardly taught."""
    trainer = Trainer(recipe_of(nuclei, tmp_path_factory.mktemp("runs") / "first", steps=1), CPU)
    trainer.run()
    return export_model(trainer) / "model.safetensors"


@pytest.fixture(scope="module")
def named(nuclei, tmp_path_factory) -> Path:
    """The same nuclei, those on the left of one class, those on the right of another."""
    folder = tmp_path_factory.mktemp("named") / "set"
    folder.mkdir()
    (folder / "images").symlink_to(nuclei / "images")
    (folder / "labels").symlink_to(nuclei / "labels")
    (folder / "classes").mkdir()
    for name in ("a", "b"):
        kinds = {str(k + 1): CLASSES[k % 4 > 1] for k in range(16)}
        (folder / "classes" / f"{name}.json").write_text(json.dumps(kinds))
    return folder


def dense_recipe(named, output, base, settings=SEMANTIC, **changes):
    values = {
        "initial": base,
        "dense": settings,
        "classes": CLASSES,
        "datasets": (DatasetSpec(name="discs", path=named),),
    }
    return recipe_of(named, output, **{**values, **changes})


def run_of(recipe) -> DenseTrainer:
    made = begin(recipe, CPU)
    assert isinstance(made, DenseTrainer)
    made.run()
    return made


@pytest.fixture(scope="module")
def finished(named, base, tmp_path_factory) -> DenseTrainer:
    return run_of(dense_recipe(named, tmp_path_factory.mktemp("runs") / "dense", base))


@pytest.fixture
def wordless(monkeypatch, tmp_path):
    """A text encoder that needs no weights, and a cache of its own."""
    monkeypatch.setenv("UNINUC_CACHE", str(tmp_path / "cache"))

    def read(sentences):
        return torch.tensor([[float(len(s)), float(s.count("e")), 1.0] for s in sentences])

    encoder = language_encoders.LazyEncoder("test", read)
    monkeypatch.setitem(language_encoders.ENCODERS, "minilm", encoder)


def test_the_model_stays_and_the_decoder_is_kept_beside_it(finished, base):
    state = finished.learnt.state_dict()
    fresh = DenseTrainer(finished.recipe, SEMANTIC, CPU)
    for name, value in fresh.learnt.state_dict().items():
        torch.testing.assert_close(state[name], value)
    path = export_learnt(finished)
    assert path.name == "semantic.safetensors"
    stored = load_dense(path, sha256_of(base))
    assert stored.decoder.config.classes == CLASSES
    assert stored.note.training_data == ("discs",)
    assert not (finished.output / "model").exists()
    header = (finished.output / "log.csv").read_text().splitlines()[0]
    assert header.startswith("step,seconds,loss,classes")


def test_a_run_that_was_stopped_goes_on_as_if_it_was_not(named, base, tmp_path):
    whole = run_of(dense_recipe(named, tmp_path / "whole", base))
    recipe = dense_recipe(named, tmp_path / "cut", base)
    cut = DenseTrainer(recipe, SEMANTIC, CPU)
    with pytest.raises(Interrupted):
        cut.run(stop_after(3))
    again = DenseTrainer(recipe, SEMANTIC, CPU, resume=True)
    assert again.step == 2
    again.run()
    for name, value in whole.decoder.state_dict().items():
        torch.testing.assert_close(again.decoder.state_dict()[name], value)


def test_a_decoder_begins_from_one_of_distances(named, base, tmp_path):
    maps = DenseSection(maps=("nucleus", "centre", "boundary"), width=8, crops=2)
    path = export_learnt(run_of(dense_recipe(named, tmp_path / "maps", base, maps)))
    assert path.name == "distances.safetensors"
    later = SEMANTIC.model_copy(update={"initial": path})
    trainer = DenseTrainer(dense_recipe(named, tmp_path / "later", base, later), later, CPU)
    stored = load_dense(path).decoder.state_dict()
    own = trainer.decoder.state_dict()
    torch.testing.assert_close(own["blocks.0.mix.weight"], stored["blocks.0.mix.weight"])
    assert own["classes"].shape[0] == 3


def test_with_the_encoder_a_model_is_left_with_its_decoder(named, base, tmp_path):
    settings = SEMANTIC.model_copy(update={"teach_encoder": True})
    run = run_of(dense_recipe(named, tmp_path / "both", base, settings))
    folder = export_learnt(run)
    assert {each.name for each in folder.iterdir()} == {
        *("card.toml", "model.safetensors", "semantic.safetensors")
    }
    assert read_card(folder).classes == ("nucleus",)
    load_dense(folder / "semantic.safetensors", sha256_of(folder / "model.safetensors"))
    before = run.began.model.image_encoder.state_dict()
    assert sha256_of(folder / "model.safetensors") != sha256_of(base)
    assert before.keys() == run.learnt.image_encoder.state_dict().keys()


def test_words_are_taught_and_travel_with_the_decoder(named, base, tmp_path, wordless):
    words = DenseSection(words=WordsSection(queries=2, layers=1), width=8, crops=4)
    run = run_of(dense_recipe(named, tmp_path / "words", base, words))
    stored = load_dense(export_learnt(run))
    assert stored.note.names == (*CLASSES, "nucleus")
    assert stored.note.encoder == "test"
    assert stored.texts.shape == (3, 4, 3)


def test_what_cannot_be_taught_is_refused(nuclei, tmp_path):
    for wrong, words in (
        ({}, "set maps"),
        ({"semantic": True}, "set initial"),
        ({"semantic": True, "teach_encoder": True}, "needs names"),
    ):
        with pytest.raises(ValidationError, match=words):
            recipe_of(nuclei, tmp_path / "x", dense=wrong)


def test_a_rare_class_is_drawn_as_often_as_the_others(finished):
    samples = [replace(finished.samples[0], pixels=_pixels(k)) for k in (1, 1, 1, 2)]
    assert sampling_weights(samples, 0.0).tolist() == [1, 1, 1, 1]
    torch.testing.assert_close(
        sampling_weights(samples, 1.0), torch.tensor([2 / 3, 2 / 3, 2 / 3, 2.0]).double()
    )
    assert sampling_weights(samples, 0.3).mean() == pytest.approx(1.0)
    nobody = [replace(samples[0], pixels=_pixels(0))] * 2
    assert sampling_weights(nobody, 1.0).tolist() == [1, 1]


def _pixels(value):
    return torch.full((4, 4), value, dtype=torch.int16)


def test_pixels_of_unknown_class_are_not_background():
    labels = torch.tensor([[0, 1], [2, 3]])
    classes = torch.tensor([1, -1, 0])
    assert class_pixels(labels, classes, exhaustive=True).tolist() == [[0, 2], [IGNORED, 1]]
    assert class_pixels(labels, classes, exhaustive=False)[0, 0] == IGNORED
    logits = torch.zeros(1, 3, 2, 2)
    right = semantic_loss(logits, torch.full((1, 2, 2), IGNORED))
    assert float(right) == 0


def test_distances_are_zero_in_the_middle_and_one_outside():
    labels = np.zeros((15, 15), np.int64)
    ys, xs = np.mgrid[:15, :15]
    labels[(ys - 7) ** 2 + (xs - 7) ** 2 <= 25] = 1
    depth = np.where(labels > 0, 0.5, 0.0)
    maps = np.stack([labels > 0, depth, np.zeros_like(depth)]).astype(np.float32)
    nucleus, centre, boundary = map_targets(labels, maps, ("nucleus", "centre", "boundary"))
    assert centre[7, 7] == pytest.approx(0)
    assert centre[labels > 0].max() == pytest.approx(1)
    assert (centre[labels == 0] == 1).all()
    assert (boundary[labels == 0] == 1).all()
    assert (nucleus == (labels > 0)).all()
    empty = map_targets(np.zeros_like(labels), 0 * maps, ("centre",))
    assert (empty == 1).all()


def test_losses_are_least_for_the_truth():
    target = torch.zeros(1, 2, 8, 8)
    target[:, 0, 2:6, 2:6] = 1
    names, told = ("nucleus", "distance"), torch.tensor([True])
    good = distance_loss(20 * target - 10, target, names, told)
    assert good < distance_loss(torch.zeros_like(target), target, names, told)
    assert distance_loss(target, target, names, torch.tensor([False])) == 0
    mask = target[:, 0]
    both = torch.stack([-(20 * mask - 10), 20 * mask - 10], dim=1)
    loss, best = words_loss(both, torch.tensor([[0.0, 1.0]]), mask, torch.ones_like(mask))
    assert best.tolist() == [1]
    wrong, _ = words_loss(both, torch.tensor([[1.0, 0.0]]), mask, torch.ones_like(mask))
    assert loss < wrong
