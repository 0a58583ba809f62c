"""Teaching a dense decoder: on features that stay, encoded once, or with the encoder.

PathoSAM's four strategies (sec. 2.4) are two switches: ``teach_encoder``, and ``initial``, a
decoder that was taught distances before.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_

from napari_uninuc.core.names import ALSO, NUCLEUS, Name
from napari_uninuc.network.card import sha256_of
from napari_uninuc.network.dense_decoder import (
    DenseConfig,
    DenseDecoder,
    DensePixels,
    config_for,
    paint,
)
from napari_uninuc.network.dense_files import load_dense
from napari_uninuc.network.language import text_vectors
from napari_uninuc.network.uninuc import UniNuc
from napari_uninuc.network.words import Words, WordsConfig
from napari_uninuc.training.dense_losses import (
    IGNORED,
    distance_loss,
    semantic_loss,
    words_loss,
)
from napari_uninuc.training.dense_pool import (
    Sample,
    drawn_samples,
    encoded,
    sampling_weights,
    stacked_levels,
)
from napari_uninuc.training.initialise import starting_model
from napari_uninuc.training.log import LOG_NAME, Progress, RunLog, forget_after
from napari_uninuc.training.optim import MovingAverage, load_moments, rate_at
from napari_uninuc.training.recipe import DenseSection, TrainRecipe
from napari_uninuc.training.state import checked_time, resuming, save_state

__all__ = ["DenseTrainer", "Texts"]

_WITHOUT_REGION = 0.3
"""How often a text says no region, so that none is needed later."""


class DenseTrainer:
    """A `napari_uninuc.training.run.TrainingRun` of a recipe with ``dense``.

    Parameters
    ----------
    settings : the recipe's ``dense``

    Attributes
    ----------
    decoder : what is taught; ``kept`` is its moving average
    texts : what can be asked for by name; nothing without words

    Raises
    ------
    CheckpointError
        Weights, a decoder, a text encoder or a checkpoint that do not fit or are not there.
    """

    def __init__(
        self,
        recipe: TrainRecipe,
        settings: DenseSection,
        device: torch.device,
        *,
        resume: bool = False,
        smoke: bool = False,
    ) -> None:
        self.recipe, self.settings, self.device, self.smoke = recipe, settings, device, smoke
        self.began = starting_model(recipe)
        self.model = self.began.model
        self.model.to(memory_format=torch.channels_last).to(device)
        self.model.eval().requires_grad_(False)
        self.weights = sha256_of(recipe.initial) if isinstance(recipe.initial, Path) else ""
        torch.manual_seed(recipe.seed)
        self.samples = drawn_samples(recipe, settings, self.model, device, smoke=smoke)
        self.odds = sampling_weights(self.samples, settings.oversampling)
        self.texts = Texts.of(recipe, settings, self.samples)
        config = self._config()
        self.decoder = self._first(config).to(device).train()
        learns: dict[str, nn.Module] = {"decoder": self.decoder}
        if settings.teach_encoder:
            learns["encoder"] = self.model.image_encoder.requires_grad_(True)
        self.learning = nn.ModuleDict(learns)
        self.optimiser = _optimiser(self.learning, recipe)
        self.full_rates = [group["lr"] for group in self.optimiser.param_groups]
        self.average = MovingAverage(self.learning, recipe.optimiser.ema)
        self.generator = torch.Generator().manual_seed(recipe.seed)
        self.step, self.seconds = 0, 0.0
        self.output = recipe.output
        self.output.mkdir(parents=True, exist_ok=True)
        if resume:
            self._resume()

    @property
    def learnt(self) -> UniNuc:
        """The network, with the encoder that was taught, if any."""
        if not self.settings.teach_encoder:
            return self.model
        whole = copy.deepcopy(self.model)
        whole.image_encoder.load_state_dict(self.average.model["encoder"].state_dict())
        return whole

    @property
    def kept(self) -> DenseDecoder:
        """The decoder to keep: the moving average."""
        return cast(DenseDecoder, self.average.model["decoder"])

    def run(self, progress: Progress | None = None) -> None:
        """Train to the last step, writing ``log.csv`` and ``checkpoint.pt`` on the way."""
        recipe, log_path = self.recipe, self.output / LOG_NAME
        forget_after(log_path, self.step)
        told = RunLog(log_path, recipe.steps, progress)
        began = time.perf_counter() - self.seconds
        while self.step < recipe.steps:
            chosen = torch.multinomial(
                self.odds, recipe.crops.batch, replacement=True, generator=self.generator
            )
            log = self._update([self.samples[k] for k in chosen.tolist()])
            self.step += 1
            self.seconds = time.perf_counter() - began
            told.note(self.step, self.seconds, log)
            if self.step % recipe.checkpoint_every == 0 or self.step == recipe.steps:
                self._save()

    def _config(self) -> DenseConfig:
        settings, words = self.settings, None
        if settings.words is not None:
            words = WordsConfig(
                self.texts.dim, queries=settings.words.queries, layers=settings.words.layers
            )
        classes = self.recipe.classes if settings.semantic else ()
        return config_for(
            self.model, width=settings.width, maps=settings.maps, classes=classes, words=words
        )

    def _first(self, config: DenseConfig) -> DenseDecoder:
        """A new decoder; what an earlier one has in the same shape is taken over."""
        decoder = DenseDecoder(config)
        if self.settings.initial is None:
            return decoder
        earlier = load_dense(self.settings.initial, self.weights or None).decoder.state_dict()
        own = decoder.state_dict()
        same_maps = load_dense(self.settings.initial).note.config
        shared = {
            name: value
            for name, value in earlier.items()
            if name in own
            and own[name].shape == value.shape
            and (name != "maps" or same_maps.maps == config.maps)
            and (name != "classes" or same_maps.classes == config.classes)
        }
        decoder.load_state_dict({**own, **shared})
        return decoder

    def _update(self, samples: list[Sample]) -> dict[str, float]:
        section = self.recipe.optimiser
        share = rate_at(self.step, self.recipe.steps, section.warmup_steps, section.decay_share)
        for group, rate in zip(self.optimiser.param_groups, self.full_rates, strict=True):
            group["lr"] = rate * share
        pixels = self._pixels(samples)
        loss, log = self._loss(pixels, samples)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = clip_grad_norm_(self.learning.parameters(), section.clip)
        if torch.isfinite(norm):
            self.optimiser.step()
        self.average.update(self.learning, self.step)
        return {"loss": float(loss.detach()), **log, "grad": float(norm), "rate": share}

    def _pixels(self, samples: Sequence[Sample]) -> DensePixels:
        if self.settings.teach_encoder:
            # Weights that were taught keep the statistics of their norms; others must find them.
            self.model.image_encoder.train(not isinstance(self.recipe.initial, Path))
            levels = encoded(self.model, self._images(samples))
        else:
            levels = stacked_levels(samples, self.device)
        count = len(self.decoder.config.channels)
        return self.decoder.pixels(levels[:count], levels[count] if levels[count:] else None)

    def _images(self, samples: Sequence[Sample]) -> Tensor:
        images = torch.stack([each.image for each in samples if each.image is not None])
        config = self.model.config
        mean = torch.tensor(config.mean).view(3, 1, 1)
        std = torch.tensor(config.std).view(3, 1, 1)
        made = ((images.float() / 255 - mean) / std).to(self.device)
        return made.contiguous(memory_format=torch.channels_last)

    def _loss(
        self, pixels: DensePixels, samples: Sequence[Sample]
    ) -> tuple[Tensor, dict[str, float]]:
        """All that the decoder paints of a batch, against what is drawn."""
        decoder, settings = self.decoder, self.settings
        painted = decoder.painted(pixels)
        total, log = pixels.deep.new_zeros(()), dict[str, float]()
        truth = torch.stack([each.pixels for each in samples]).long().to(self.device)
        if settings.semantic:
            known = torch.where(truth == -1, IGNORED, truth)
            classes = semantic_loss(painted.classes, known)
            total, log["classes"] = total + classes, float(classes.detach())
        if settings.maps:
            target = torch.stack([each.maps for each in samples]).float().to(self.device)
            told = torch.tensor([each.exhaustive for each in samples], device=self.device)
            maps = distance_loss(painted.maps, target, settings.maps, told)
            total, log["maps"] = total + maps, float(maps.detach())
        if decoder.words is not None:
            found = self._ask(decoder.words, pixels, truth, samples)
            total, log["words"] = total + found, float(found.detach())
        return total, log

    def _ask(
        self, words: Words, pixels: DensePixels, truth: Tensor, samples: Sequence[Sample]
    ) -> Tensor:
        """Ask each crop for some names: of what it holds, and of what it does not."""
        index, texts, target, told = [], [], [], []
        size = pixels.fine.shape[-1]
        stride = truth.shape[-1] // size
        for k, sample in enumerate(samples):
            for thing in self.texts.asked(sample, self.generator):
                index.append(k)
                texts.append(self.texts.said(thing, sample.region, self.generator))
                wanted, known = self.texts.truth(thing, truth[k])
                target.append(functional.avg_pool2d(wanted.float()[None], stride)[0])
                told.append(functional.avg_pool2d(known.float()[None], stride)[0])
        rows = torch.tensor(index, device=self.device)
        found = words(pixels.coarse, torch.stack(texts).to(self.device), rows)
        masks = paint(pixels.take(rows), found.vectors)
        loss, _ = words_loss(masks, found.fit, torch.stack(target), torch.stack(told))
        return loss

    def _save(self) -> None:
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "learning": self.learning.state_dict(),
            "average": self.average.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "generator": self.generator.get_state(),
        }
        save_state(self.output, state)

    def _resume(self) -> None:
        with resuming(self.output, self.device, self.recipe.steps) as state:
            self.step, self.seconds = checked_time(state["step"], state["seconds"])
            self.learning.load_state_dict(state["learning"])
            self.average.model.load_state_dict(state["average"])
            load_moments(self.optimiser, state["optimiser"])
            self.generator.set_state(state["generator"].cpu())


@dataclass(frozen=True, slots=True, eq=False)
class Texts:
    """Texts of a run, embedded before it begins.

    Attributes
    ----------
    encoder : which text encoder
    names : objects: the recipe's classes, then `NUCLEUS`
    vectors : text -> (D,)
    region : what known names are said with when they are used
    count : names asked of a crop at once
    """

    encoder: str
    names: tuple[str, ...]
    vectors: dict[str, Tensor]
    region: str = ""
    count: int = 1

    @classmethod
    def of(cls, recipe: TrainRecipe, settings: DenseSection, samples: Sequence[Sample]) -> Texts:
        """All that can be said of a run's crops; nothing without words."""
        if settings.words is None:
            return cls("", (), {})
        classes = recipe.classes if len(recipe.classes) > 1 else ()
        names = (*classes, NUCLEUS)
        regions = sorted({each.region for each in samples} | {"", settings.words.region})
        said = dict.fromkeys(
            text
            for region in regions
            for name in names
            for way in _ways(name)
            for text in Name(way, region=region).levels
        )
        words = settings.words
        tag, vectors = text_vectors(list(said), words.encoder)
        by_text = dict(zip(said, vectors, strict=True))
        return cls(tag, names, by_text, words.region, words.texts_per_crop)

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        return next(iter(self.vectors.values())).shape[0]

    def known(self) -> Tensor:
        """Tokens of the names as they will be asked for, (T, 4, D)."""
        return torch.stack([self._tokens(name, self.region) for name in self.names])

    def said(self, thing: str, region: str, generator: torch.Generator) -> Tensor:
        """Tokens of a name in one of the ways to write it, with or without its region, (4, D)."""
        ways = _ways(thing)
        way = ways[int(torch.randint(len(ways), (), generator=generator))]
        if float(torch.rand((), generator=generator)) < _WITHOUT_REGION:
            region = ""
        return self._tokens(way, region)

    def _tokens(self, thing: str, region: str) -> Tensor:
        return torch.stack([self.vectors[text] for text in Name(thing, region=region).levels])

    def asked(self, sample: Sample, generator: torch.Generator) -> list[str]:
        """Up to ``count`` different names: half of the time first those that the crop holds."""
        if bool((sample.pixels > 0).any()) or len(self.names) == 1:
            order = torch.randperm(len(self.names), generator=generator).tolist()
            held = sample.classes
            if float(torch.rand((), generator=generator)) < 0.5:
                order.sort(key=lambda k: k not in held)
            return [self.names[k] for k in order[: self.count]]
        return [NUCLEUS]  # nobody said what its nuclei are

    def truth(self, thing: str, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Where it is, and where that is known, (H, W) bool both."""
        if thing == NUCLEUS:
            return (pixels > 0) | (pixels == -1), pixels != IGNORED
        return pixels == 1 + self.names.index(thing), pixels >= 0


def _ways(name: str) -> tuple[str, ...]:
    return (name, *ALSO.get(name, ()))


def _optimiser(learning: nn.ModuleDict, recipe: TrainRecipe) -> torch.optim.AdamW:
    """AdamW; the encoder at the rate of the trunk, no decay for norms and biases."""
    section = recipe.optimiser
    groups = []
    for part, rate in (("decoder", section.lr), ("encoder", section.trunk_lr)):
        if part in learning:
            own = list(learning[part].parameters())
            for decays in (True, False):
                groups.append(
                    {
                        "params": [p for p in own if (p.ndim > 1) == decays],
                        "lr": rate,
                        "weight_decay": section.weight_decay if decays else 0.0,
                    }
                )
    return torch.optim.AdamW(groups)
