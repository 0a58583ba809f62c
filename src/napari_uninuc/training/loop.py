"""The training run: crops in, weights and a log out; resumable at any checkpoint."""

from __future__ import annotations

import math
import pickle
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch.nn.utils import clip_grad_norm_
from torch.utils.data import DataLoader, Dataset

from napari_uninuc.datasets.crops import Crop, CropSource, CropStream
from napari_uninuc.datasets.recipes import DatasetSpec
from napari_uninuc.errors import CheckpointError, RecipeError
from napari_uninuc.network.build import build_model, configured
from napari_uninuc.network.language import LanguagePrior, language_prior
from napari_uninuc.training.detection import DetectionWeights, detection_loss, maps_loss
from napari_uninuc.training.initialise import initialise
from napari_uninuc.training.interactive import (
    PromptSettings,
    choose_targets,
    interactive_loss,
)
from napari_uninuc.training.log import LOG_NAME, append_to_log, forget_after
from napari_uninuc.training.optim import (
    MovingAverage,
    build_optimiser,
    freeze_early,
    load_moments,
    rate_at,
)
from napari_uninuc.training.recipe import TrainRecipe

_DAMAGED = (
    *(pickle.UnpicklingError, EOFError, RuntimeError, LookupError, ValueError, OSError),
    *(TypeError, AttributeError, ArithmeticError, AssertionError),
)
"""What PyTorch raises for files that are no checkpoint, or another one."""

Progress = Callable[[int, int, dict[str, float]], None]
"""Called after each step with (steps done, steps in all, smoothed log values)."""


class _CropDataset(Dataset[Crop]):
    """Crops ``first`` to ``last`` of a stream, for a loader process."""

    def __init__(self, stream: CropStream, first: int, last: int) -> None:
        self.stream, self.first, self.last = stream, first, last

    def __len__(self) -> int:
        return self.last - self.first

    def __getitem__(self, index: int) -> Crop:
        return self.stream.crop(self.first + index)


class Trainer:
    """Holds everything a run changes; `run` moves it to the recipe's last step.

    Parameters
    ----------
    resume : go on from the output folder's checkpoint
    smoke : the recipe was made small, and its few pictures may lack a class
    """

    def __init__(
        self,
        recipe: TrainRecipe,
        device: torch.device,
        *,
        resume: bool = False,
        smoke: bool = False,
    ) -> None:
        self.recipe, self.device, self.smoke = recipe, device, smoke
        self.prior = _prior_of(recipe)
        shape = None if self.prior is None else self.prior.shape
        torch.manual_seed(recipe.seed)
        self.model = build_model(configured(recipe.architecture, recipe.classes, shape))
        self.start = initialise(self.model, recipe.initial)
        if self.prior is not None:
            self.model.detector.prior.copy_(self.prior.vectors)
        self.model.to(memory_format=torch.channels_last).to(device)
        freeze_early(self.model, recipe.optimiser.freeze_early_blocks)
        self.optimiser = build_optimiser(self.model, recipe.optimiser)
        self.full_rates = [group["lr"] for group in self.optimiser.param_groups]
        self.average = MovingAverage(self.model, recipe.optimiser.ema)
        self.generator = torch.Generator().manual_seed(recipe.seed)
        self.step, self.seconds = 0, 0.0
        self.output = recipe.output
        self.output.mkdir(parents=True, exist_ok=True)
        if resume:
            self._resume()

    def run(self, progress: Progress | None = None) -> None:
        """Train to the last step, writing ``log.csv`` and ``checkpoint.pt`` on the way."""
        recipe = self.recipe
        forget_after(self.output / LOG_NAME, self.step)
        smooth: dict[str, float] = {}
        began = time.perf_counter() - self.seconds
        for crops in self._batches():
            log = self._update(crops)
            self.step += 1
            self.seconds = time.perf_counter() - began
            for key, value in log.items():
                smooth[key] = 0.95 * smooth.get(key, value) + 0.05 * value
            if progress is not None:
                progress(self.step, recipe.steps, smooth)
            if self.step % 20 == 0 or self.step == recipe.steps:
                append_to_log(self.output / LOG_NAME, self.step, self.seconds, smooth)
            if self.step % recipe.checkpoint_every == 0 or self.step == recipe.steps:
                self._save()

    def _batches(self) -> Iterator[list[Crop]]:
        recipe = self.recipe
        stream = CropStream(
            _load_sources(recipe, every_class=not self.smoke),
            size=recipe.crops.size,
            mpp=recipe.crops.mpp,
            zoom=recipe.crops.zoom,
            seed=recipe.seed,
            classes=recipe.classes,
        )
        batch = recipe.crops.batch
        crops = _CropDataset(stream, self.step * batch, recipe.steps * batch)
        yield from DataLoader(
            crops, batch_size=batch, num_workers=recipe.crops.workers, collate_fn=list
        )

    def _update(self, crops: list[Crop]) -> dict[str, float]:
        recipe = self.recipe
        schedule = recipe.optimiser
        share = rate_at(self.step, recipe.steps, schedule.warmup_steps, schedule.decay_share)
        for group, rate in zip(self.optimiser.param_groups, self.full_rates, strict=True):
            group["lr"] = rate * share
        self.model.train()
        loss, log = self._loss(crops)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = clip_grad_norm_(self.model.parameters(), recipe.optimiser.clip)
        if torch.isfinite(norm):
            self.optimiser.step()
        self.average.update(self.model, self.step)
        return {"loss": float(loss.detach()), **log, "grad": float(norm), "rate": share}

    def _loss(self, crops: list[Crop]) -> tuple[torch.Tensor, dict[str, float]]:
        recipe, config, weights = self.recipe, self.model.config, self.recipe.losses
        mean = torch.tensor(config.mean).view(3, 1, 1)
        std = torch.tensor(config.std).view(3, 1, 1)
        images = torch.stack([(crop.image - mean) / std for crop in crops]).to(self.device)
        images = images.contiguous(memory_format=torch.channels_last)
        crops = [_on_device(crop, self.device) for crop in crops]
        low = recipe.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=low):
            embedding = self.model.encode(images)
            output = self.model.detect(embedding, groups=config.detector.groups)
        detection, log, proposals = detection_loss(
            output,
            crops,
            config.detector.block,
            DetectionWeights(weights.classification, weights.giou, weights.l1),
        )
        total = weights.detection * detection
        if embedding.auxiliary is not None:
            maps = maps_loss(embedding.auxiliary, crops)
            log["maps"] = float(maps.detach())
            total = total + weights.maps * maps
        if weights.interactive == 0:
            return total, log
        settings = PromptSettings(**recipe.prompts.model_dump())
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
            "generator": self.generator.get_state(),
        }
        partial = self.output / "checkpoint.pt.partial"
        torch.save(state, partial)
        partial.replace(self.output / "checkpoint.pt")

    def _resume(self) -> None:
        path = self.output / "checkpoint.pt"
        if not path.is_file():
            raise CheckpointError(f"{path}: nothing to resume; start without --resume")
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
            self.step, self.seconds = _checked_time(state["step"], state["seconds"])
            self.model.load_state_dict(state["model"])
            self.average.model.load_state_dict(state["average"])
            load_moments(self.optimiser, state["optimiser"])
            self.generator.set_state(state["generator"].cpu())
        except _DAMAGED as error:
            reason = " ".join(str(error).split())[:200]
            raise CheckpointError(
                f"{path}: no checkpoint of this recipe ({type(error).__name__}: {reason}); "
                "start without --resume in another output folder"
            ) from error
        if self.step > self.recipe.steps:
            raise CheckpointError(
                f"{path}: expected at most {self.recipe.steps} steps, as in the recipe, got "
                f"{self.step}; raise steps in the recipe"
            )


