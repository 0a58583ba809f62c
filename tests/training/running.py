"""Runs that take seconds: data, recipes, how to stop them, and sums that come in one order."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tifffile
import torch
from PIL import Image

from napari_uninuc.datasets.recipes import DatasetSpec
from napari_uninuc.training.recipe import (
    CropsSection,
    OptimiserSection,
    PromptsSection,
    TrainRecipe,
)


@contextmanager
def one_thread() -> Iterator[None]:
    """Sums over threads come in any order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def write_discs(folder: Path) -> Path:
    """Two labelled pictures of 128 x 140 with discs of 18 px."""
    (folder / "images").mkdir()
    (folder / "labels").mkdir()
    rng = np.random.default_rng(0)
    ys, xs = np.mgrid[:128, :140]
    for name in ("a", "b"):
        rgb = np.full((128, 140, 3), (236, 214, 226), float)
        labels = np.zeros((128, 140), np.uint16)
        for k, (y, x) in enumerate(
            [(y, x) for y in range(20, 128, 30) for x in range(20, 140, 30)]
        ):
            inside = (ys - y) ** 2 + (xs - x) ** 2 <= 81
            rgb[inside], labels[inside] = (96, 70, 140), k + 1
        rgb += rng.normal(0, 6, rgb.shape)
        Image.fromarray(rgb.clip(0, 255).astype(np.uint8)).save(folder / "images" / f"{name}.png")
        tifffile.imwrite(folder / "labels" / f"{name}.tif", labels)
    return folder


def recipe_of(nuclei: Path, output: Path, **changes) -> TrainRecipe:
    """Four steps of two crops of 64 px; ``changes`` are values of the recipe."""
    values = {
        "architecture": "uninuc-n",
        "output": output,
        "steps": 4,
        "checkpoint_every": 2,
        "datasets": (DatasetSpec(name="discs", path=nuclei),),
        "crops": CropsSection(size=64, batch=2, workers=0),
        "prompts": PromptsSection(nuclei_per_crop=2, corrections=2),
        "optimiser": OptimiserSection(warmup_steps=2),
    }
    return TrainRecipe(**{**values, **changes})


class Interrupted(Exception):
    pass


def stop_after(steps: int):
    def progress(step: int, _total: int, _log: dict[str, float]) -> None:
        if step > steps:
            raise Interrupted

    return progress
