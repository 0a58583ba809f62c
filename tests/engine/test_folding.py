"""The same maps without batch norms, or none at all."""

import torch
from torch import nn

from napari_uninuc.engine import folding as module
from napari_uninuc.engine.folding import folded


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


def test_an_encoder_of_another_kind_is_left_alone():
    assert folded(nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))) is None


def test_maps_that_differ_are_not_used(predictor, monkeypatch):
    def wrong(parent):
        next(parent.parameters()).data.add_(1.0)

    monkeypatch.setattr(module, "_fold", wrong)
    assert folded(predictor.engine.model.image_encoder) is None
