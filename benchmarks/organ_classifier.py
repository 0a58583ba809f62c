"""A classifier of pictures that is taught in minutes: which organ of NuInsSeg a tile is from.

python benchmarks/organ_classifier.py DATA OUTPUT

DATA is the folder that holds ``nuinsseg``. Teaches a linear classifier on the mean of 24 features a
pixel (colours and their blurs, at a quarter of the size), every second picture of each organ, and
writes it to ``OUTPUT/organs.npz``, the other pictures' organs to ``OUTPUT/truth.csv``, and nuclei
by size (thirds of all) as a data set to ``OUTPUT/tiles``. Then

UNINUC_ORGANS=OUTPUT/organs.npz uninuc explain benchmarks/organ_classifier.py:organs \
    OUTPUT/tiles --truth OUTPUT/truth.csv --output OUTPUT/findings

NuInsSeg has one slide an organ: what is learnt is as much the slide's stain as the organ.
"""

import csv
import json
import os
from pathlib import Path

import click
import numpy as np
from PIL import Image
from scipy import ndimage

from napari_uninuc.datasets.folder import LabelledTile, read_folder

_CELL = 4
_BLURS = (0.0, 1.0, 3.0, 8.0)
_STEPS, _RATE, _DECAY = 600, 0.5, 1e-3
_EXPLAINED = 1
"""Pictures of each organ that are kept for explaining."""


class Organs:
    """Mean features times weights, softmax; see `napari_uninuc.explain.callables`."""

    def __init__(
        self, classes: list[str], weights: np.ndarray, mean: np.ndarray, scale: np.ndarray
    ):
        self.classes, self.weights, self.mean, self.scale = tuple(classes), weights, mean, scale

    @classmethod
    def read(cls, path: Path) -> "Organs":
        """Take what `main` wrote."""
        with np.load(path, allow_pickle=False) as stored:
            return cls(
                stored["classes"].tolist(), stored["weights"], stored["mean"], stored["scale"]
            )

    def features(self, rgb: np.ndarray) -> np.ndarray:
        """Standardised features and a constant, (25, h, w)."""
        raw = (features_of(rgb) - self.mean[:, None, None]) / self.scale[:, None, None]
        return np.concatenate([raw, np.ones((1, *raw.shape[1:]))])

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        """Probability of each organ."""
        return softmax(self.weights @ self.features(rgb).mean((1, 2)))


def features_of(rgb: np.ndarray) -> np.ndarray:
    """Optical densities at a quarter of the size, blurred, and how far they are from the blur."""
    height, width = (side - side % _CELL for side in rgb.shape[:2])
    cells = rgb[:height, :width].reshape(height // _CELL, _CELL, width // _CELL, _CELL, 3)
    density = -np.log((cells.mean((1, 3)) + 1) / 256).transpose(2, 0, 1)
    levels = [ndimage.gaussian_filter(density, (0, blur, blur)) for blur in _BLURS]
    rough = [np.abs(density - level) for level in levels[1:]]
    square = (density - density.mean((1, 2), keepdims=True)) ** 2
    return np.concatenate([*levels, *rough, square])


def softmax(logits: np.ndarray) -> np.ndarray:
    """Along the last axis."""
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def taught(rows: np.ndarray, organs: np.ndarray, count: int) -> np.ndarray:
    """Weights (count, D) by gradient descent on cross-entropy with a small decay."""
    weights = np.zeros((count, rows.shape[1]))
    truth = np.eye(count)[organs]
    for _ in range(_STEPS):
        slope = (softmax(rows @ weights.T) - truth).T @ rows / len(rows)
        weights -= _RATE * (slope + _DECAY * weights)
    return weights


def write_tiles(tiles: list[LabelledTile], folder: Path) -> None:
    """Pictures and labels, and each nucleus small, middling or large by thirds of all."""
    areas = [np.bincount(tile.labels.ravel()) for tile in tiles]
    edges = np.quantile(np.concatenate([each[1:][each[1:] > 0] for each in areas]), (1 / 3, 2 / 3))
    for part in ("images", "labels", "classes"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for tile, area in zip(tiles, areas, strict=True):
        name = tile.tile.name.replace("/", "-")
        kinds = np.array(["small", "middling", "large"])[np.searchsorted(edges, area)]
        classes = {str(k): str(kinds[k]) for k in range(1, len(area)) if area[k]}
        Image.fromarray(tile.tile.rgb).save(folder / "images" / f"{name}.png")
        Image.fromarray(tile.labels.astype(np.uint16)).save(folder / "labels" / f"{name}.png")
        (folder / "classes" / f"{name}.json").write_text(json.dumps(classes), encoding="utf-8")


@click.command()
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("output", type=click.Path(file_okay=False, path_type=Path))
def main(data: Path, output: Path) -> None:
    """Teach, say how often it is right on the other pictures, and write all that explains it."""
    images = read_folder(data / "nuinsseg")
    organs = [image.name.rsplit("/", 1)[-1].rsplit("_", 1)[0] for image in images]
    classes = sorted(set(organs))
    index = np.array([classes.index(organ) for organ in organs])
    place = np.zeros(len(images), int)
    for k in range(len(classes)):
        place[index == k] = np.arange((index == k).sum())
    learns = place % 2 == 0
    rows = np.array(
        [
            features_of(np.asarray(Image.open(image.image_path).convert("RGB"))).mean((1, 2))
            for image in images
        ]
    )
    mean, scale = rows[learns].mean(0), rows[learns].std(0) + 1e-9
    ready = np.column_stack([(rows - mean) / scale, np.ones(len(rows))])
    weights = taught(ready[learns], index[learns], len(classes))
    right = (ready @ weights.T).argmax(1) == index
    click.echo(f"{len(classes)} organs, {learns.sum()} pictures: {right[~learns].mean():.3f} right")
    output.mkdir(parents=True, exist_ok=True)
    np.savez(
        output / "organs.npz", classes=np.array(classes), weights=weights, mean=mean, scale=scale
    )
    kept = [k for k in np.flatnonzero(~learns).tolist() if place[k] // 2 < _EXPLAINED]
    write_tiles([images[k].read() for k in kept], output / "tiles")
    with (output / "truth.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["picture", "class"])
        writer.writerows([images[k].name.replace("/", "-"), organs[k]] for k in kept)


def __getattr__(name: str) -> Organs:
    """``organs``, read when it is asked for."""
    if name == "organs":
        return Organs.read(Path(os.environ["UNINUC_ORGANS"]))
    raise AttributeError(name)


if __name__ == "__main__":
    main()
