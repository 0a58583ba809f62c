"""Labelling index of nuclei that are found beside that of true outlines, on painted brown.

python benchmarks/stain_indices.py DATA [--count N] [--model ID|PATH] [--score-threshold F]

DATA is a folder with ``images`` and ``labels``. Every n-th picture of it is painted as nuclear
immunohistochemistry (`datasets.brown`), a middle of 256 px of it is outlined, and both sets of
outlines are scored with the default threshold. What nuclei are is the labels' word, what is brown
that of the painting: no labelled Ki-67 pictures are here. What the labels leave out is never
painted, and counts as negative where it is outlined: so the index of found nuclei that lie on
labelled ones stands beside that of all found.
"""

from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from scipy import ndimage

from napari_uninuc import Segmentation, load_predictor
from napari_uninuc.core.stain import Levels, score_nuclei
from napari_uninuc.core.tile import Tile
from napari_uninuc.datasets import brown
from napari_uninuc.datasets.stains import amounts_of, shown

_SIDE, _MPP, _FOUND = 256, 0.25, 0.9


def painted(
    rgb: npt.NDArray[np.uint8], labels: npt.NDArray[np.int32], seed: int
) -> npt.NDArray[np.uint8]:
    """The picture with some of its nuclei brown."""
    image = torch.from_numpy(rgb.copy()).permute(2, 0, 1).float() / 255
    amounts = brown.paint_brown(amounts_of(image), labels, np.random.default_rng(seed))
    return (shown(amounts) * 255).round().byte().permute(1, 2, 0).numpy()


def under_middles(labels: npt.NDArray[np.int32], other: npt.NDArray[np.int32]) -> np.ndarray:
    """For each nucleus of some labels, what of others lies under its middle."""
    ids = np.unique(labels)[1:]
    if not len(ids):
        return np.zeros(0, np.int32)
    middles = np.array(ndimage.center_of_mass(labels > 0, labels, ids)).round().astype(int)
    under: np.ndarray = other[tuple(middles.T)]
    return under


@click.command()
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--count", default=12, show_default=True, help="Pictures.")
@click.option("--model", default="uninuc-n", show_default=True, help="Model id or folder.")
@click.option("--device", default="auto", show_default=True)
@click.option("--score-threshold", type=float, help="Of nuclei.  [default: the model's own]")
def main(data: Path, count: int, model: str, device: str, score_threshold: float | None) -> None:
    """Paint, outline, score, and print a row a picture."""
    brown._NUCLEAR_SHARE = 1.0
    predictor = load_predictor(model, device=device)
    paths = sorted((data / "images").iterdir())
    print(
        "| picture | nuclei | found | outlined | index, true outlines | index, found | differs | "
        "index, found and labelled | differs |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    gaps = []
    for seed, path in enumerate(paths[:: max(1, len(paths) // count)][:count]):
        rgb = np.asarray(Image.open(path).convert("RGB"))
        y, x = ((side - _SIDE) // 2 for side in rgb.shape[:2])
        middle = slice(y, y + _SIDE), slice(x, x + _SIDE)
        true = np.asarray(Image.open(data / "labels" / f"{path.stem}.png"))[middle]
        true = np.ascontiguousarray(true).astype(np.int32)
        tile = Tile.from_array(painted(rgb[middle], true, seed), _MPP)
        predictor.set_image(tile)
        found = predictor.segment(score_threshold)
        ids = found.table["id"].to_numpy()
        labelled = ids[under_middles(found.labels, true) > 0]
        both = np.where(np.isin(found.labels, labelled), found.labels, 0).astype(np.int32)
        indices = [
            score_nuclei(tile, each, Levels()).index
            for each in (
                Segmentation.from_labels(true),
                found,
                Segmentation.from_labels(both),
            )
        ]
        reached = under_middles(true, found.labels) > 0
        share = float(reached.mean()) if len(reached) else float("nan")
        gap = [abs(index - indices[0]) for index in indices[1:]]
        if share >= _FOUND:
            gaps.append(gap)
        print(
            f"| {path.stem} | {len(reached)} | {share:.2f} | {len(ids)} | {indices[0]:.1f} | "
            f"{indices[1]:.1f} | {gap[0]:.1f} | {indices[2]:.1f} | {gap[1]:.1f} |",
            flush=True,
        )
    for name, column in zip(("all found", "found and labelled"), np.transpose(gaps), strict=False):
        print(
            f"\n{name}, where {_FOUND:.0%} are found ({len(column)} pictures): mean "
            f"{column.mean():.1f} points, at most {column.max():.1f}, within 5 on "
            f"{(column <= 5).sum()}"
        )


if __name__ == "__main__":
    main()
