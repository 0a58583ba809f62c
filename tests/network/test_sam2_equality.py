"""Converted SAM 2.1 weights give SAM 2's masks: network and predictor against SAM 2's predictor."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sam2.modeling.sam2_base import SAM2Base
from sam2.sam2_image_predictor import SAM2ImagePredictor

from napari_uninuc import load_predictor
from napari_uninuc.network.build import build_model
from napari_uninuc.network.checkpoint import load_weights
from napari_uninuc.network.config import ModelConfig, preset
from napari_uninuc.network.sam2_checkpoint import convert_sam2
from napari_uninuc.network.uninuc import UniNuc, WindowPrompts

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # in sam2

BuildSam2 = Callable[[ModelConfig], SAM2Base]
TOLERANCE = {"rtol": 0.0, "atol": 1e-3}

PROMPTS: dict[str, dict[str, Any]] = {
    "point": {"point_coords": [[70.0, 60.0]], "point_labels": [1]},
    "points": {
        "point_coords": [[70.0, 60.0], [20.0, 33.0], [101.5, 90.25]],
        "point_labels": [1, 0, 1],
    },
    "box": {"box": [30.0, 20.0, 110.0, 95.0]},
    "box and points": {
        "box": [30.0, 20.0, 110.0, 95.0],
        "point_coords": [[70.0, 60.0], [40.0, 33.0]],
        "point_labels": [1, 0],
    },
}
"""xy, in pixels of a picture of at least 110 x 110."""


@dataclass(frozen=True)
class Pair:
    theirs: SAM2ImagePredictor
    folder: Path
    config: ModelConfig


def _pair(name: str, build_sam2: BuildSam2, folder: Path, *, sure: float = 1.0) -> Pair:
    """SAM 2 and the same converted; ``sure`` raises the logits of the single mask."""
    config = preset(name)
    official = build_sam2(config)
    last = official.sam_mask_decoder.output_hypernetworks_mlps[0].layers[-1]
    last.weight.data *= sure
    last.bias.data *= sure
    torch.save({"model": official.state_dict()}, folder / "official.pt")
    convert_sam2(folder / "official.pt", name, folder / "model")
    theirs = SAM2ImagePredictor(official)
    side = config.input_size // 4
    theirs._bb_feat_sizes = [(side // 2**k, side // 2**k) for k in range(3)]  # fixed at 1024 there
    return Pair(theirs, folder / "model", config)


@pytest.fixture
def tiny_pair(tiny_preset: str, build_sam2: BuildSam2, tmp_path: Path) -> Pair:
    return _pair(tiny_preset, build_sam2, tmp_path)


@pytest.fixture
def sure_pair(tiny_preset: str, build_sam2: BuildSam2, tmp_path: Path) -> Pair:
    return _pair(tiny_preset, build_sam2, tmp_path, sure=50.0)


def _picture(height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(height)
    coarse = rng.integers(0, 256, (height // 16 + 1, width // 16 + 1, 3))
    blocks = coarse.repeat(16, axis=0).repeat(16, axis=1)[:height, :width]
    return np.clip(blocks + rng.integers(-20, 20, blocks.shape), 0, 255).astype(np.uint8)


def _arrays(prompt: dict[str, Any]) -> dict[str, Any]:
    return {name: np.array(value) for name, value in prompt.items()}


def _compare(ours: Any, pair: Pair, prompt: dict[str, Any], multimask: bool) -> np.ndarray:
    """Compare one answer with SAM 2's; returns the low-resolution logits."""
    asked = {**prompt, "multimask_output": multimask, "return_logits": True}
    masks, ious, low = ours.predict(**asked)
    their_masks, their_ious, their_low = pair.theirs.predict(**asked)
    assert masks.shape == their_masks.shape
    assert their_masks.std() > 0.05  # an empty comparison would prove nothing
    np.testing.assert_allclose(masks, their_masks, **TOLERANCE)
    np.testing.assert_allclose(ious, their_ious, **TOLERANCE)
    np.testing.assert_allclose(low, their_low, **TOLERANCE)
    return low


