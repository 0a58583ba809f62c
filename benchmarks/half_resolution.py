"""The test tiles as a 20x scan would show them, and recipes/evaluate-20x.toml of them.

python benchmarks/half_resolution.py DATA FOLDER [--write-only]

DATA is the folder that holds ``monuseg/test`` and ``consep``; FOLDER gets the same. Pictures are
averaged over 2 x 2 px; a px of the labels is what most of its four were, and of two against two
the one that a chequerboard picks, so that nuclei neither grow nor shrink. Then the recipe is
evaluated there, as ``uninuc evaluate`` does it, unless FOLDER is all that is wanted.
"""

import os
from pathlib import Path

import click
import numpy as np
from skimage.io import imsave

from napari_uninuc.datasets.folder import read_folder
from napari_uninuc.evaluation.recipe import read_recipe
from napari_uninuc.evaluation.report import to_text, write_report
from napari_uninuc.evaluation.run import run_evaluation

_RECIPE = Path(__file__).parents[1] / "recipes" / "evaluate-20x.toml"
_SETS = {"monuseg/test": (), "consep": ("test_*",)}


@click.command()
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--write-only", is_flag=True, help="Evaluate nothing.")
def main(data: Path, folder: Path, write_only: bool) -> None:
    """Write images/ and labels/ of both sets, as PNG, and evaluate."""
    for name, include in _SETS.items():
        for image in read_folder(data / name, include):
            labelled = image.read()
            halved = {
                "images": halved_picture(labelled.tile.rgb),
                "labels": halved_labels(labelled.labels).astype(np.uint16),
            }
            for part, values in halved.items():
                (folder / name / part).mkdir(parents=True, exist_ok=True)
                imsave(folder / name / part / f"{image.name}.png", values, check_contrast=False)
    if not write_only:
        os.environ["UNINUC_DATA"] = str(folder)
        recipe = read_recipe(_RECIPE)
        report = run_evaluation(recipe)
        write_report(report, recipe.output)
        print(to_text(report))


def halved_picture(rgb: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 px of an (H, W, 3) uint8 picture; an odd last row or column is left out."""
    return np.rint(_fours(rgb).mean(axis=0)).astype(np.uint8)


def halved_labels(labels: np.ndarray) -> np.ndarray:
    """Commonest id of 2 x 2 px of an (H, W) label image."""
    fours = _fours(labels)
    counts = (fours[:, None] == fours[None]).sum(axis=1)  # of the id of each of the four
    commonest = counts == counts.max(axis=0)
    low = np.where(commonest, fours, labels.max() + 1).min(axis=0)
    high = np.where(commonest, fours, -1).max(axis=0)
    rows, columns = np.indices(low.shape)
    return np.where((rows + columns) % 2 == 0, high, low)


def _fours(values: np.ndarray) -> np.ndarray:
    """The four px of each 2 x 2, (4, H // 2, W // 2, ...)."""
    height, width = values.shape[0] // 2 * 2, values.shape[1] // 2 * 2
    return np.stack([values[y:height:2, x:width:2] for y in (0, 1) for x in (0, 1)])


if __name__ == "__main__":
    main()
