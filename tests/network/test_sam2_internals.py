"""The parts of the package sam2 that we take to pieces are there, by name and by shape.

`test_sam2_equality` says that the sums are SAM 2's; this says which part moved if one did.
"""

import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement
from sam2.modeling.sam.mask_decoder import MaskDecoder as Sam2MaskDecoder
from sam2.modeling.sam.prompt_encoder import PromptEncoder as Sam2PromptEncoder
from sam2.modeling.sam.transformer import TwoWayTransformer
from sam2.modeling.sam2_utils import MLP
from torch import nn

from napari_uninuc.network.config import preset
from napari_uninuc.network.image_encoder import HieraEncoder

DIM = 32
PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


@pytest.fixture(scope="module")
def decoder():
    transformer = TwoWayTransformer(depth=1, embedding_dim=DIM, mlp_dim=DIM, num_heads=4)
    return Sam2MaskDecoder(
        transformer_dim=DIM,
        transformer=transformer,
        use_high_res_features=True,
        iou_prediction_use_sigmoid=True,
        pred_obj_scores=True,
        pred_obj_scores_mlp=True,
    ).eval()


@pytest.fixture(scope="module")
def prompts():
    return Sam2PromptEncoder(DIM, (64, 64), (1024, 1024), 16).eval()


def test_the_version_installed_is_one_we_allow():
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    needs = [Requirement(text) for text in project["dependencies"]]
    (ours,) = [need for need in needs if need.name == "sam2"]
    assert ours.specifier.contains(version("sam2"))
    assert not ours.specifier.contains("1.2"), "a release nobody has tried is not taken"


def test_the_upscaling_has_five_steps(decoder):
    kinds = [type(step) for step in decoder.output_upscaling]
    assert kinds[0] is kinds[3] is nn.ConvTranspose2d
    assert kinds[2] is kinds[4] is nn.GELU
    assert len(kinds) == 5
    assert decoder.output_upscaling(torch.zeros(1, DIM, 4, 4)).shape == (1, DIM // 8, 16, 16)


def test_tokens_and_heads_have_their_names(decoder):
    for token, rows in (("obj_score_token", 1), ("iou_token", 1), ("mask_tokens", 4)):
        assert getattr(decoder, token).weight.shape == (rows, DIM), token
    assert decoder.num_mask_tokens == len(decoder.output_hypernetworks_mlps) == 4
    assert decoder.iou_prediction_head(torch.zeros(2, DIM)).shape == (2, 4)
    predicted = decoder.iou_prediction_head(torch.full((2, DIM), 50.0))
    assert ((predicted >= 0) & (predicted <= 1)).all()
    assert isinstance(MLP(DIM, DIM, 4, 3).layers[-1], nn.Linear)


def test_the_transformer_takes_a_picture_its_position_and_queries(decoder):
    picture, queries = torch.zeros(2, DIM, 4, 4), torch.zeros(2, 7, DIM)
    out, updated = decoder.transformer(picture, picture, queries)
    assert out.shape == (2, 7, DIM)
    assert updated.shape == (2, 16, DIM)


def test_the_prompt_encoder_has_its_parts(prompts):
    assert len(prompts.point_embeddings) == 4
    for embedding in (*prompts.point_embeddings, prompts.not_a_point_embed, prompts.no_mask_embed):
        assert embedding.weight.shape == (1, DIM)
    assert prompts.mask_downscaling(torch.zeros(1, 1, 16, 16)).shape == (1, DIM, 4, 4)
    assert prompts.pe_layer((4, 6)).shape == (DIM, 4, 6)


def test_positions_are_of_the_window_that_is_named(prompts):
    """x before y, in pixels of a window (height, width); 0 and its end are its two borders."""
    corner = prompts.pe_layer.forward_with_coords(torch.tensor([[[3.5, 1.5]]]), (4, 8))
    grid = prompts.pe_layer((4, 8))  # its cells' centres, as half-integers
    torch.testing.assert_close(corner[0, 0], grid[:, 1, 3])


def test_the_image_encoder_answers_three_maps():
    maps = HieraEncoder(preset("uninuc-s").encoder)(torch.zeros(1, 3, 64, 64))
    assert [tuple(each.shape) for each in maps] == [
        (1, 256, 16, 16),
        (1, 256, 8, 8),
        (1, 256, 4, 4),
    ]
