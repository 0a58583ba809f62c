import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from sam2.modeling.sam2_base import SAM2Base

from napari_uninuc.errors import CheckpointError
from napari_uninuc.network.build import build_model
from napari_uninuc.network.card import read_card, sha256_of
from napari_uninuc.network.checkpoint import load_weights
from napari_uninuc.network.config import PRESETS, ModelConfig, preset
from napari_uninuc.network.sam2_checkpoint import (
    convert_sam2,
    guess_architecture,
    load_convnext,
    sam2_state,
)

BuildSam2 = Callable[[ModelConfig], SAM2Base]


@pytest.fixture
def checkpoint(tiny_preset: str, build_sam2: BuildSam2, tmp_path: Path) -> Path:
    path = tmp_path / "official.pt"
    torch.save({"model": build_sam2(preset(tiny_preset)).state_dict()}, path)
    return path


class _MakesAFolder:
    """Pickled code: unpickling it unguarded makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.folder),)


def test_all_of_sam2_that_segments_images_arrives(
    checkpoint: Path, tiny_preset: str, tmp_path: Path
) -> None:
    official = torch.load(checkpoint, weights_only=True)["model"]
    card = convert_sam2(checkpoint, tiny_preset, tmp_path / "model")
    model = build_model(preset(tiny_preset))
    load_weights(model, tmp_path / "model" / "model.safetensors")
    ours = model.state_dict()
    shared = ours.keys() & official.keys()
    for name in shared:
        assert torch.equal(ours[name], official[name]), name
    parts = ("image_encoder.", "sam_prompt_encoder.", "sam_mask_decoder.", "no_mem_embed")
    unused = {"no_mem_pos_enc"}
    assert {name for name in official if name.startswith(parts)} - unused == shared
    assert card == read_card(tmp_path / "model")
    assert sha256_of(checkpoint) in card.initialisation
    assert "Apache-2.0" in card.licence
    assert card.mpp is None


def test_conversion_is_reproducible(checkpoint: Path, tiny_preset: str, tmp_path: Path) -> None:
    first, again, other = (
        convert_sam2(checkpoint, tiny_preset, tmp_path / str(k), seed=seed).sha256
        for k, seed in enumerate((0, 0, 1))
    )
    assert first == again != other


@pytest.mark.parametrize(
    ("width", "blocks", "name"),
    [(96, 16, "uninuc-s"), (112, 24, "uninuc-b"), (144, 48, "uninuc-l")],
)
def test_architecture_is_told_by_shapes(width: int, blocks: int, name: str) -> None:
    state = {
        "image_encoder.trunk.patch_embed.proj.weight": torch.zeros(width, 3, 7, 7),
        **{f"image_encoder.trunk.blocks.{k}.norm1.weight": torch.zeros(1) for k in range(blocks)},
    }
    assert guess_architecture(state, Path("x.pt")) == name


def test_guess_agrees_with_a_whole_network(build_sam2: BuildSam2, tmp_path: Path) -> None:
    torch.save({"model": build_sam2(PRESETS["uninuc-s"]).state_dict()}, tmp_path / "s.pt")
    assert guess_architecture(sam2_state(tmp_path / "s.pt"), tmp_path / "s.pt") == "uninuc-s"


def test_hiera_tiny_is_refused_by_name() -> None:
    state = {
        "image_encoder.trunk.patch_embed.proj.weight": torch.zeros(96, 3, 7, 7),
        **{f"image_encoder.trunk.blocks.{k}.norm1.weight": torch.zeros(1) for k in range(12)},
    }
    with pytest.raises(CheckpointError, match="Hiera tiny has no preset"):
        guess_architecture(state, Path("x.pt"))


@pytest.mark.parametrize("name", ["evil.pt", "evil.pth"])
@pytest.mark.parametrize("protocol", [None, 2, 4])
def test_pickled_code_is_refused_and_not_run(
    tmp_path: Path, name: str, protocol: int | None
) -> None:
    made = tmp_path / "made-by-pickle"
    evil = tmp_path / name
    stored = {"model": _MakesAFolder(made)}
    if protocol is None:
        torch.save(stored, evil)
    else:
        evil.write_bytes(pickle.dumps(stored, protocol))
    with pytest.raises(CheckpointError, match="nothing in it was run") as caught:
        convert_sam2(evil, "uninuc-s", tmp_path / "model")
    assert "\n" not in str(caught.value)
    assert not made.exists()
    assert not (tmp_path / "model").exists()
    made.mkdir()
    with pytest.raises(FileExistsError):  # the same file is dangerous to a careless reader
        torch.load(evil, weights_only=False)


def test_damaged_and_foreign_files_are_refused_in_one_line(
    checkpoint: Path, tiny_preset: str, tmp_path: Path
) -> None:
    whole = checkpoint.read_bytes()
    bad = tmp_path / "bad.pt"
    for content in (whole[: len(whole) // 2], b"", b"<html>not found</html>"):
        bad.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"bad\.pt") as caught:
            convert_sam2(bad, tiny_preset, tmp_path / "model")
        assert "\n" not in str(caught.value)
    for stored, says in (({"weight": torch.zeros(1)}, "no such tensor"), ([1], "got a list")):
        torch.save(stored, bad)
        with pytest.raises(CheckpointError, match=says):
            convert_sam2(bad, tiny_preset, tmp_path / "model")
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        convert_sam2(tmp_path / "absent.pt", tiny_preset, tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("change", ["missing", "misshapen", "unknown"])
def test_checkpoint_of_another_shape_is_refused(
    checkpoint: Path, tiny_preset: str, tmp_path: Path, change: str
) -> None:
    state = torch.load(checkpoint, weights_only=True)["model"]
    key = "sam_mask_decoder.iou_token.weight"
    if change == "missing":
        del state[key]
    elif change == "misshapen":
        state[key] = torch.zeros(2, 256)
    else:
        key = "sam_mask_decoder.another.weight"
        state[key] = torch.zeros(1)
    torch.save({"model": state}, checkpoint)
    with pytest.raises(CheckpointError, match=key):
        convert_sam2(checkpoint, tiny_preset, tmp_path / "model")


def test_detector_backbone_takes_timm_weights(
    checkpoint: Path, tiny_preset: str, tmp_path: Path
) -> None:
    donor = timm.create_model("convnext_atto", pretrained=False)
    torch.save(donor.state_dict(), tmp_path / "convnext.pth")
    folder = tmp_path / "model"
    card = convert_sam2(checkpoint, tiny_preset, folder, detector_weights=tmp_path / "convnext.pth")
    model = build_model(preset(tiny_preset)).eval()
    load_weights(model, folder / "model.safetensors")
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        expected = donor.eval().forward_intermediates(image, intermediates_only=True)[1:]
        got = model.detector_backbone(image)
    assert len(got) == 3
    for ours, theirs in zip(got, expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    assert "convnext.pth" in card.initialisation


def test_backbone_of_another_size_is_refused(tiny_preset: str, tmp_path: Path) -> None:
    path = tmp_path / "femto.pth"
    torch.save(timm.create_model("convnext_femto", pretrained=False).state_dict(), path)
    with pytest.raises(CheckpointError, match="misshapen"):
        load_convnext(build_model(preset(tiny_preset)), path)
    with pytest.raises(CheckpointError, match="no detector backbone"):
        load_convnext(build_model(preset("uninuc-n")), path)