@pytest.mark.parametrize("shape", [(256, 256), (150, 310)])
def test_predictor_answers_as_sam2(tiny_pair: Pair, shape: tuple[int, int]) -> None:
    picture = _picture(*shape)
    ours = load_predictor(tiny_pair.folder, device="cpu")
    ours.set_image(picture)
    tiny_pair.theirs.set_image(picture)
    low = np.zeros(0)
    for name, prompt in PROMPTS.items():
        for multimask in (False, True):
            answer = _compare(ours, tiny_pair, _arrays(prompt), multimask)
            low = answer if not multimask else low
        _compare(ours, tiny_pair, {**_arrays(prompt), "mask_input": low}, name == "box")
    _compare(ours, tiny_pair, {"mask_input": low}, False)


def test_predictor_answers_a_batch_as_sam2(tiny_pair: Pair) -> None:
    picture = _picture(150, 310)
    ours = load_predictor(tiny_pair.folder, device="cpu")
    ours.set_image(picture)
    tiny_pair.theirs.set_image(picture)
    boxes = np.array([[30.0, 20.0, 110.0, 95.0], [200.0, 3.0, 308.0, 149.0], [5.0, 5.0, 9.0, 11.0]])
    for multimask in (False, True):
        _compare(ours, tiny_pair, {"box": boxes}, multimask)
    points = boxes.reshape(3, 2, 2)
    labels = np.array([[1, 1], [1, 0], [0, 1]])
    _compare(ours, tiny_pair, {"point_coords": points, "point_labels": labels}, True)


def _both(pair: Pair, shape: tuple[int, int] = (150, 310), **choices: Any) -> Any:
    """Our predictor, and SAM 2's, with one picture set."""
    picture = _picture(*shape)
    ours = load_predictor(pair.folder, device="cpu", **choices)
    ours.set_image(picture)
    pair.theirs.set_image(picture)
    return ours


def test_an_unstable_single_mask_gives_way_to_the_best_of_three(tiny_pair: Pair) -> None:
    ours = _both(tiny_pair)
    point = _arrays(PROMPTS["point"])
    _compare(ours, tiny_pair, point, False)
    masks, ious, _ = ours.predict(**point, return_logits=True)
    three, their_ious, _ = ours.predict(**point, return_logits=True, multimask_output=True)
    np.testing.assert_array_equal(masks[0], three[their_ious.argmax()])
    assert ious[0] == their_ious.max()


def test_a_stable_single_mask_stays(sure_pair: Pair) -> None:
    ours = _both(sure_pair)
    single = _both(sure_pair, dynamic_multimask=False)
    for prompt in PROMPTS.values():
        _compare(ours, sure_pair, _arrays(prompt), False)
        both = [each.predict(**_arrays(prompt), return_logits=True)[0] for each in (ours, single)]
        np.testing.assert_allclose(*both, atol=1e-4)  # one mask alone is rounded otherwise


def test_each_mask_of_a_batch_is_judged_by_itself(
    tiny_preset: str, build_sam2: BuildSam2, tmp_path: Path
) -> None:
    pair = _pair(tiny_preset, build_sam2, tmp_path, sure=15.0)
    ours = _both(pair)
    corners = np.random.default_rng(0).uniform((0, 0), (200, 60), (40, 2))
    boxes = np.concatenate([corners, corners + np.array([90, 70])], axis=1)
    _compare(ours, pair, {"box": boxes}, False)
    ours.engine.dynamic_multimask = False
    single, _, _ = ours.predict(box=boxes, return_logits=True)
    ours.engine.dynamic_multimask = True
    chosen, _, _ = ours.predict(box=boxes, return_logits=True)
    replaced = (abs(single - chosen) > 1e-3).any(axis=(1, 2, 3))
    assert 0 < replaced.sum() < len(boxes)


def test_without_postprocessing_the_single_mask_is_told(tiny_pair: Pair) -> None:
    """`build_sam2(..., apply_postprocessing=False)`."""
    tiny_pair.theirs.model.sam_mask_decoder.dynamic_multimask_via_stability = False
    ours = _both(tiny_pair, dynamic_multimask=False)
    for prompt in PROMPTS.values():
        _compare(ours, tiny_pair, _arrays(prompt), False)


