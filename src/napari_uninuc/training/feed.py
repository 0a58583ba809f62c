"""Crops on their way into a network: read, drawn by a loader, normalised, on the device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from napari_uninuc.core.names import region_of
from napari_uninuc.datasets.crops import Crop, CropSource, CropStream
from napari_uninuc.datasets.recipes import DatasetSpec
from napari_uninuc.errors import RecipeError
from napari_uninuc.network.config import ModelConfig
from napari_uninuc.training.ranks import ALONE, Ranks
from napari_uninuc.training.recipe import TrainRecipe

__all__ = ["batches", "images_of", "on_device", "window_sides"]


class _CropDataset(Dataset[Crop]):
    """Some crops of a stream, by their numbers, for a loader process."""

    def __init__(self, stream: CropStream, numbers: Sequence[int]) -> None:
        self.stream, self.numbers = stream, numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> Crop:
        return self.stream.crop(self.numbers[index])


def batches(
    recipe: TrainRecipe, first_step: int, *, smoke: bool, ranks: Ranks = ALONE
) -> Iterator[list[list[Crop]]]:
    """This process' batches of each step from ``first_step`` to the last.

    A step has the same crops however often the run was resumed, and however many processes share
    its batches.

    Raises
    ------
    RecipeError
        One of several classes is in none of the data; not with ``smoke``, which reads few. Or the
        batches of a step cannot be shared evenly.
    DatasetError
        A picture or its labels cannot be read.
    """
    batch, per_step = recipe.crops.batch, recipe.crops.accumulate
    if per_step % ranks.count:
        raise RecipeError(
            f"crops.accumulate must be a multiple of the {ranks.count} processes that share a "
            f"step, got {per_step}; change it or the number of processes"
        )
    stream = CropStream(
        _load_sources(recipe, every_class=not smoke),
        size=recipe.crops.size,
        mpp=recipe.crops.mpp,
        zoom=recipe.crops.zoom,
        seed=recipe.seed,
        classes=recipe.classes,
        augmentation=recipe.augmentation,
    )
    ours = [
        (step * per_step + part) * batch + k
        for step in range(first_step, recipe.steps)
        for part in range(ranks.rank, per_step, ranks.count)
        for k in range(batch)
    ]
    loader = DataLoader(
        _CropDataset(stream, ours),
        batch_size=batch,
        num_workers=recipe.crops.workers,
        collate_fn=list,
    )
    drawn = iter(loader)
    for _ in range(first_step, recipe.steps):
        yield [next(drawn) for _ in range(per_step // ranks.count)]


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
    images = spec.images()
    return CropSource(
        [image.read(spec.mpp) for image in images],
        spec.weight,
        spec.exhaustive,
        spec.mpp,
        spec.label_shift_yx,
        [region_of(spec.name, image.name, image.tissue) for image in images],
    )
