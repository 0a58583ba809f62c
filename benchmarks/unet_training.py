"""Teaching the U-Net: data and crops of the bundled model, losses of its own."""

from __future__ import annotations

import time
from collections.abc import Sequence

import click
import torch
from torch import Tensor
from torch.nn import functional
from unet_network import UNet

from napari_uninuc.datasets.crops import Crop
from napari_uninuc.training.feed import batches
from napari_uninuc.training.log import LOG_NAME, append_to_log, forget_after
from napari_uninuc.training.optim import MovingAverage, load_moments, rate_at
from napari_uninuc.training.recipe import TrainRecipe
from napari_uninuc.training.state import CHECKPOINT_NAME, checked_time, resuming, save_state

__all__ = ["normalised", "teach"]

_RATE, _DECAY, _WARMUP, _AVERAGE, _CLIP = 2e-3, 0.05, 100, 0.998, 1.0
_LOG_EVERY, _SAVE_EVERY = 20, 250


def teach(recipe: TrainRecipe) -> UNet:
    """Teach to the recipe's last step, from its checkpoint where there is one.

    Parameters
    ----------
    recipe : data, crops, steps, seed and output; the rest of it is of another architecture

    Returns
    -------
    learnt : moving average of the weights, for evaluation
    """
    torch.manual_seed(recipe.seed)
    model = UNet().to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(model.parameters(), _RATE, weight_decay=_DECAY)
    average = MovingAverage(model, _AVERAGE)
    step, before = 0, 0.0
    output = recipe.output
    output.mkdir(parents=True, exist_ok=True)
    if (output / CHECKPOINT_NAME).exists():
        with resuming(output, torch.device("cpu"), recipe.steps) as state:
            step, before = checked_time(state["step"], state["seconds"])
            model.load_state_dict(state["model"])
            average.model.load_state_dict(state["average"])
            load_moments(optimiser, state["optimiser"])
    forget_after(output / LOG_NAME, step)
    began = time.perf_counter() - before
    for (crops,) in batches(recipe, step, smoke=False):
        for group in optimiser.param_groups:
            group["lr"] = _RATE * rate_at(step, recipe.steps, _WARMUP)
        log = _update(model, optimiser, crops)
        average.update(model, step)
        step += 1
        seconds = time.perf_counter() - began
        if step % _LOG_EVERY == 0 or step == recipe.steps:
            append_to_log(output / LOG_NAME, step, seconds, log)
        if step % _SAVE_EVERY == 0 or step == recipe.steps:
            state = {
                "step": step,
                "seconds": seconds,
                "model": model.state_dict(),
                "average": average.model.state_dict(),
                "optimiser": optimiser.state_dict(),
            }
            save_state(output, state)
            click.echo(f"{step}/{recipe.steps} {seconds:.0f} s {log}", err=True)
    return average.model


def _update(
    model: UNet, optimiser: torch.optim.Optimizer, crops: Sequence[Crop]
) -> dict[str, float]:
    """Make one step down; the losses before it."""
    model.train()
    optimiser.zero_grad(set_to_none=True)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(normalised(torch.stack([crop.image for crop in crops])))
    parts = losses(logits.float(), crops)
    torch.stack(list(parts.values())).sum().backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), _CLIP)
    optimiser.step()
    return {name: float(loss.detach()) for name, loss in parts.items()}


def normalised(images: Tensor) -> Tensor:
    """(B, 3, H, W) in [0, 1] to what the network takes."""
    return ((images - 0.5) / 0.25).contiguous(memory_format=torch.channels_last)


def losses(logits: Tensor, crops: Sequence[Crop]) -> dict[str, Tensor]:
    """Cross entropy of the three maps, and Dice of the first.

    Where not every nucleus of a crop is labelled, what is not labelled is not judged.

    Parameters
    ----------
    logits : (B, 3, S, S) float32
    crops : B of them
    """
    maps = torch.stack([crop.maps for crop in crops])
    judged = torch.stack(
        [torch.ones_like(crop.maps[0]) if crop.exhaustive else crop.maps[0] for crop in crops]
    )[:, None]
    entropy = functional.binary_cross_entropy_with_logits(logits, maps, reduction="none")
    nucleus, distance, contact = ((entropy * judged).sum((0, 2, 3)) / judged.sum()).unbind()
    found, truth = torch.sigmoid(logits[:, :1]) * judged, maps[:, :1]
    both = (found * truth).sum((1, 2, 3))
    dice = 1 - (2 * both + 1) / (found.sum((1, 2, 3)) + truth.sum((1, 2, 3)) + 1)
    return {"nucleus": nucleus, "dice": dice.mean(), "distance": distance, "contact": contact}
