"""Teaching the correction alone: click through many nuclei, fit it to what was met, repeat.

All other weights stay. In each round simulated people click with what the round before has taught,
so that the correction sees the errors it makes itself; then it is fitted anew to the pixels of this
round and the one before. Fitting takes seconds, clicking minutes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor
from torch.nn import functional

from napari_uninuc.datasets.crops import Crop
from napari_uninuc.errors import RecipeError
from napari_uninuc.network.config import preset
from napari_uninuc.network.correction import Correction
from napari_uninuc.network.uninuc import UniNuc
from napari_uninuc.training.feed import batches, images_of, on_device, window_sides
from napari_uninuc.training.initialise import starting_model
from napari_uninuc.training.interactive import choose_targets
from napari_uninuc.training.log import LOG_NAME, Progress, append_to_log, forget_after
from napari_uninuc.training.recipe import CorrectionsSection, OptimiserSection, TrainRecipe
from napari_uninuc.training.rollouts import STARTS, Rollouts, Rows, Start
from napari_uninuc.training.state import checked_time, resuming, save_state
from napari_uninuc.training.tuning import logit_shift_of

__all__ = ["CorrectionTrainer", "fit_correction"]

_LEAST_SPREAD = 0.05
"""Of a feature that hardly varies."""
_WARMUP_SHARE = 0.1


class CorrectionTrainer:
    """A `napari_uninuc.training.run.TrainingRun` of a recipe with ``corrections``.

    Parameters
    ----------
    settings : the recipe's ``corrections``

    Raises
    ------
    RecipeError
        An architecture without local refinement, which has no use for a correction.
    """

    def __init__(
        self,
        recipe: TrainRecipe,
        settings: CorrectionsSection,
        device: torch.device,
        *,
        resume: bool = False,
        smoke: bool = False,
    ) -> None:
        self.recipe, self.settings, self.device, self.smoke = recipe, settings, device, smoke
        if preset(recipe.architecture).mask.refine_width is None:
            raise RecipeError(
                f"corrections: expected an architecture that draws clicks (uninuc-n), got "
                f"{recipe.architecture}; remove the section"
            )
        self.began = starting_model(recipe)
        self.model = self.began.model
        self.model.correction = self.correction = self.model.correction or Correction()
        self.logit_shift = logit_shift_of(recipe, self.began.earlier)
        self.model.to(memory_format=torch.channels_last).to(device)
        self.model.eval().requires_grad_(False)
        self.generator = torch.Generator().manual_seed(recipe.seed)
        self.step, self.seconds = 0, 0.0
        self._rows: list[Rows] = []
        self._earlier = Rows.join([])
        self.output = recipe.output
        self.output.mkdir(parents=True, exist_ok=True)
        if resume:
            self._resume()

    @property
    def learnt(self) -> UniNuc:
        """The network it began with, and the correction."""
        return self.model

    def run(self, progress: Progress | None = None) -> None:
        """Click and fit to the last step, writing ``log.csv`` and ``checkpoint.pt`` on the way."""
        recipe, log_path = self.recipe, self.output / LOG_NAME
        forget_after(log_path, self.step)
        began = time.perf_counter() - self.seconds
        for parts in batches(recipe, self.step, smoke=self.smoke):
            for crops in parts:
                log = self._click(crops)
            self.step += 1
            ends = self._round_of(self.step) > self._round_of(self.step - 1)
            if ends:
                log["bce"] = self._fit()
            self.seconds = time.perf_counter() - began
            if progress is not None:
                progress(self.step, recipe.steps, log)
            if ends or self.step % 20 == 0:
                append_to_log(log_path, self.step, self.seconds, {"bce": float("nan"), **log})
            if ends or self.step % recipe.checkpoint_every == 0:
                self._save()

    def _round_of(self, step: int) -> int:
        return step * self.settings.rounds // self.recipe.steps

    def _click(self, crops: Sequence[Crop]) -> dict[str, float]:
        """Click on nuclei of a batch of crops, and keep the rows."""
        config, settings = self.model.config, self.recipe.prompts
        crops = [on_device(crop, self.device) for crop in crops]
        with torch.no_grad(), self._precision():
            embedding = self.model.encode(images_of(crops, config, self.device), detection=False)
        boxes = [crop.boxes_xyxy for crop in crops]
        sides = window_sides(config.mask.window or self.recipe.crops.size, self.recipe.crops.size)
        by_hand = self._lot() < self.settings.by_hand
        start = self._draw_start(by_hand)
        rollouts = Rollouts(
            self.model,
            settings.corrections,
            by_hand,
            self.settings.cells_per_answer,
            self.logit_shift,
            self._precision,
            self.generator,
            settings.box_jitter,
        )
        logs: list[dict[str, float]] = []
        for targets in choose_targets(
            crops, boxes, settings, sides, config.coarse_stride, self.generator
        ):
            rows, part = rollouts.rows(embedding, targets, start)
            self._rows.append(rows)
            logs.append(part)
        # Of the smallest windows, which most nuclei have; crops may hold no nucleus at all.
        return logs[0] if logs else {"iou_first": float("nan"), "iou_last": float("nan")}

    def _precision(self) -> AbstractContextManager[object]:
        low = self.recipe.precision == "bfloat16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=low)

    def _draw_start(self, by_hand: bool) -> Start:
        """Draw what people begin with; by hand no box is exact, and there is an outline instead."""
        shares = torch.tensor([getattr(self.settings, name) for name in STARTS])
        start = STARTS[int(torch.multinomial(shares.float(), 1, generator=self.generator))]
        return "outline" if by_hand and start == "tight_box" else start

    def _lot(self) -> float:
        return torch.rand(1, generator=self.generator).item()

    def _fit(self) -> float:
        """Teach the correction anew; its mean binary cross-entropy on held-out rows."""
        rows = Rows.join(self._rows)
        self.correction, loss = fit_correction(
            Rows.join([self._earlier, rows]),
            self.settings,
            self.recipe.optimiser,
            self.device,
            self.generator,
        )
        self.model.correction = self.correction.eval().requires_grad_(False)
        self._earlier, self._rows = rows, []
        return loss

    def _save(self) -> None:
        self._rows = [Rows.join(self._rows)]
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "correction": self.correction.state_dict(),
            "rows": tuple(self._rows[0]),
            "earlier": tuple(self._earlier),
            "generator": self.generator.get_state(),
        }
        save_state(self.output, state)

    def _resume(self) -> None:
        with resuming(self.output, self.device, self.recipe.steps) as state:
            self.step, self.seconds = checked_time(state["step"], state["seconds"])
            self.correction.load_state_dict(state["correction"])
            self._rows = [Rows(*(column.cpu() for column in state["rows"]))]
            self._earlier = Rows(*(column.cpu() for column in state["earlier"]))
            self.generator.set_state(state["generator"].cpu())


def fit_correction(
    rows: Rows,
    settings: CorrectionsSection,
    optimiser: OptimiserSection,
    device: torch.device,
    generator: torch.Generator,
) -> tuple[Correction, float]:
    """Fit a new correction to rows by binary cross-entropy.

    Returns
    -------
    correction, loss
        The loss is the mean over a twentieth of the rows, which it was not fitted to.

    Raises
    ------
    RecipeError
        No rows.
    """
    n = len(rows.truth)
    if n < 2:
        raise RecipeError(
            "datasets: expected nuclei to click on, got none in all crops of a round; "
            "raise steps or check the labels"
        )
    with torch.random.fork_rng():
        torch.manual_seed(int(torch.randint(2**31, (1,), generator=generator)))
        correction = Correction().to(device)
    order = torch.randperm(n, generator=generator)
    held, order = order[: max(1, n // 20)], order[n // 20 :]
    some = rows.features[order[:300_000]].float()
    correction.mean.copy_(some.mean(dim=0))
    correction.spread.copy_(some.std(dim=0, unbiased=False).clamp(min=_LEAST_SPREAD))
    batch = min(settings.batch, len(order))
    steps = settings.epochs * (len(order) // batch)
    descent = torch.optim.AdamW(
        correction.parameters(), optimiser.lr, weight_decay=optimiser.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        descent, optimiser.lr, total_steps=max(steps, 2), pct_start=_WARMUP_SHARE
    )

    def loss_of(index: Tensor) -> Tensor:
        features, truth, before, answer = (column[index].to(device) for column in rows)
        corrected = correction(features, before, answer)
        return functional.binary_cross_entropy_with_logits(corrected, truth)

    for _ in range(settings.epochs):
        shuffled = order[torch.randperm(len(order), generator=generator)]
        for k in range(len(order) // batch):
            loss = loss_of(shuffled[k * batch : (k + 1) * batch])
            descent.zero_grad()
            loss.backward()
            descent.step()
            schedule.step()
    with torch.no_grad():
        return correction, float(loss_of(held))
