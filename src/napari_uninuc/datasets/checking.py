"""Counting what is in a data set, and what is wrong with it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from napari_uninuc.datasets.folder import LabelledImage, LabelledTile
from napari_uninuc.datasets.numbering import Numbering, pieces_of
from napari_uninuc.datasets.public.layout import Layout, PublicImage
from napari_uninuc.datasets.public.registry import guess_layouts
from napari_uninuc.errors import DatasetError

__all__ = ["Tally", "find_layouts", "split_of"]

_SMALLEST_PX = 9
"""A nucleus of fewer pixels cannot be one: 0.5 um2 at 40x."""


@dataclass(slots=True)
class Tally:
    """What was counted so far; `add` each image as it is read.

    Attributes
    ----------
    images, nuclei : number by split
    classes : nuclei by class name
    sizes : images by (H, W), px
    diameters_px : of circles as large as the nuclei
    empty, scattered, specks : images without a nucleus; nuclei in more than one piece; nuclei
        of fewer than nine pixels
    numbering : whether the labels number nuclei at all
    """

    images: Counter[str] = field(default_factory=Counter)
    nuclei: Counter[str] = field(default_factory=Counter)
    classes: Counter[str] = field(default_factory=Counter)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    diameters_px: list[np.ndarray] = field(default_factory=list)
    empty: int = 0
    scattered: int = 0
    specks: int = 0
    numbering: Numbering = field(default_factory=Numbering)

    def add(self, image: LabelledImage, read: LabelledTile) -> None:
        """Count one image."""
        split = split_of(image)
        ids, areas = np.unique(read.labels[read.labels > 0], return_counts=True)
        self.images[split] += 1
        self.nuclei[split] += len(ids)
        self.sizes[read.tile.shape] += 1
        self.classes.update((read.classes or {}).values())
        self.diameters_px.append(np.sqrt(4 / np.pi * areas))
        self.empty += len(ids) == 0
        self.specks += int((areas < _SMALLEST_PX).sum())
        pieces = pieces_of(read.labels)
        self.scattered += sum(number > 1 for number in pieces.values())
        self.numbering.add(image.name, pieces)

    @property
    def median_diameter_px(self) -> float | None:
        """Diameter of the nucleus in the middle, px; None without nuclei."""
        every = np.concatenate(self.diameters_px) if self.diameters_px else np.zeros(0)
        return float(np.median(every)) if every.size else None

    def remarks(self) -> list[str]:
        """Say in one line each what may be wrong without stopping anybody."""
        told = (
            (self.empty, "images have no nucleus"),
            (self.scattered, "nuclei lie in more than one piece"),
            (self.specks, f"nuclei have fewer than {_SMALLEST_PX} px"),
        )
        odd = [f"{number} {text}" for number, text in told if number]
        return odd + self.numbering.remarks()


def split_of(image: LabelledImage) -> str:
    """Name the split of an image; in a plain folder, the folder it is in."""
    if isinstance(image, PublicImage):
        return image.split
    return image.name.rpartition("/")[0] or "all"


def find_layouts(folder: Path) -> list[Layout | None]:
    """Guess what a folder holds: public layouts, or None for a plain folder of images and labels.

    Raises
    ------
    DatasetError
        No such folder, or nothing known in it.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder; name the one with the unzipped data set")
    guessed: list[Layout | None] = [*guess_layouts(folder)]
    if not guessed and any((p.parent / "labels").is_dir() for p in folder.rglob("images")):
        guessed = [None]
    if not guessed:
        zips = ", ".join(sorted(path.name for path in folder.glob("*.zip"))[:3])
        advice = f"unzip {zips}" if zips else "see uninuc data list for what is known"
        raise DatasetError(
            f"{folder}: expected a known data set or images/ with labels/, found none; {advice}"
        )
    return guessed
