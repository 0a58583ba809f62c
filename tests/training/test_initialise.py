"""Starting from an earlier model that knew other classes, or no words."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from napari_uninuc.errors import CheckpointError, RecipeError
from napari_uninuc.network.build import build_model
from napari_uninuc.network.card import LanguageNote, card_for_preset, card_path, read_card
from napari_uninuc.network.checkpoint import save_model, save_weights
from napari_uninuc.network.config import configured
from napari_uninuc.training.initialise import initialise, starting_model
from napari_uninuc.training.recipe import TrainRecipe

HEADS = ("detector.dense_class.weight", "detector.class_heads.1.bias")


@pytest.fixture(scope="module")
def earlier(tmp_path_factory):
    """A model folder of classes, with words where asked for; its network too."""

    def make(classes, words=None):
        shape = None if words is None else (len(classes), words)
        model = build_model(configured("uninuc-n", classes, shape), seed=len(classes))
        note = None
        if words is not None:
            note = LanguageNote(encoder="made up", dim=words, texts=classes)
        folder = tmp_path_factory.mktemp("earlier") / "model"
        card = replace(card_for_preset("uninuc-n"), classes=classes, language=note)
        save_model(model, card, folder, torch.float32)
        return model.state_dict(), folder / "model.safetensors"

    return make


def started(path, classes, words=None):
    shape = None if words is None else (len(classes), words)
    model = build_model(configured("uninuc-n", classes, shape), seed=99)
    start = initialise(model, path)
    whose = ""
    if card_path(path).is_file():
        whose = f" of uninuc-n, sha256 {read_card(path).sha256[:12]}"
    assert start == f"weights of model.safetensors{whose}"
    return model.state_dict()


def test_what_was_a_nucleus_still_is_one_of_each_class(earlier):
    old, path = earlier(("nucleus",))
    new = started(path, ("a", "b", "c"))
    for name in HEADS:
        assert torch.equal(new[name], old[name].expand_as(new[name]))
    same = [name for name in old if not name.startswith(("detector.dense_cl", "detector.class_"))]
    assert all(torch.equal(new[name], old[name]) for name in same)


def test_classes_keep_what_is_known_of_them_by_name(earlier):
    old, path = earlier(("a", "b"))
    new = started(path, ("b", "new", "a"))
    for name in HEADS:
        first, second = old[name]
        expected = torch.stack([second, (first + second) / 2, first])
        torch.testing.assert_close(new[name], expected)
    one = started(path, ("nucleus",))
    torch.testing.assert_close(one[HEADS[0]], old[HEADS[0]].mean(dim=0, keepdim=True))


def test_words_begin_anew_where_the_earlier_model_had_none(earlier):
    _, path = earlier(("a", "b"))
    fresh = build_model(configured("uninuc-n", ("a", "b"), (2, 5)), seed=99).state_dict()
    new = started(path, ("a", "b"), 5)
    for name in ("detector.text.weight", "detector.prior"):
        assert torch.equal(new[name], fresh[name])


def test_words_are_kept_or_dropped_as_the_new_model_wants(earlier):
    old, path = earlier(("a", "b"), 5)
    assert torch.equal(
        started(path, ("a", "b"), 5)["detector.text.weight"], old["detector.text.weight"]
    )
    assert "detector.text.weight" not in started(path, ("a", "b"))
    wider = started(path, ("a", "b"), 7)  # of another encoder
    assert wider["detector.text.weight"].shape[1] == 7


def test_weights_without_a_card_must_fit(earlier, tmp_path):
    model = build_model(configured("uninuc-n", ("a", "b")), seed=0)
    save_weights(model, tmp_path / "model.safetensors", torch.float32)
    same = started(tmp_path / "model.safetensors", ("a", "b"))
    assert all(torch.equal(same[name], value) for name, value in model.state_dict().items())
    with pytest.raises(CheckpointError, match="misshapen"):
        started(tmp_path / "model.safetensors", ("a", "b", "c"))


@pytest.fixture
def runs(tmp_path):
    """Three finished runs of like networks: their states and files."""
    made = []
    for seed in range(3):
        model = build_model(configured("uninuc-n", ("nucleus",)), seed=seed)
        card = replace(
            card_for_preset("uninuc-n"),
            training_data=("ours", f"theirs-{seed}"),
            licence="CC0" if seed < 2 else "research",
            commercial_use=seed < 2,
        )
        save_model(model, card, tmp_path / f"run-{seed}", torch.float32)
        made.append((model.state_dict(), tmp_path / f"run-{seed}" / "model.safetensors"))
    return made


def recipe_of(runs):
    return TrainRecipe(
        architecture="uninuc-n",
        output="runs/mean",
        initial=runs[0][1],
        averaged_with=tuple(path for _, path in runs[1:]),
        steps=1,
        datasets=({"name": "ours", "path": "ours"},),
    )


def test_several_runs_begin_as_their_mean(runs):
    began = starting_model(recipe_of(runs))
    for name, value in began.model.state_dict().items():
        parts = torch.stack([state[name].double() for state, _ in runs])
        torch.testing.assert_close(value.double(), parts.mean(dim=0), rtol=1e-6, atol=1e-7)
    assert began.start.startswith("mean of weights of model.safetensors of uninuc-n, sha256 ")
    assert "run-1" in began.start
    assert "run-2" in began.start
    assert began.earlier.training_data == ("ours", "theirs-0", "theirs-1", "theirs-2")
    assert began.earlier.licence == "CC0; research"
    assert not began.earlier.commercial_use


def test_a_mean_needs_like_networks(runs, earlier, tmp_path):
    recipe = recipe_of(runs)
    _, unlike = earlier(("a", "b"))
    with pytest.raises(RecipeError, match=r"averaged_with: expected weights with the classes"):
        starting_model(recipe.model_copy(update={"averaged_with": (unlike,)}))
    bare = tmp_path / "bare.safetensors"
    bare.write_bytes(unlike.read_bytes())
    with pytest.raises(RecipeError, match="card"):
        starting_model(recipe.model_copy(update={"averaged_with": (bare,)}))
    card_path(runs[0][1]).unlink()
    with pytest.raises(CheckpointError, match="another architecture"):
        starting_model(recipe.model_copy(update={"averaged_with": (bare,)}))


def test_a_mean_is_of_models():
    with pytest.raises(ValidationError, match="averaged_with joins taught models"):
        recipe_of([(None, "imagenet-wheel"), (None, Path("b.safetensors"))])
    files = [(None, Path("a.safetensors")), (None, Path("b.safetensors"))]
    whole = recipe_of(files).model_dump()
    for name, value in (
        ("adapter", "mine.safetensors"),
        ("next_point", {}),
        ("dense", {"maps": ["nucleus"]}),
    ):
        with pytest.raises(ValidationError, match=f"{name} belongs to the weights of one file"):
            TrainRecipe(**whole | {name: value})