def test_the_card_says_which_masks_are_given(tiny_pair: Pair) -> None:
    tiny_pair.theirs.model.sam_mask_decoder.dynamic_multimask_via_stability = False
    card = tiny_pair.folder / "card.toml"
    text = card.read_text(encoding="utf-8")
    assert "dynamic_multimask = true" in text
    card.write_text(text.replace("dynamic_multimask = true", "dynamic_multimask = false"))
    _compare(_both(tiny_pair), tiny_pair, _arrays(PROMPTS["box"]), False)


SHAPES: dict[str, dict[str, Any]] = {
    "boxes and points": {
        "box": [[30, 20, 110, 95], [200, 3, 308, 149]],
        "point_coords": [[[70, 60], [40, 33]], [[250, 80], [210, 20]]],
        "point_labels": [[1, 0], [1, 1]],
    },
    "one box of a batch": {"box": [[30, 20, 110, 95]]},
    "a box as two corners": {"box": [[30, 20], [110, 95]]},
    "one box and one row of points": {
        "box": [[30, 20, 110, 95]],
        "point_coords": [[[70, 60]]],
        "point_labels": [[1]],
    },
    "points that stand for none": {
        "point_coords": [[[70, 60], [0, 0]], [[250, 80], [210, 20]]],
        "point_labels": [[1, -1], [1, 0]],
    },
}


@pytest.mark.parametrize("name", SHAPES)
def test_prompts_of_every_shape(tiny_pair: Pair, name: str) -> None:
    ours = _both(tiny_pair)
    for multimask in (False, True):
        _compare(ours, tiny_pair, _arrays(SHAPES[name]), multimask)


def test_masks_go_with_one_prompt_or_many(tiny_pair: Pair) -> None:
    ours = _both(tiny_pair)
    boxes = np.array(SHAPES["boxes and points"]["box"])
    _, _, low = ours.predict(box=boxes)
    assert low.shape == (2, 1, 64, 64)
    for masks in (low, low[0], low[:1]):
        _compare(ours, tiny_pair, {"box": boxes, "mask_input": masks}, False)
    _compare(ours, tiny_pair, {"box": boxes[0], "mask_input": low[0]}, True)
    _compare(ours, tiny_pair, {"mask_input": low[:1]}, True)


def test_shares_of_the_picture_are_coordinates_too(tiny_pair: Pair) -> None:
    ours = _both(tiny_pair)
    size = np.array([310.0, 150.0])
    for name in ("boxes and points", "a box as two corners"):
        prompt = _arrays(SHAPES[name])
        prompt = {**prompt, "box": prompt["box"].reshape(-1, 2, 2) / size}
        if "point_coords" in prompt:
            prompt["point_coords"] = prompt["point_coords"] / size
        _compare(ours, tiny_pair, {**prompt, "normalize_coords": False}, True)


@pytest.mark.parametrize("kind", ["pil", "float", "list", "tensor"])
def test_pictures_and_prompts_of_other_types(tiny_pair: Pair, kind: str) -> None:
    picture = _picture(150, 310)
    ours = load_predictor(tiny_pair.folder, device="cpu")
    taken = {"pil": Image.fromarray(picture), "float": picture.astype(np.float32) / 255}
    tiny_pair.theirs.set_image(taken.get(kind, picture))
    ours.set_image(taken.get(kind, picture))
    prompt = PROMPTS["box and points"]
    if kind == "tensor":
        prompt = {name: torch.tensor(value) for name, value in prompt.items()}
    _compare(ours, tiny_pair, dict(prompt), True)


def test_a_batch_of_pictures_is_sam2s(tiny_pair: Pair) -> None:
    pictures = [_picture(150, 310), _picture(256, 256), _picture(200, 180)]
    ours = load_predictor(tiny_pair.folder, device="cpu")
    ours.set_image_batch(pictures)
    tiny_pair.theirs.set_image_batch(pictures)
    box = np.array([30.0, 20.0, 110.0, 95.0])
    points = [np.array([[70.0, 60.0]]), np.array([[[70.0, 60.0]], [[90.0, 99.0]]]), None]
    asked = {
        "point_coords_batch": points,
        "point_labels_batch": [np.array([1]), np.array([[1], [0]]), None],
        "box_batch": [None, np.stack([box, box + 9]), box],
        "return_logits": True,
    }
    for multimask in (False, True):
        answers = ours.predict_batch(**asked, multimask_output=multimask)
        theirs = tiny_pair.theirs.predict_batch(**asked, multimask_output=multimask)
        for mine, yours in zip(answers, theirs, strict=True):
            for one, other in zip(mine, yours, strict=True):
                np.testing.assert_allclose(one, other, **TOLERANCE)
    last = _arrays(PROMPTS["box"])
    _compare(ours, tiny_pair, last, False)
    np.testing.assert_allclose(
        ours.get_image_embedding(), tiny_pair.theirs.get_image_embedding(), **TOLERANCE
    )