def _checked_time(step: object, seconds: object) -> tuple[int, float]:
    """Steps and seconds so far; ValueError where they cannot be."""
    if type(step) is not int or step < 0:
        raise ValueError("the number of steps is none")
    if not isinstance(seconds, float | int) or not 0 <= seconds < math.inf:
        raise ValueError("the seconds are none")
    return step, float(seconds)


def window_sides(smallest: int, largest: int) -> list[int]:
    """Decoding windows in input pixels: ``smallest`` doubled until ``largest``."""
    sides = [smallest]
    while sides[-1] * 2 <= largest:
        sides.append(sides[-1] * 2)
    return sides


def _prior_of(recipe: TrainRecipe) -> LanguagePrior | None:
    if recipe.language is None:
        return None
    return language_prior(recipe.classes, recipe.language.encoder, recipe.language.context)


def _load_sources(recipe: TrainRecipe, *, every_class: bool) -> list[CropSource]:
    """Read all tiles; RecipeError where one of several classes is nowhere and must be."""
    sources = [_load_source(spec) for spec in recipe.datasets]
    if every_class and len(recipe.classes) > 1:
        named = {
            name for one in sources for tile in one.tiles for name in (tile.classes or {}).values()
        }
        absent = [name for name in recipe.classes if name not in named]
        if absent:
            raise RecipeError(
                f"classes: expected names that the data sets use ({', '.join(sorted(named))}), "
                f"got {', '.join(absent)}; correct them"
            )
    return sources


def _load_source(spec: DatasetSpec) -> CropSource:
    tiles = [image.read(spec.mpp) for image in spec.images()]
    return CropSource(tiles, spec.weight, spec.exhaustive, spec.mpp)


def _on_device(crop: Crop, device: torch.device) -> Crop:
    return replace(
        crop,
        labels=crop.labels.to(device),
        boxes_xyxy=crop.boxes_xyxy.to(device),
        maps=crop.maps.to(device),
        classes=crop.classes.to(device),
    )
