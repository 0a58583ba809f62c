"""What a recipe says stays as it is does so, and teaches the rest as before."""

import copy

import pytest
import torch
from pydantic import ValidationError
from running import recipe_of
from safetensors.torch import save_file

from napari_uninuc.network.config import preset
from napari_uninuc.network.image_encoder import ConvBlock, build_encoder
from napari_uninuc.training.freezing import Fixed, freeze_norms
from napari_uninuc.training.loop import Trainer
from napari_uninuc.training.recipe import LossesSection, OptimiserSection

CPU = torch.device("cpu")


def experienced_encoder():
    """An encoder of random weights whose norms have seen something."""
    generator = torch.Generator().manual_seed(0)
    encoder = build_encoder(preset("uninuc-n").encoder)
    for module in encoder.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
            torch.nn.init.normal_(module.bias, 0, 0.1, generator=generator)
    return encoder


def gradients(encoder, image):
    maps = encoder(image)
    sum((one * one).mean() for one in maps).backward()
    return maps, {name: value.grad for name, value in encoder.named_parameters()}


def test_frozen_norms_give_what_norms_in_evaluation_give():
    plain = experienced_encoder()
    fast = copy.deepcopy(plain)
    freeze_norms(fast)
    image = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    maps, expected = gradients(plain.eval(), image)
    ours, got = gradients(fast.train(), image)
    for a, b in zip(maps, ours, strict=True):
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-4)
    assert all(grad is not None for name, grad in expected.items() if "norm" in name)
    for name, grad in expected.items():
        if grad is None:
            assert got[name] is None, name
        else:
            assert (got[name] - grad).norm() <= 0.02 * grad.norm() + 1e-6, name
    before, after = plain.state_dict(), fast.state_dict()
    assert list(before) == list(after)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_convolution_with_a_bias_keeps_it():
    block = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4)).eval()
    torch.nn.init.uniform_(block[1].running_mean)
    image = torch.randn(2, 3, 5, 5)
    expected = block(image)
    freeze_norms(block)
    assert torch.allclose(block.train()(image), expected, atol=1e-5)


def test_a_norm_after_no_convolution_is_left_alone():
    block = torch.nn.Sequential(torch.nn.ReLU(), torch.nn.BatchNorm2d(3))
    freeze_norms(block)
    block.train()(torch.randn(4, 3, 5, 5) + 3)
    assert (block[1].running_mean > 0.1).all()


def test_a_fixed_encoder_is_in_evaluation_and_without_gradients():
    encoder = ConvBlock(4)
    fixed = Fixed(encoder).train()
    mean = encoder.norm.running_mean.clone()
    out = fixed(torch.randn(2, 4, 8, 8) + 2)
    assert not out.requires_grad
    assert torch.equal(encoder.norm.running_mean, mean)


@pytest.fixture
def earlier(nuclei, tmp_path):
    """A model file of weights to go on from."""
    state = Trainer(recipe_of(nuclei, tmp_path / "first", steps=1), CPU).model.state_dict()
    whole = {name: value.contiguous() for name, value in state.items()}
    save_file(whole, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


@pytest.mark.parametrize("frozen", ["freeze_norms", "freeze_encoder"])
def test_a_run_leaves_alone_what_its_recipe_freezes(frozen, earlier, nuclei, tmp_path):
    settings = OptimiserSection(lr=0.01, trunk_lr=0.01, warmup_steps=0, ema=0.0, **{frozen: True})
    recipe = recipe_of(nuclei, tmp_path / "run", steps=2, initial=earlier, optimiser=settings)
    trainer = Trainer(recipe, CPU)
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.run()
    kept = "image_encoder." if frozen == "freeze_encoder" else "running_"
    moved = {n for n, value in trainer.learnt.state_dict().items() if not value.equal(before[n])}
    assert moved
    assert not [name for name in moved if kept in name]
    assert any(name.startswith("sam_mask_decoder") for name in moved)
    assert any(name.startswith("image_encoder") for name in moved) == (frozen == "freeze_norms")


def test_only_what_was_taught_can_be_kept(nuclei, tmp_path):
    for name in ("freeze_norms", "freeze_encoder"):
        with pytest.raises(ValidationError, match=f"{name} keeps what earlier training gave"):
            recipe_of(nuclei, tmp_path / "run", optimiser=OptimiserSection(**{name: True}))
    with pytest.raises(ValidationError, match="leaves only maps to teach"):
        recipe_of(
            nuclei,
            tmp_path / "run",
            initial=tmp_path / "model.safetensors",
            losses=LossesSection(interactive=0, detection=0),
            optimiser=OptimiserSection(freeze_encoder=True),
        )
