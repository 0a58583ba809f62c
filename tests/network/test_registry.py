import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from sam2.modeling.sam2_base import SAM2Base

from napari_uninuc.errors import CheckpointError, ModelNotFoundError
from napari_uninuc.network import registry
from napari_uninuc.network.build import build_model
from napari_uninuc.network.card import card_for_preset, read_card, sha256_of, write_card
from napari_uninuc.network.checkpoint import save_model
from napari_uninuc.network.config import ModelConfig, preset
from napari_uninuc.network.registry import fetch, find_model, list_models, model_folders, verify


@pytest.fixture
def model_folder(user_models: Path) -> Path:
    """A whole model of ours, called ``mine``, in the user's folder."""
    folder = user_models / "mine"
    card = replace(card_for_preset("uninuc-n"), id="mine")
    save_model(build_model(preset("uninuc-n"), seed=0), card, folder)
    return folder


@pytest.fixture
def checkpoint(
    tiny_preset: str,
    build_sam2: Callable[[ModelConfig], SAM2Base],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A checkpoint that is official to the registry, under the id of the small model."""
    monkeypatch.setitem(registry.OFFICIAL_CHECKPOINTS, tiny_preset, "official.pt")
    path = tmp_path / "mirror" / "official.pt"
    path.parent.mkdir()
    torch.save({"model": build_sam2(preset(tiny_preset)).state_dict()}, path)
    return path


def test_model_is_found_by_id_folder_card_and_weights(model_folder: Path) -> None:
    weights = model_folder / "model.safetensors"
    for name in ("mine", model_folder, str(model_folder), weights, model_folder / "card.toml"):
        files = find_model(name)
        assert files.weights_path == weights
        assert files.card == read_card(model_folder)
    assert model_folders()["mine"] == model_folder
    assert files in list_models(pytest.fail)


def test_a_broken_card_hides_no_other_model(model_folder: Path, user_models: Path) -> None:
    (user_models / "broken").mkdir()
    (user_models / "broken" / "card.toml").write_text("id =", encoding="utf-8")
    told: list[CheckpointError] = []
    assert {"mine", "uninuc-n"} <= {model.card.id for model in list_models(told.append)}
    assert [str(user_models / "broken") in str(problem) for problem in told] == [True]


def test_unknown_id_lists_the_known_ones(model_folder: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="mine") as caught:
        find_model("uninuc-x")
    assert "\n" not in str(caught.value)
    with pytest.raises(ModelNotFoundError, match="uninuc models fetch uninuc-l"):
        find_model("uninuc-l")


def test_weights_without_a_card_say_what_a_model_is(model_folder: Path) -> None:
    (model_folder / "card.toml").unlink()
    with pytest.raises(CheckpointError, match="no card"):
        find_model(model_folder / "model.safetensors")


def test_card_without_weights_and_foreign_files(model_folder: Path, tmp_path: Path) -> None:
    (model_folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="no such weights file"):
        find_model("mine")
    (tmp_path / "sam.pt").touch()
    with pytest.raises(CheckpointError, match="uninuc models convert"):
        find_model(tmp_path / "sam.pt")


def test_changed_weights_are_noticed_even_after_a_good_look(model_folder: Path) -> None:
    find_model("mine")
    weights = model_folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    os.utime(weights, ns=(1, 1))  # a clock too coarse to tell would hide it
    for look in (find_model, verify):
        with pytest.raises(CheckpointError, match="its card expects") as caught:
            look(model_folder)
        assert "\n" not in str(caught.value)


def test_weights_are_hashed_once_by_find_and_anew_by_verify(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[Path] = []
    monkeypatch.setattr(registry, "sha256_of", lambda path: hashed.append(path) or sha256_of(path))
    find_model("mine")
    find_model(model_folder)
    assert len(hashed) == 1
    assert verify(model_folder) == read_card(model_folder).sha256
    assert len(hashed) == 2


def test_card_without_a_hash_is_not_trusted(model_folder: Path) -> None:
    card = read_card(model_folder)
    write_card(replace(card, sha256=""), model_folder)
    with pytest.raises(CheckpointError, match=card.sha256):
        find_model("mine")


def test_an_id_is_never_read_as_a_path(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    assert find_model("mine").weights_path.parent == model_folder


@pytest.mark.parametrize("way", ["source", "mirror folder", "mirror server"])
def test_fetching_converts_and_leaves_nothing_else(
    way: str,
    checkpoint: Path,
    tiny_preset: str,
    user_models: Path,
    monkeypatch: pytest.MonkeyPatch,
    range_server,
) -> None:
    source = checkpoint if way == "source" else None
    if way == "mirror folder":
        monkeypatch.setenv("UNINUC_MIRROR", str(checkpoint.parent))
    elif way == "mirror server":
        range_server.body = checkpoint.read_bytes()
        monkeypatch.setenv("UNINUC_MIRROR", range_server.url + "/")
    files = fetch(tiny_preset, source, sha256=sha256_of(checkpoint))
    assert files == find_model(tiny_preset)
    assert files.weights_path.is_relative_to(user_models)
    names = {path.name for path in user_models.rglob("*") if path.is_file()}
    assert names == {"card.toml", "model.safetensors"}
    assert checkpoint.exists()
    shutil.rmtree(checkpoint.parent)
    assert fetch(tiny_preset) == files  # it is here: nothing is asked for again
    assert len(range_server.asked) == (way == "mirror server")


def test_interrupted_fetch_goes_on(
    checkpoint: Path,
    tiny_preset: str,
    user_models: Path,
    monkeypatch: pytest.MonkeyPatch,
    range_server,
) -> None:
    range_server.body, range_server.drop_after = checkpoint.read_bytes(), 3_000_000
    monkeypatch.setenv("UNINUC_MIRROR", range_server.url)
    with pytest.raises(CheckpointError, match="run the same command again"):
        fetch(tiny_preset)
    range_server.drop_after = None
    fetch(tiny_preset)
    assert range_server.asked[1].startswith("bytes=")
    assert find_model(tiny_preset)


def test_wrong_download_is_refused_and_forgotten(
    tiny_preset: str,
    checkpoint: Path,
    user_models: Path,
    monkeypatch: pytest.MonkeyPatch,
    range_server,
) -> None:
    monkeypatch.setenv("UNINUC_MIRROR", range_server.url)
    range_server.body = b"<html>sign in to the network</html>"
    with pytest.raises(CheckpointError, match=r"official\.pt"):
        fetch(tiny_preset)
    range_server.body = checkpoint.read_bytes()
    with pytest.raises(CheckpointError, match="not the expected"):
        fetch(tiny_preset, sha256="0" * 64)
    assert not [path for path in user_models.rglob("*") if path.is_file()]
    fetch(tiny_preset)


def test_fetching_what_nobody_offers(user_models: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="uninuc-s, uninuc-b, uninuc-l"):
        fetch("uninuc-xl")
