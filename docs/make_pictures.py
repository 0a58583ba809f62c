"""Make the pictures of the README and of docs/: run it from the project's folder.

python docs/make_pictures.py [--model ID|PATH] [--log CSV] [--output DIR]

The tile is scikit-image's, the outlines are the model's, the curves are the training log's; a
log that is not there is passed over. The plot needs matplotlib, which the package does not.
"""

import csv
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
from PIL import Image

from napari_uninuc import Tile, load_predictor
from napari_uninuc.cli.overlay import draw_outlines
from napari_uninuc.datasets.sample import immunohistochemistry_tile

_CROP = (slice(128, 384), slice(128, 384))
"""Part of the tile shown before and after: its middle, not its best."""

_SCALE = 3
_GAP = 12

_CURVES = {
    "loss": ("loss", {"loss": "total", "dense": "detector, first stage", "mask": "outlines"}),
    "overlap with the true nucleus (IoU)": (
        "IoU",
        {"iou_first": "after the first prompt", "iou_last": "after corrections"},
    ),
}
"""Title: (name of the axis, {column of the log: name of the curve})."""


@click.command()
@click.option("--model", default="uninuc-n", show_default=True, help="Model id or folder.")
@click.option(
    "--log",
    default="models/uninuc-n/training-log.csv",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Training log to plot.",
)
@click.option(
    "--output",
    default="docs/pictures",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder for the pictures.",
)
def main(model: str, log: Path, output: Path) -> None:
    """Write overlay.png, before-after.png and, where there is a log, training.png."""
    output.mkdir(parents=True, exist_ok=True)
    tile = immunohistochemistry_tile()
    predictor = load_predictor(model, device="cpu")
    predictor.set_image(tile)
    labels = predictor.segment().labels
    _save(draw_outlines(tile, labels), output / "overlay.png")
    _save(_before_and_after(tile, labels), output / "before-after.png")
    if log.is_file():
        plot_log(log, output / "training.png")
        click.echo(f"wrote {output / 'training.png'}")
    else:
        click.echo(f"{log}: not there, so no training.png")


def _save(rgb: npt.NDArray[np.uint8], path: Path) -> None:
    Image.fromarray(rgb).save(path, optimize=True)
    click.echo(f"wrote {path}")


def _before_and_after(tile: Tile, labels: npt.NDArray[np.int32]) -> npt.NDArray[np.uint8]:
    """Enlarge the same part without and with outlines, side by side on white."""
    part = Tile.from_array(np.ascontiguousarray(tile.rgb[_CROP]))
    nuclei = np.ascontiguousarray(labels[_CROP])
    before = draw_outlines(part, np.zeros_like(nuclei), _SCALE)
    after = draw_outlines(part, nuclei, _SCALE)
    gap = np.full((before.shape[0], _GAP, 3), 255, np.uint8)
    return np.concatenate([before, gap, after], axis=1)


def plot_log(log: Path, picture: Path) -> None:
    """Plot the curves of a ``log.csv`` as `uninuc train` writes it."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    with log.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    steps = [int(row["step"]) for row in rows]
    figure, axes = pyplot.subplots(1, len(_CURVES), figsize=(10, 3.6), layout="constrained")
    for axis, (title, (unit, curves)) in zip(axes, _CURVES.items(), strict=True):
        for column, name in curves.items():
            axis.plot(steps, [float(row[column]) for row in rows], label=name)
        axis.set(title=title, xlabel="step", ylabel=unit)
        axis.grid(alpha=0.3)
        axis.legend(frameon=False)
    axes[0].set_yscale("log")
    axes[1].set_ylim(0, 1)
    figure.savefig(picture, dpi=100)
    pyplot.close(figure)


if __name__ == "__main__":
    main()
