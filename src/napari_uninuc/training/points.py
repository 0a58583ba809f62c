"""Teaching a decoder of next points on features that stay: by likeness, then by reward (NuNext).

A crop is encoded once and read in several windows. By likeness every window is one sequence; by
reward it is a group of samples, of which those better than their group become likelier.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_

from napari_uninuc.datasets.crops import Crop
from napari_uninuc.errors import RecipeError
from napari_uninuc.network.card import sha256_of
from napari_uninuc.network.config import PyramidConfig
from napari_uninuc.network.next_point import Memory, NextPointConfig, PointDecoder
from napari_uninuc.network.point_files import load_points
from napari_uninuc.network.point_tokens import PAD
from napari_uninuc.network.point_writing import PointWriter
from napari_uninuc.network.uninuc import Embedding, UniNuc
from napari_uninuc.network.windows import cut_windows
from napari_uninuc.training.feed import batches, images_of, on_device
from napari_uninuc.training.grpo import advantages, clipped_objective, shaped, varied
from napari_uninuc.training.initialise import starting_model
from napari_uninuc.training.log import LOG_NAME, Progress, RunLog, forget_after
from napari_uninuc.training.optim import MovingAverage, load_moments, rate_at
from napari_uninuc.training.point_losses import sequence_loss, soft_labels, thought_loss
from napari_uninuc.training.point_rewards import match_points, panoptic_of
from napari_uninuc.training.point_windows import (
    Windows,
    centroids_of,
    masks_at,
    stacked,
    token_hits,
)
from napari_uninuc.training.recipe import NextPointSection, ReinforcementSection, TrainRecipe
from napari_uninuc.training.state import checked_time, resuming, save_state

__all__ = ["PointTrainer"]

_THOUGHTS = 8
"""Windows of a batch whose foreground is painted: it costs as much as all the writing."""
_PARTS = 3
_LONGEST = 64
"""Points at which a sample is cut."""


class PointTrainer:
    """A `napari_uninuc.training.run.TrainingRun` of a recipe with ``next_point``.

    Parameters
    ----------
    settings : the recipe's ``next_point``

    Attributes
    ----------
    decoder : what is taught; ``kept`` is its moving average

    Raises
    ------
    RecipeError
        An architecture whose features it cannot read.
    CheckpointError
        Weights, a decoder or a checkpoint that do not fit.
    """

    def __init__(
        self,
        recipe: TrainRecipe,
        settings: NextPointSection,
        device: torch.device,
        *,
        resume: bool = False,
        smoke: bool = False,
    ) -> None:
        self.recipe, self.settings, self.device, self.smoke = recipe, settings, device, smoke
        self.began = starting_model(recipe)
        self.model = self.began.model
        self.config = _config(self.model, settings)
        self.model.to(memory_format=torch.channels_last).to(device)
        self.model.eval().requires_grad_(False)
        self.weights = sha256_of(recipe.initial) if isinstance(recipe.initial, Path) else ""
        torch.manual_seed(recipe.seed)
        self.decoder = self._first().to(device).train().requires_grad_(True)
        section = recipe.optimiser
        self.optimiser = torch.optim.AdamW(
            [
                {"params": [p for p in self.decoder.parameters() if (p.ndim > 1) == decays]}
                | {"weight_decay": section.weight_decay if decays else 0.0}
                for decays in (True, False)
            ],
            lr=section.lr,
        )
        self.average = MovingAverage(self.decoder, section.ema)
        self.soft = soft_labels(self.config.bins, settings.sigma).to(device)
        self.generator = torch.Generator(device).manual_seed(recipe.seed)
        self.step, self.seconds = 0, 0.0
        self.output = recipe.output
        self.output.mkdir(parents=True, exist_ok=True)
        if resume:
            self._resume()

    @property
    def learnt(self) -> UniNuc:
        """The network it reads, which is as it was."""
        return self.model

    @property
    def kept(self) -> PointDecoder:
        """The decoder to keep: the moving average."""
        return self.average.model

    def run(self, progress: Progress | None = None) -> None:
        """Train to the last step, writing ``log.csv`` and ``checkpoint.pt`` on the way."""
        recipe, log_path = self.recipe, self.output / LOG_NAME
        forget_after(log_path, self.step)
        told = RunLog(log_path, recipe.steps, progress)
        began = time.perf_counter() - self.seconds
        for (crops,) in batches(recipe, self.step, smoke=self.smoke):
            log = self._update(crops)
            self.step += 1
            self.seconds = time.perf_counter() - began
            told.note(self.step, self.seconds, log)
            if self.step % recipe.checkpoint_every == 0 or self.step == recipe.steps:
                self._save()

    def _first(self) -> PointDecoder:
        """A decoder to begin with: a new one, or an earlier one.

        Reward needs one of the same features; likeness teaches one of others to read these.
        """
        if self.settings.initial is None or (self.smoke and not self.settings.initial.is_file()):
            return PointDecoder(self.config)
        wanted = None if self.settings.reinforcement is None else self.weights or None
        decoder, note = load_points(self.settings.initial, wanted)
        if note.config != self.config:
            raise RecipeError(
                f"next_point: expected the sizes of {self.settings.initial}, got others; take "
                "window, margin, bins, dim, layers and latents from the recipe that made it"
            )
        return decoder

    def _update(self, crops: list[Crop]) -> dict[str, float]:
        section = self.recipe.optimiser
        rate = rate_at(self.step, self.recipe.steps, section.warmup_steps, section.decay_share)
        for group in self.optimiser.param_groups:
            group["lr"] = section.lr * rate
        crops = [on_device(crop, self.device) for crop in crops]
        with torch.no_grad():
            embedding = self.model.encode(images_of(crops, self.model.config, self.device))
        windows = self._draw(crops)
        if self.settings.reinforcement is None:
            log = self._by_likeness(embedding, windows, crops)
        else:
            log = self._by_reward(embedding, windows, crops, self.settings.reinforcement)
        self.average.update(self.decoder, self.step)
        return log

    def _descend(self, loss: Tensor) -> None:
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = clip_grad_norm_(self.decoder.parameters(), self.recipe.optimiser.clip)
        if torch.isfinite(norm):
            self.optimiser.step()

    def _draw(self, crops: Sequence[Crop]) -> Windows:
        """Draw windows; their margins may lie outside the crop, as those of a field do."""
        config, count = self.config, self.settings.windows_per_crop
        edge = config.margin // config.stride
        side = crops[0].labels.shape[-1] // config.stride
        n = len(crops) * count
        corners = torch.randint(
            -edge, side - config.cells + edge + 1, (n, 2), generator=self.generator,
            device=self.device,
        )  # fmt: skip
        index = torch.arange(len(crops), device=self.device).repeat_interleave(count)
        centres = [centroids_of(crop.labels) for crop in crops]
        points = []
        for k, corner in zip(index.tolist(), corners * config.stride, strict=True):
            local = centres[k] - corner
            inside = ((local > -0.5) & (local < config.window - 0.5)).all(dim=1)
            points.append(local[inside][: _LONGEST - 1])
        return Windows(index, corners, points)

    def _by_likeness(
        self, embedding: Embedding, windows: Windows, crops: Sequence[Crop]
    ) -> dict[str, float]:
        memory = self._remember(embedding, windows)
        total, told, thoughts = torch.zeros((), device=self.device), 0, []
        # Long sequences with long ones: what is padded is computed all the same.
        order = np.argsort([len(points) for points in windows.points_yx], kind="stable")
        for part in np.array_split(order, _PARTS):
            rows = torch.from_numpy(part).to(self.device)
            points = [windows.points_yx[row] for row in part]
            tokens = stacked(self.decoder.grammar, points, self.device)
            logits, latents = self.decoder(tokens, memory.take(rows))
            n = int((tokens != PAD).sum())
            total = total + n * sequence_loss(logits, tokens, self.decoder.grammar, self.soft)
            told += n
            thoughts.append((rows, latents))
        loss = total / told
        log = {"sequence": float(loss.detach())}
        if self.settings.thought > 0:
            rows = torch.cat([row for row, _ in thoughts])
            latents = torch.cat([each for _, each in thoughts])[torch.argsort(rows)]
            painted = self._thought(embedding, windows, latents, crops)
            if painted is not None:
                loss = loss + self.settings.thought * painted
                log["thought"] = float(painted.detach())
        self._descend(loss)
        return {"loss": float(loss.detach()), **log}

    def _remember(self, embedding: Embedding, windows: Windows) -> Memory:
        projected = self.decoder.project(embedding.detection, embedding.auxiliary)
        return self.decoder.remember(projected, windows.image_index, windows.corners_yx)

    def _thought(
        self, embedding: Embedding, windows: Windows, latents: Tensor, crops: Sequence[Crop]
    ) -> Tensor | None:
        """What the frozen mask decoder paints for latents, against all nuclei of a window."""
        cells, stride = self.config.cells, self.config.stride
        side = crops[0].labels.shape[-1] // stride
        whole = ((windows.corners_yx >= 0) & (windows.corners_yx + cells <= side)).all(dim=1)
        chosen = whole.nonzero()[:_THOUGHTS, 0]
        if len(chosen) == 0:
            return None
        index, corners = windows.image_index[chosen], windows.corners_yx[chosen]
        grid = (cells, cells)
        prompts, masks = self.model.sam_prompt_encoder, self.model.sam_mask_decoder
        logits, _ = masks.decode(
            cut_windows(embedding.maps, index, corners, grid),
            prompts.grid_position(grid),
            latents[chosen],
            prompts.dense(None, len(chosen), grid),
        )
        truth = []
        for k, (y, x) in zip(index.tolist(), (corners * stride).tolist(), strict=True):
            size = self.config.window
            nuclei = crops[k].labels[y : y + size, x : x + size] > 0
            truth.append(nuclei)
        height, width = logits.shape[-2:]
        fine = functional.adaptive_avg_pool2d(torch.stack(truth).float(), (height, width))
        return thought_loss(logits[:, 0].float(), fine)

    def _by_reward(
        self,
        embedding: Embedding,
        windows: Windows,
        crops: Sequence[Crop],
        settings: ReinforcementSection,
    ) -> dict[str, float]:
        group, n = settings.group, len(windows.points_yx)
        each = torch.arange(n, device=self.device).repeat_interleave(group)
        self.decoder.eval()
        with torch.no_grad():
            memory = self._remember(embedding, windows)
            written = PointWriter(self.decoder).write(
                memory.take(each),
                _LONGEST,
                temperature=settings.temperature,
                free=not settings.within_grammar,
                generator=self.generator,
            )
        self.decoder.train()
        tokens = written.tokens[:, : int((written.tokens != PAD).sum(dim=1).max())]
        rewards, hits = self._judge(tokens, embedding, windows, crops, settings)
        kept = varied(rewards, settings.least_deviation)
        log = {
            "loss": 0.0,
            "reward": float(rewards.mean()),
            "deviation": float(rewards.std(dim=1, correction=0).mean()),
            "kept": float(kept.float().mean()),
        }
        groups = kept.nonzero()[:, 0]
        if len(groups) == 0:
            return log
        rows = kept.repeat_interleave(group)
        tokens, hits = tokens[rows], hits[rows]
        gain = shaped(advantages(rewards)[groups].flatten(), hits, settings.shaping)[:, 1:]
        told = tokens[:, 1:] != PAD
        before: Tensor | None = None
        for _ in range(settings.passes):
            logits, _ = self.decoder(tokens, self._remember(embedding, windows).take(groups))
            logits = logits[:, :-1].float()
            if settings.within_grammar:
                logits = logits.masked_fill(~self.decoder.grammar.allowed(tokens), -torch.inf)
            chances = torch.log_softmax(logits / settings.temperature, dim=-1)
            said = chances.gather(2, tokens[:, 1:, None].clamp(min=0))[..., 0]
            log_p = torch.where(told, said, 0.0)
            before = log_p.detach() if before is None else before
            loss = -clipped_objective(log_p, before, gain, told, settings.clip)
            self._descend(loss)
        return log

    @torch.no_grad()
    def _judge(
        self,
        tokens: Tensor,
        embedding: Embedding,
        windows: Windows,
        crops: Sequence[Crop],
        settings: ReinforcementSection,
    ) -> tuple[Tensor, Tensor]:
        """Rewards (N, G) of samples (N G, L), and which of their tokens hit (N G, L)."""
        group = settings.group
        rewards = torch.zeros(len(tokens))
        hits = torch.zeros_like(tokens)
        boxes = None
        if settings.task > 0:
            boxes = self.model.detector.boxes_of_cells(embedding.detection)
        for row, said in enumerate(tokens.tolist()):
            parsed = self.decoder.grammar.parse(said)
            if not parsed.well_formed:
                continue  # the paper's format check: nothing for it
            window = row // group
            match = match_points(parsed.points_yx, windows.points_yx[window], settings.radius)
            rewards[row] = match.f1
            hits[row] = token_hits(match.hits, tokens.shape[1])
            if boxes is not None:
                task = self._task(parsed.points_yx, window, embedding, windows, crops, boxes)
                rewards[row] += settings.task * task
        return rewards.reshape(-1, group).to(self.device), hits

    def _task(
        self,
        points_yx: Tensor,
        window: int,
        embedding: Embedding,
        windows: Windows,
        crops: Sequence[Crop],
        boxes: Tensor,
    ) -> float:
        """Panoptic quality of the masks of a sample's points, prompted as in use."""
        k = int(windows.image_index[window])
        labels, stride = crops[k].labels, self.model.config.logit_stride
        corner = windows.corners_yx[window] * self.config.stride
        side = labels.shape[-1]
        places = (points_yx.to(self.device) + corner).clamp(0, side - 1)
        masks = masks_at(self.model, embedding, k, places, boxes)
        size = self.config.window
        y, x = (max(0, int(value)) for value in corner)
        seen = labels[y : int(corner[0]) + size, x : int(corner[1]) + size]
        seen = seen[stride // 2 :: stride, stride // 2 :: stride]
        names = torch.unique(seen)
        names = names[names > 0]
        truth = (seen[None] == names[:, None, None]).flatten(1).float()
        found = masks[:, y // stride :, x // stride :]
        found = found[:, : seen.shape[0], : seen.shape[1]].flatten(1).float()
        common = found @ truth.t()
        union = found.sum(1)[:, None] + truth.sum(1)[None] - common
        return panoptic_of((common / union.clamp(min=1)).cpu().numpy(), len(names))

    def _save(self) -> None:
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "decoder": self.decoder.state_dict(),
            "average": self.average.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "generator": self.generator.get_state(),
        }
        save_state(self.output, state)

    def _resume(self) -> None:
        with resuming(self.output, self.device, self.recipe.steps) as state:
            self.step, self.seconds = checked_time(state["step"], state["seconds"])
            self.decoder.load_state_dict(state["decoder"])
            self.average.model.load_state_dict(state["average"])
            load_moments(self.optimiser, state["optimiser"])
            self.generator.set_state(state["generator"].cpu())


def _config(model: UniNuc, settings: NextPointSection) -> NextPointConfig:
    """Sizes of a decoder that reads a model's features."""
    encoder = model.config.encoder
    if not isinstance(encoder, PyramidConfig):
        raise RecipeError(
            f"next_point: expected an architecture with dense maps (uninuc-n), got "
            f"{model.config.id}; use another"
        )
    stride = 2 * model.detector.stride
    wrong = [name for name in ("window", "margin") if getattr(settings, name) % stride]
    if wrong:
        raise RecipeError(f"next_point.{wrong[0]}: expected a multiple of {stride}; correct it")
    fine, middle, deep = model.image_encoder.detection_channels
    return NextPointConfig(
        channels=(fine, middle, deep),
        stride=stride,
        window=settings.window,
        margin=settings.margin,
        bins=settings.bins,
        dim=settings.dim,
        mlp_dim=4 * settings.dim,
        layers=settings.layers,
        latents=settings.latents,
        prompt_dim=model.config.mask.dim,
    )
