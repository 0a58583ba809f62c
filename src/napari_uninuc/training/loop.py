"""The training run: crops in, weights and a log out; resumable at any checkpoint."""

from __future__ import annotations

import time

import torch
from torch.nn.utils import clip_grad_norm_

from napari_uninuc.datasets.crops import Crop
from napari_uninuc.errors import RecipeError
from napari_uninuc.network.config import PyramidConfig, preset
from napari_uninuc.network.uninuc import UniNuc
from napari_uninuc.training.detection import boxes_found, detection_loss, maps_loss
from napari_uninuc.training.feed import batches, images_of, on_device, window_sides
from napari_uninuc.training.freezing import Fixed, freeze_early, freeze_norms
from napari_uninuc.training.initialise import starting_model
from napari_uninuc.training.interactive import choose_targets, interactive_loss
from napari_uninuc.training.log import LOG_NAME, Progress, RunLog, forget_after
from napari_uninuc.training.optim import (
    MovingAverage,
    build_optimiser,
    load_moments,
    rate_at,
)
from napari_uninuc.training.ranks import ALONE, Ranks
from napari_uninuc.training.recipe import TrainRecipe
from napari_uninuc.training.state import checked_time, resuming, save_state

_SEED_STEP = 7919
"""Between the seeds of two processes' clicks."""