def test_the_embedding_is_sam2s(tiny_pair: Pair) -> None:
    ours = _both(tiny_pair)
    mine, theirs = ours.get_image_embedding(), tiny_pair.theirs.get_image_embedding()
    assert mine.shape == theirs.shape == (1, 256, 16, 16)
    assert mine.device == theirs.device == ours.device
    np.testing.assert_allclose(mine, theirs, **TOLERANCE)
    assert (mine.clone().requires_grad_() * 2).requires_grad  # of use in training, as SAM 2's


def test_thresholded_masks_are_sam2s(tiny_pair: Pair) -> None:
    picture = _picture(150, 310)
    ours = load_predictor(tiny_pair.folder, device="cpu")
    ours.set_image(picture)
    tiny_pair.theirs.set_image(picture)
    for prompt in PROMPTS.values():
        masks, _, _ = ours.predict(**_arrays(prompt), multimask_output=True)
        theirs, _, _ = tiny_pair.theirs.predict(**_arrays(prompt), multimask_output=True)
        assert masks.dtype == np.bool_
        assert (masks != theirs.astype(bool)).mean() < 1e-4


@pytest.mark.slow
def test_uninuc_s_answers_as_sam2_small(build_sam2: BuildSam2, tmp_path: Path) -> None:
    pair = _pair("uninuc-s", build_sam2, tmp_path)
    picture = _picture(300, 420)
    ours = load_predictor(pair.folder, device="cpu")
    ours.set_image(picture)
    pair.theirs.set_image(picture)
    for prompt in PROMPTS.values():
        low = _compare(ours, pair, _arrays(prompt), False)
        _compare(ours, pair, _arrays(prompt), True)
    _compare(ours, pair, {**_arrays(PROMPTS["points"]), "mask_input": low}, True)


def _whole(config: ModelConfig, prompt: dict[str, Any], scale: np.ndarray) -> WindowPrompts:
    """A prompt of the picture, in a window that is the whole input."""
    points, labels = np.zeros((0, 2)), np.zeros(0, int)
    if "box" in prompt:
        points, labels = np.array(prompt["box"]).reshape(2, 2), np.array([2, 3])
    if "point_coords" in prompt:
        points = np.concatenate([points, np.array(prompt["point_coords"])])
        labels = np.concatenate([labels, np.array(prompt["point_labels"])])
    points = np.concatenate([points * scale, [[0.0, 0.0]]])
    cells = config.input_size // config.coarse_stride
    return WindowPrompts(
        torch.zeros(1, dtype=torch.long),
        torch.zeros((1, 2), dtype=torch.long),
        (cells, cells),
        torch.from_numpy(points).float()[None],
        torch.from_numpy(np.append(labels, -1))[None],
    )


@torch.no_grad()
def test_network_decodes_as_sam2(tiny_pair: Pair) -> None:
    config = tiny_pair.config
    model: UniNuc = build_model(config).eval()
    load_weights(model, tiny_pair.folder / "model.safetensors")
    picture = _picture(150, 310)
    tiny_pair.theirs.set_image(picture)
    tiny_pair.theirs.model.sam_mask_decoder.dynamic_multimask_via_stability = False
    embedding = model.encode(tiny_pair.theirs._transforms(picture)[None], detection=False)
    scale = config.input_size / np.array([310, 150])
    for prompt in PROMPTS.values():
        logits, ious = model.decode(embedding, _whole(config, prompt, scale))
        for multimask, chosen in ((False, slice(0, 1)), (True, slice(1, 4))):
            _, their_ious, low = tiny_pair.theirs.predict(
                **_arrays(prompt), multimask_output=multimask
            )
            np.testing.assert_allclose(logits[0, chosen].clamp(-32, 32), low, **TOLERANCE)
            np.testing.assert_allclose(ious[0, chosen], their_ious, **TOLERANCE)
