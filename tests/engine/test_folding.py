"""The same maps without batch norms, or none at all."""

import pytest
import torch
from torch import nn

from napari_uninuc.core.tile import Tile
from napari_uninuc.engine import folding as module
from napari_uninuc.engine.folding import folded
from napari_uninuc.engine.loading import untrained_engine


@torch.no_grad()
def test_a_folded_neck_gives_the_same_maps(predictor):
    encoder = predictor.engine.model.image_encoder
    faster = folded(encoder)
    image = torch.randn((1, 3, 96, 64), generator=torch.Generator().manual_seed(1))
    for ours, theirs in zip(faster(image), encoder(image), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


def test_norms_of_the_neck_are_gone_and_the_encoder_keeps_its_own(predictor):
    encoder = predictor.engine.model.image_encoder
    before = sum(isinstance(each, nn.BatchNorm2d) for each in encoder.modules())
    faster = folded(encoder)
    assert not any(isinstance(each, nn.BatchNorm2d) for each in faster.blocks.modules())
    assert sum(isinstance(each, nn.BatchNorm2d) for each in encoder.modules()) == before > 0


@torch.no_grad()
def test_without_any_norm_the_maps_are_the_same_to_rounding(predictor):
    encoder = predictor.engine.model.image_encoder
    faster = folded(encoder, trunk=True)
    assert not any(isinstance(each, nn.BatchNorm2d) for each in faster.modules())
    image = torch.randn((1, 3, 96, 64), generator=torch.Generator().manual_seed(2))
    for ours, theirs in zip(faster(image), encoder(image), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4 * float(theirs.abs().max()))


@pytest.mark.parametrize(
    ("dtype", "told"), [(torch.float32, "all"), (torch.bfloat16, "those of the neck")]
)
def test_what_is_folded_goes_by_the_precision_and_embeddings_say_so(dtype, told, discs):
    engine = untrained_engine("uninuc-n", "cpu")
    engine.dtype = dtype
    tile = Tile.from_array(discs.rgb[:64, :64], 0.25)
    embedding = engine.embed(tile, engine.fields(tile)[0])
    assert f"norms folded: {told}" in str(embedding.key)


def test_an_encoder_of_another_kind_is_left_alone():
    assert folded(nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))) is None


def test_maps_that_differ_are_not_used(predictor, monkeypatch):
    def wrong(parent):
        next(parent.parameters()).data.add_(1.0)

    monkeypatch.setattr(module, "_fold", wrong)
    assert folded(predictor.engine.model.image_encoder) is None
