"""Crops for a dense decoder: drawn once and, where the encoder stays, encoded once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from napari_uninuc.datasets.crops import Crop
from napari_uninuc.network.dense_decoder import levels_of
from napari_uninuc.network.uninuc import UniNuc
from napari_uninuc.training.dense_losses import class_pixels, map_targets
from napari_uninuc.training.feed import batches, images_of
from napari_uninuc.training.recipe import DenseSection, TrainRecipe

__all__ = ["Sample", "drawn_samples", "encoded", "sampling_weights", "stacked_levels"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One crop, ready to be taught on.

    Attributes
    ----------
    image : (3, H, W) uint8 where the encoder learns too; else None
    levels : of a frozen encoder, float16, finest first; the model's own maps last where there are
    pixels : (H, W) int16 of `class_pixels`
    maps : (M, H, W) float16 targets
    exhaustive : every nucleus is drawn
    region : part of the body
    """

    image: Tensor | None
    levels: tuple[Tensor, ...]
    pixels: Tensor
    maps: Tensor
    exhaustive: bool
    region: str

    @property
    def classes(self) -> frozenset[int]:
        """Classes of nuclei that it holds."""
        return frozenset(int(each) - 1 for each in self.pixels.unique() if each > 0)


def drawn_samples(
    recipe: TrainRecipe, settings: DenseSection, model: UniNuc, device: torch.device, *, smoke: bool
) -> list[Sample]:
    """Draw a recipe's crops; about 1.5 MB each of 256 px with the bundled model."""
    count = -(-settings.crops // recipe.crops.batch)
    short = recipe.model_copy(update={"steps": count})
    samples: list[Sample] = []
    for (crops,) in batches(short, 0, smoke=smoke):
        levels: list[tuple[Tensor, ...]] = [()] * len(crops)
        if not settings.teach_encoder:
            with torch.no_grad():
                found = encoded(model, images_of(crops, model.config, device))
            levels = [tuple(level[k].half().cpu() for level in found) for k in range(len(crops))]
        for crop, each in zip(crops, levels, strict=True):
            samples.append(_sample(crop, each, settings, recipe))
    return samples[: settings.crops]


def encoded(model: UniNuc, images: Tensor) -> tuple[Tensor, ...]:
    """Levels of images (B, 3, H, W), finest first, and the model's own maps where it has some."""
    embedding = model.encode(images, detection=model.detector_backbone is None)
    own = () if embedding.auxiliary is None else (embedding.auxiliary,)
    return (*levels_of(embedding), *own)


def _sample(
    crop: Crop, levels: tuple[Tensor, ...], settings: DenseSection, recipe: TrainRecipe
) -> Sample:
    several = len(recipe.classes) > 1
    kinds = crop.classes if several else torch.full_like(crop.classes, -1)
    if not settings.semantic and settings.words is not None and not several:
        kinds = torch.full_like(crop.classes, -1)
    maps = np.zeros((0, *crop.labels.shape), np.float32)
    if settings.maps:
        maps = map_targets(crop.labels.numpy(), crop.maps.numpy(), settings.maps)
    # What is nucleus is kept even where its class is not known: see `NUCLEUS_UNKNOWN`.
    pixels = class_pixels(crop.labels, kinds, crop.exhaustive)
    pixels = torch.where((crop.labels > 0) & (pixels < 0), NUCLEUS_UNKNOWN, pixels)
    image = (crop.image * 255).round().to(torch.uint8) if settings.teach_encoder else None
    return Sample(
        image,
        levels,
        pixels.to(torch.int16),
        torch.from_numpy(maps).half(),
        crop.exhaustive,
        crop.region,
    )


NUCLEUS_UNKNOWN = -1
"""In ``Sample.pixels``: a nucleus of unknown class."""


def sampling_weights(samples: Sequence[Sample], share: float) -> Tensor:
    """How often each sample is drawn, (N,) float64, mean 1.

    Parameters
    ----------
    share : 0 draws all alike; 1 draws one of the classes first, then a sample that holds it, so
        that a class that few samples hold is seen as often as any other
    """
    classes = sorted(frozenset().union(*(each.classes for each in samples)))
    alike = torch.ones(len(samples), dtype=torch.float64)
    if not classes:
        return alike
    held = torch.tensor([[name in each.classes for name in classes] for each in samples])
    by_class = (held / held.sum(dim=0)).sum(dim=1, dtype=torch.float64)
    return (1 - share) * alike + share * by_class * (len(samples) / len(classes))


def stacked_levels(samples: Sequence[Sample], device: torch.device) -> tuple[Tensor, ...]:
    """The stored levels of some samples as a batch, float32."""
    return tuple(
        torch.stack(level).to(device).float()
        for level in zip(*(each.levels for each in samples), strict=True)
    )
