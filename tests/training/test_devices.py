"""Training keeps its tensors on one device, checked without a second device.

`Elsewhere` is a CPU tensor that says it lies on another device and, like CUDA, refuses to meet
tensors that do not. What only CUDA's own kernels do cannot be seen this way.
"""

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from napari_uninuc.datasets.crops import finish_crop
from napari_uninuc.network.build import build_model
from napari_uninuc.network.config import configured, preset
from napari_uninuc.training.detection import detection_loss, maps_loss
from napari_uninuc.training.feed import on_device
from napari_uninuc.training.interactive import choose_targets, interactive_loss
from napari_uninuc.training.recipe import LossesSection, PromptsSection
from napari_uninuc.training.rollouts import STARTS, Rollouts

FAR = torch.device("xla")
"""A name torch knows and this machine does not have."""


class Elsewhere(torch.Tensor):
    """Lies on `FAR`, as far as anybody can tell."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if func == torch.Tensor.device.__get__:  # made anew at every look
            return FAR
        if func is torch.Tensor.numpy or name == "__array__":
            raise TypeError("can't convert a tensor elsewhere to numpy; copy it to the host first")
        if func is torch.Tensor.cpu:
            return args[0].as_subclass(torch.Tensor)
        by_number = func is torch.Tensor.__getitem__ and isinstance(args[0], Elsewhere)
        here = [
            x for x in tree_leaves((args, kwargs)) if type(x) in (torch.Tensor, torch.nn.Parameter)
        ]
        if any(x.ndim for x in here) and not by_number:
            raise RuntimeError(f"{name}: expected all tensors on one device, got {FAR} and cpu")
        return super().__torch_function__(func, types, args, kwargs)


class FarFactories(TorchFunctionMode):
    """Tensors made on, or moved to, `FAR` become `Elsewhere`."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if FAR not in [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.device)]:
            return func(*args, **kwargs)
        if func is torch.Tensor.to:
            return args[0].as_subclass(Elsewhere)
        args, kwargs = tree_map(_near, (args, kwargs))
        return func(*args, **kwargs).as_subclass(Elsewhere)


def _near(value):
    return torch.device("cpu") if isinstance(value, torch.device) and value == FAR else value


@pytest.fixture
def far():
    with FarFactories():
        yield FAR


def move(model: torch.nn.Module) -> torch.nn.Module:
    for module in model.modules():
        for name, value in list(module.named_parameters(recurse=False)):
            setattr(module, name, torch.nn.Parameter(value.detach().as_subclass(Elsewhere)))
        for name, value in list(module.named_buffers(recurse=False)):
            setattr(module, name, value.as_subclass(Elsewhere))
    return model


def crop_of(image):
    labels = np.zeros((128, 128), np.int32)
    labels[8:28, 6:30], labels[50:120, 40:110], labels[100:124, 2:20] = 1, 2, 3
    return finish_crop(image, labels, True, 12)


def losses_on(device, model):
    """Every part of a training step, as `Trainer` puts them together."""
    generator = torch.Generator().manual_seed(0)
    crops = [crop_of(torch.rand(3, 128, 128, generator=generator)) for _ in range(2)]
    images = torch.stack([crop.image for crop in crops]).to(device)
    crops = [on_device(crop, device) for crop in crops]
    embedding = model.encode(images)
    output = model.detect(embedding, groups=2)
    weights = LossesSection()
    total, _, proposals = detection_loss(output, crops, model.config.detector.block, weights)
    total = total + maps_loss(embedding.auxiliary, crops)
    settings = PromptsSection(corrections=2, mask_prompt_share=1.0)
    for target in choose_targets(crops, proposals, settings, [64, 128], 8, generator):
        loss, _ = interactive_loss(model, embedding, target, settings, generator)
        total = total + loss
    total.backward()
    return float(total.detach())


def test_the_check_finds_tensors_left_behind(far):
    there = torch.zeros(3, device=far)
    assert there.device == far
    assert (there + 1).device == far
    assert there.cpu().device == torch.device("cpu")
    with pytest.raises(RuntimeError, match="one device"):
        there + torch.zeros(3)
    with pytest.raises(RuntimeError, match="one device"):
        torch.where(torch.zeros(3) > 0, there, there)
    with pytest.raises(TypeError, match="numpy"):
        there.numpy()


def test_a_training_step_is_the_same_on_any_device(far):
    here = losses_on(torch.device("cpu"), build_model(preset("uninuc-n"), seed=0))
    model = move(build_model(preset("uninuc-n"), seed=0))
    assert losses_on(far, model) == pytest.approx(here, rel=1e-5)
    assert any(p.grad is not None for p in model.sam_mask_decoder.parameters())


def correcting() -> torch.nn.Module:
    return build_model(configured("uninuc-n", ["nucleus"], correction=True), seed=0).eval()


def rows_on(device, model, start):
    """What the correction is taught on, as `CorrectionTrainer` gathers it."""
    generator = torch.Generator().manual_seed(0)
    crops = [on_device(crop_of(torch.rand(3, 128, 128, generator=generator)), device)]
    with torch.no_grad():
        embedding = model.encode(crops[0].image[None].to(device), detection=False)
    targets = choose_targets(
        crops, [crops[0].boxes_xyxy], PromptsSection(), [64, 128], 8, generator
    )
    rollouts = Rollouts(model, 2, False, 30, 0.1, torch.no_grad, generator)
    return rollouts.rows(embedding, targets[0], start)


@pytest.mark.parametrize("start", STARTS)
def test_a_correction_is_taught_the_same_on_any_device(far, start):
    rows, log = rows_on(torch.device("cpu"), correcting(), start)
    there, far_log = rows_on(far, move(correcting()), start)
    assert far_log == pytest.approx(log, abs=1e-4)
    assert all(type(column) is torch.Tensor for column in there)
    for column, other in zip(rows, there, strict=True):
        torch.testing.assert_close(other, column, atol=2e-2, rtol=0)