class Trainer:
    """Holds everything a run changes; `run` moves it to the recipe's last step.

    Parameters
    ----------
    resume : go on from the output folder's checkpoint
    smoke : the recipe was made small, and its few pictures may lack a class
    ranks : the processes that share the run; they must have joined

    Raises
    ------
    RecipeError, CheckpointError
        Nothing that the architecture could be taught; weights or a checkpoint that do not fit.
    """

    def __init__(
        self,
        recipe: TrainRecipe,
        device: torch.device,
        *,
        resume: bool = False,
        smoke: bool = False,
        ranks: Ranks = ALONE,
    ) -> None:
        self.recipe, self.device, self.smoke, self.ranks = recipe, device, smoke, ranks
        _require_teachable(recipe)
        self.began = starting_model(recipe)
        self.model = self.began.model
        if self.model.correction is not None:
            self.model.correction.requires_grad_(False)  # taught by a recipe of its own
        self.model.to(memory_format=torch.channels_last).to(device)
        freeze_early(self.model, recipe.optimiser.freeze_early_blocks)
        self.fixed = Fixed(self.model.image_encoder) if recipe.optimiser.freeze_encoder else None
        self.optimiser = build_optimiser(self.model, recipe.optimiser)
        self.full_rates = [group["lr"] for group in self.optimiser.param_groups]
        self.average = MovingAverage(self.model, recipe.optimiser.ema)
        if recipe.optimiser.freeze_norms:
            freeze_norms(self.model)
        self.generator = torch.Generator().manual_seed(recipe.seed + _SEED_STEP * ranks.rank)
        self.step, self.seconds = 0, 0.0
        self.output = recipe.output
        self.output.mkdir(parents=True, exist_ok=True)
        if resume:
            self._resume()

    @property
    def learnt(self) -> UniNuc:
        """What is to be kept: the moving average of the weights."""
        return self.average.model

    def run(self, progress: Progress | None = None) -> None:
        """Train to the last step, writing ``log.csv`` and ``checkpoint.pt`` on the way."""
        recipe = self.recipe
        writes = self.ranks.is_first
        if writes:
            forget_after(self.output / LOG_NAME, self.step)
        told = RunLog(self.output / LOG_NAME if writes else None, recipe.steps, progress)
        began = time.perf_counter() - self.seconds
        for parts in batches(recipe, self.step, smoke=self.smoke, ranks=self.ranks):
            log = self._update(parts)
            self.step += 1
            self.seconds = time.perf_counter() - began
            told.note(self.step, self.seconds, log)
            if self.step % recipe.checkpoint_every == 0 or self.step == recipe.steps:
                self._save()

    def _update(self, parts: list[list[Crop]]) -> dict[str, float]:
        """Make one step down from the gradients of some batches, and of the other processes'."""
        recipe = self.recipe
        schedule = recipe.optimiser
        share = rate_at(self.step, recipe.steps, schedule.warmup_steps, schedule.decay_share)
        for group, rate in zip(self.optimiser.param_groups, self.full_rates, strict=True):
            group["lr"] = rate * share
        self.model.train()
        self.optimiser.zero_grad(set_to_none=True)
        logs: list[dict[str, float]] = []
        for crops in parts:
            loss, log = self._loss(crops)
            if (
                loss.requires_grad
            ):  # glass, or pictures that are labelled in part, may teach nothing
                (loss / recipe.crops.accumulate).backward()
            logs.append({"loss": float(loss.detach()), **log})
        self.ranks.add_up(self.model.parameters())
        norm = clip_grad_norm_(self.model.parameters(), recipe.optimiser.clip)
        if torch.isfinite(norm):
            self.optimiser.step()
        self.average.update(self.model, self.step)
        return {**_mean(logs), "grad": float(norm), "rate": share}

    def _loss(self, crops: list[Crop]) -> tuple[torch.Tensor, dict[str, float]]:
        recipe, config, weights = self.recipe, self.model.config, self.recipe.losses
        images = images_of(crops, config, self.device)
        crops = [on_device(crop, self.device) for crop in crops]
        low = recipe.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=low):
            embedding = self.model.encode(
                images,
                detection=weights.detection > 0 or self.model.detector_backbone is None,
                encoder=self.fixed,
            )
        total, log = images.new_zeros(()), dict[str, float]()
        proposals = [crop.boxes_xyxy for crop in crops]
        if weights.detection > 0:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=low):
                output = self.model.detect(embedding, groups=config.detector.groups)
            detection, log, proposals = detection_loss(
                output, crops, config.detector.block, weights
            )
            total = weights.detection * detection
        elif weights.interactive > 0 and embedding.detection:
            with torch.no_grad(), torch.autocast(self.device.type, torch.bfloat16, enabled=low):
                proposals = boxes_found(self.model.detect(embedding), crops, config.detector.block)
        if embedding.auxiliary is not None and weights.maps > 0:
            maps = maps_loss(embedding.auxiliary, crops)
            log["maps"] = float(maps.detach())
            total = total + weights.maps * maps
        if weights.interactive == 0:
            return total, log
        settings = recipe.prompts
        sides = window_sides(config.mask.window or recipe.crops.size, recipe.crops.size)
        targets = choose_targets(
            crops, proposals, settings, sides, config.coarse_stride, self.generator
        )
        count = sum(len(target.truth) for target in targets)
        for target in targets:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=low):
                loss, part = interactive_loss(
                    self.model, embedding, target, settings, self.generator
                )
            total = total + weights.interactive * loss * (len(target.truth) / count)
            if target.side == sides[0]:
                log.update(mask=float(loss.detach()), **part)
        return total, log

    def _save(self) -> None:
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "model": self.model.state_dict(),
            "average": self.average.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "generators": self.ranks.gathered(self.generator.get_state()),
        }
        if self.ranks.is_first:
            save_state(self.output, state)

    def _resume(self) -> None:
        with resuming(self.output, self.device, self.recipe.steps) as state:
            self.step, self.seconds = checked_time(state["step"], state["seconds"])
            self.model.load_state_dict(state["model"])
            self.average.model.load_state_dict(state["average"])
            load_moments(self.optimiser, state["optimiser"])
            if len(state["generators"]) != self.ranks.count:
                raise ValueError(f"it is of {len(state['generators'])} processes")
            self.generator.set_state(state["generators"][self.ranks.rank].cpu())


def _require_teachable(recipe: TrainRecipe) -> None:
    """Refuse to teach maps alone to an architecture without them."""
    losses, encoder = recipe.losses, preset(recipe.architecture).encoder
    if losses.interactive + losses.detection == 0 and not isinstance(encoder, PyramidConfig):
        raise RecipeError(
            f"losses: {recipe.architecture} has no maps to teach; expected interactive or "
            "detection above 0, got 0"
        )


def _mean(logs: list[dict[str, float]]) -> dict[str, float]:
    """The mean of each value over the batches that have it, in order of appearance."""
    names = dict.fromkeys(name for log in logs for name in log)
    values = {name: [log[name] for log in logs if name in log] for name in names}
    return {name: sum(some) / len(some) for name, some in values.items()}
