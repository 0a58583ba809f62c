import pickle
import shutil

import pytest

from napari_uninuc.network import registry
from napari_uninuc.network.card import sha256_of


@pytest.fixture
def own_models(random_model, tmp_path, monkeypatch):
    """A user's model folder with a model called mine."""
    folder = tmp_path / "models"
    shutil.copytree(random_model, folder / "mine")
    monkeypatch.setenv("UNINUC_MODELS", str(folder))
    return folder


@pytest.mark.parametrize("words", [("models",), ("models", "list")])
def test_list_names_models_here_and_to_fetch(uninuc, own_models, words):
    status, out, err = uninuc(*words)
    assert (status, err) == (0, "")
    [mine] = [line for line in out.splitlines() if line.startswith("mine ")]
    assert mine.endswith(str(own_models / "mine"))
    assert "BSD-3-Clause" in mine
    assert sha256_of(own_models / "mine" / "model.safetensors")[:12] in mine
    assert "uninuc-b      not here; get it: uninuc models fetch uninuc-b\n" in out


def test_one_broken_card_hides_no_other(uninuc, own_models):
    (own_models / "broken").mkdir()
    (own_models / "broken" / "card.toml").write_text("id = ", encoding="utf-8")
    status, out, err = uninuc("models", "list")
    assert status == 2
    assert "\nmine " in f"\n{out}"
    assert err.startswith(f"uninuc: error: {own_models / 'broken' / 'card.toml'}: not valid TOML")
    assert err.count("\n") == 1


def test_show_prints_the_card(uninuc, own_models):
    status, out, err = uninuc("models", "show", "mine")
    assert (status, err) == (0, "")
    assert (own_models / "mine" / "card.toml").read_text(encoding="utf-8") in out


@pytest.mark.parametrize("by_path", [True, False])
def test_verify_hashes_the_weights(uninuc, refused, own_models, by_path):
    model = own_models / "mine" if by_path else "mine"
    weights = own_models / "mine" / "model.safetensors"
    status, out, err = uninuc("models", "verify", model)
    assert (status, err) == (0, "")
    assert sha256_of(weights) in out
    changed = bytearray(weights.read_bytes())
    changed[-1] ^= 1
    weights.write_bytes(changed)
    assert "its card expects" in refused("models", "verify", model)


def test_unknown_models_are_one_line(refused, own_models, tmp_path):
    assert refused("models", "show", "nothing").startswith("no model 'nothing'")
    assert refused("models", "fetch", "nothing").startswith("no model 'nothing' to fetch")
    assert str(tmp_path / "gone") in refused("models", "verify", tmp_path / "gone")
    words = ("models", "fetch", "uninuc-s", "--from", tmp_path / "gone.pt")
    assert str(tmp_path / "gone.pt") in refused(*words)


ABLATIONS = ("uninuc-b-single", "uninuc-b-plain")


@pytest.mark.parametrize("command", ["show", "verify", "fetch"])
@pytest.mark.parametrize("model", ABLATIONS)
def test_an_architecture_without_weights_says_what_they_are_made_of(
    refused, own_models, command, model
):
    line = refused("models", command, model)
    make = f"uninuc models convert sam2.1_hiera_base_plus.pt --architecture {model} --output FOLDER"
    assert make in line
    assert "install" not in line


@pytest.mark.parametrize("command", ["show", "verify"])
def test_a_model_that_is_not_here_says_where_to_get_it(refused, own_models, monkeypatch, command):
    assert "uninuc models fetch uninuc-l" in refused("models", command, "uninuc-l")
    monkeypatch.setattr(registry, "model_folders", dict)
    assert refused("models", command, "uninuc-n").endswith(
        "(here: none); uninuc-n comes with napari-uninuc; install it again"
    )


def test_weights_that_went_missing_are_told_by_every_command(uninuc, refused, own_models):
    (own_models / "mine" / "model.safetensors").unlink()
    told = f"{own_models / 'mine' / 'model.safetensors'}: no such weights file beside its card"
    for command in ("show", "verify"):
        assert refused("models", command, "mine").startswith(told)
    status, out, err = uninuc("models", "list")
    assert (status, err.startswith(f"uninuc: error: {told}")) == (2, True)
    assert "\nmine" not in f"\n{out}"


def test_pickled_checkpoint_is_not_converted(refused, own_models, tmp_path):
    checkpoint = tmp_path / "evil.pt"
    checkpoint.write_bytes(pickle.dumps(print, protocol=2))
    words = ("models", "convert", checkpoint, "--output", tmp_path / "out")
    assert refused(*words).startswith(str(checkpoint))
    assert not (tmp_path / "out").exists()
