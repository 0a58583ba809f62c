import os
import stat
from pathlib import Path

import pytest
import torch

from napari_uninuc.errors import CheckpointError, OutputError
from napari_uninuc.network.build import build_model
from napari_uninuc.network.card import card_for_preset, read_card, sha256_of
from napari_uninuc.network.checkpoint import load_weights, save_model, save_weights
from napari_uninuc.network.config import ModelConfig, preset
from napari_uninuc.network.uninuc import UniNuc


@pytest.fixture
def model() -> UniNuc:
    return build_model(preset("uninuc-n"), seed=3)


@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 0.0), (torch.float16, 1e-3)])
def test_weights_survive(model: UniNuc, tmp_path: Path, dtype: torch.dtype, error: float) -> None:
    path = tmp_path / "model.safetensors"
    save_weights(model, path, dtype)
    other = build_model(preset("uninuc-n"), seed=4)
    load_weights(other, path)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(other.state_dict()[name], value, rtol=error, atol=error)
        assert other.state_dict()[name].dtype == value.dtype
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name != "posix", reason="permission bits")
@pytest.mark.parametrize("umask", [0o022, 0o027])
def test_who_may_read_is_what_the_umask_says(model: UniNuc, tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        save_weights(model, tmp_path / "model.safetensors")
        (tmp_path / "text").touch()
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {0o666 & ~umask}


def test_seed_makes_weights_reproducible(model: UniNuc) -> None:
    again, other = (build_model(preset("uninuc-n"), seed=seed) for seed in (3, 4))
    key = "sam_mask_decoder.iou_token.weight"
    assert torch.equal(model.state_dict()[key], again.state_dict()[key])
    assert not torch.equal(model.state_dict()[key], other.state_dict()[key])


def test_damaged_files_are_refused_in_one_line(model: UniNuc, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_weights(model, path)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"not a model", b""):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="get it again") as caught:
            load_weights(model, path)
        assert "\n" not in str(caught.value)
    with pytest.raises(CheckpointError, match="no such model file"):
        load_weights(model, tmp_path / "absent.safetensors")


def test_weights_of_another_architecture_are_refused(
    model: UniNuc, tiny_config: ModelConfig, tmp_path: Path
) -> None:
    path = tmp_path / "model.safetensors"
    save_weights(model, path)
    with pytest.raises(CheckpointError, match="another architecture"):
        load_weights(build_model(tiny_config), path)


def test_weights_that_overflow_are_not_saved(model: UniNuc, tmp_path: Path) -> None:
    with torch.no_grad():
        model.detector.content[0, 0] = 1e6
    path = tmp_path / "model.safetensors"
    with pytest.raises(CheckpointError, match="not finite"):
        save_weights(model, path)
    assert not list(tmp_path.iterdir())
    save_weights(model, path, torch.float32)
    assert path.exists()


def test_model_folder_has_a_card_with_the_hash(model: UniNuc, tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "model"
    card = save_model(model, card_for_preset("uninuc-n"), folder)
    assert read_card(folder) == card
    assert card.sha256 == sha256_of(folder / "model.safetensors")


def test_failed_save_leaves_nothing(model: UniNuc, tmp_path: Path) -> None:
    with torch.no_grad():
        model.detector.content[0, 0] = torch.nan
    with pytest.raises(CheckpointError, match="not finite"):
        save_model(model, card_for_preset("uninuc-n"), tmp_path / "model")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        save_model(model, card_for_preset("uninuc-n"), tmp_path / "file" / "model")
    with pytest.raises(OutputError, match="cannot write the weights"):
        save_weights(build_model(preset("uninuc-n")), tmp_path / "absent" / "model.safetensors")
