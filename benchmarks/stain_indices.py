"""Labelling index of nuclei that are found beside that of true outlines, on painted brown.

python benchmarks/stain_indices.py DATA [--count N] [--model ID|PATH] [--device NAME]

DATA is a folder with ``images`` and ``labels``. Every n-th picture of it is painted as nuclear
immunohistochemistry (`datasets.brown`), a middle of 256 px of it is outlined, and both sets of
outlines are scored with the default threshold. What nuclei are is the labels' word, what is brown
that of the painting: no labelled Ki-67 pictures are here.
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


def share_found(true: npt.NDArray[np.int32], found: npt.NDArray[np.int32]) -> float:
    """Share of true nuclei whose middle lies in one that was found."""
    ids = np.unique(true)[1:]
    if not len(ids):
        return float("nan")
    middles = np.array(ndimage.center_of_mass(true > 0, true, ids)).round().astype(int)
    return float((found[tuple(middles.T)] > 0).mean())


@click.command()
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--count", default=12, show_default=True, help="Pictures.")
@click.option("--model", default="uninuc-n", show_default=True, help="Model id or folder.")
@click.option("--device", default="auto", show_default=True)
def main(data: Path, count: int, model: str, device: str) -> None:
    """Paint, outline, score, and print a row a picture."""
    brown._NUCLEAR_SHARE = 1.0
    predictor = load_predictor(model, device=device)
    paths = sorted((data / "images").iterdir())
    print("| picture | nuclei | found | index, true outlines | index, found | differs |")
    print("|---|---|---|---|---|---|")
    gaps = []
    for seed, path in enumerate(paths[:: max(1, len(paths) // count)][:count]):
        rgb = np.asarray(Image.open(path).convert("RGB"))
        y, x = ((side - _SIDE) // 2 for side in rgb.shape[:2])
        middle = slice(y, y + _SIDE), slice(x, x + _SIDE)
        true = np.asarray(Image.open(data / "labels" / f"{path.stem}.png"))[middle]
        true = np.ascontiguousarray(true).astype(np.int32)
        tile = Tile.from_array(painted(rgb[middle], true, seed), _MPP)
        predictor.set_image(tile)
        found = predictor.segment()
        indices = [
            score_nuclei(tile, each, Levels()).index
            for each in (Segmentation.from_labels(true), found)
        ]
        share, gap = share_found(true, found.labels), abs(indices[1] - indices[0])
        if share >= _FOUND:
            gaps.append(gap)
        print(
            f"| {path.stem} | {len(np.unique(true)) - 1} | {share:.2f} | {indices[0]:.1f} | "
            f"{indices[1]:.1f} | {gap:.1f} |",
            flush=True,
        )
    if gaps:
        print(
            f"\nwhere {_FOUND:.0%} are found ({len(gaps)} pictures): mean {np.mean(gaps):.1f} "
            f"points, at most {max(gaps):.1f}, within 5 on {sum(gap <= 5 for gap in gaps)}"
        )


if __name__ == "__main__":
    main()
