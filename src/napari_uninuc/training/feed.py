"""Crops on their way into a network: read, drawn by a loader, normalised, on the device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from napari_uninuc.datasets.crops import Crop, CropSource, CropStream
from napari_uninuc.datasets.recipes import DatasetSpec
from napari_uninuc.errors import RecipeError
from napari_uninuc.network.config import ModelConfig
from napari_uninuc.training.recipe import TrainRecipe

__all__ = ["batches", "images_of", "on_device", "window_sides"]


class _CropDataset(Dataset[Crop]):
    """Crops ``first`` to ``last`` of a stream, for a loader process."""

    def __init__(self, stream: CropStream, first: int, last: int) -> None:
        self.stream, self.first, self.last = stream, first, last

    def __len__(self) -> int:
        return self.last - self.first

    def __getitem__(self, index: int) -> Crop:
        return self.stream.crop(self.first + index)


def batches(recipe: TrainRecipe, first_step: int, *, smoke: bool) -> Iterator[list[Crop]]:
    """The crops of each step from ``first_step`` to the last; the same however often resumed.

    Raises
    ------
    RecipeError
        One of several classes is in none of the data; not with ``smoke``, which reads few.
    DatasetError
        A picture or its labels cannot be read.
    """
    stream = CropStream(
        _load_sources(recipe, every_class=not smoke),
        size=recipe.crops.size,
        mpp=recipe.crops.mpp,
        zoom=recipe.crops.zoom,
        seed=recipe.seed,
        classes=recipe.classes,
    )
    batch = recipe.crops.batch
    crops = _CropDataset(stream, first_step * batch, recipe.steps * batch)
    yield from DataLoader(
        crops, batch_size=batch, num_workers=recipe.crops.workers, collate_fn=list
    )


def images_of(crops: Sequence[Crop], config: ModelConfig, device: torch.device) -> Tensor:
    """Crops as the network takes them: (B, 3, S, S) float32, normalised, channels last."""
    mean = torch.tensor(config.mean).view(3, 1, 1)
    std = torch.tensor(config.std).view(3, 1, 1)
    images = torch.stack([(crop.image - mean) / std for crop in crops]).to(device)
    return images.contiguous(memory_format=torch.channels_last)


def on_device(crop: Crop, device: torch.device) -> Crop:
    """A crop whose labels are where the losses are computed; its image stays."""
    return replace(
        crop,
        labels=crop.labels.to(device),
        boxes_xyxy=crop.boxes_xyxy.to(device),
        maps=crop.maps.to(device),
        classes=crop.classes.to(device),
    )


def window_sides(smallest: int, largest: int) -> list[int]:
    """Decoding windows in input pixels: ``smallest`` doubled until ``largest``."""
    sides = [smallest]
    while sides[-1] * 2 <= largest:
        sides.append(sides[-1] * 2)
    return sides


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
