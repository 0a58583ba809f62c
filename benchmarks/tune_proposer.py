"""Where automatic prompts should come from, and with which settings: chosen on validation tiles.

python benchmarks/tune_proposer.py DATA [--model ID|PATH] [--device NAME] [--test]

DATA is the folder that holds ``monuseg/train``. Prints mSA of the four validation tiles for each
proposer, each margin its boxes are grown by, with and without flips, at the best threshold. The
values found go into the model's card. With ``--test`` the test tiles are segmented too, with what
the card says and nothing chosen on them; do that once.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import click
import numpy as np
import torch
from validation_tiles import MPP, VALIDATION

from napari_uninuc.core.instances import InstanceMask, paint_masks, resolve_overlaps
from napari_uninuc.datasets.folder import LabelledTile, read_folder
from napari_uninuc.engine.automatic import find_in_field
from napari_uninuc.engine.loading import load_engine
from napari_uninuc.engine.peaks import PeakSettings, find_basins
from napari_uninuc.engine.torch_engine import TorchEngine
from napari_uninuc.evaluation.metrics import mean_segmentation_accuracy

_PROPOSERS = ("detector", "peaks", "both")
"""Those whose boxes are prompts."""
_THRESHOLDS = np.arange(0.26, 0.43, 0.02).round(2).tolist()
_MARGINS = (0.0, 0.25, 0.5, 0.75, 1.0)
_MIN_AREA_PX = 16
_ALONE = PeakSettings(foreground=0.4, spacing=4, height=0.25)
"""Best of 48 on validation where basins are not prompts but the outlines themselves."""
_TESTS = {"MoNuSeg test": ("monuseg/test", ()), "CoNSeP test": ("consep", ("test_*",))}


def find(
    engine: TorchEngine, labelled: LabelledTile, threshold: float, proposer: str, flips: bool
) -> list[InstanceMask]:
    """All outlines of a tile above a threshold."""
    return [
        nucleus.mask
        for field in engine.fields(labelled.tile)
        for nucleus in find_in_field(
            engine, labelled.tile, field, threshold, proposer=proposer, flips=flips
        )
    ]


def score(labelled: LabelledTile, masks: list[InstanceMask], threshold: float) -> float:
    """mSA of the outlines above a threshold, overlaps resolved."""
    shape = labelled.labels.shape
    kept = [mask for mask in masks if mask.score >= threshold]
    painted = paint_masks(resolve_overlaps(kept, shape, min_area=_MIN_AREA_PX), shape)
    return mean_segmentation_accuracy(labelled.labels, painted)


@torch.inference_mode()
def basins_alone(engine: TorchEngine, labelled: LabelledTile) -> float:
    """mSA of the watershed itself, without mask decoder; tiles of one field at the model's mpp."""
    (field,) = engine.fields(labelled.tile)
    logits = engine.embed(labelled.tile, field).embedding.auxiliary
    if logits is None:
        return float("nan")
    height, width = labelled.labels.shape
    maps = torch.sigmoid(logits[0].float()).numpy(force=True)
    cells = find_basins(maps, _ALONE).labels
    stride = engine.config.logit_stride
    labels = np.kron(cells, np.ones((stride, stride), np.int32))[:height, :width]
    return mean_segmentation_accuracy(labelled.labels, labels)


def sweep(engine: TorchEngine, tiles: list[LabelledTile]) -> Iterator[tuple[str, ...]]:
    """One line for each margin of the detector's boxes, then the rest at the best of them."""
    card, best = engine.card, (-1.0, 0.0)
    for margin in _MARGINS:
        cells, msa = _line(engine, tiles, "detector", False, margin)
        best = max(best, (msa, margin))
        yield cells
    for flips, proposer in product((False, True), _PROPOSERS):
        if flips or proposer != "detector":
            yield _line(engine, tiles, proposer, flips, best[1])[0]
    engine.card = card


def _line(
    engine: TorchEngine, tiles: list[LabelledTile], proposer: str, flips: bool, margin: float
) -> tuple[tuple[str, ...], float]:
    """Cells of the table, and mSA at the best threshold."""
    engine.card = replace(engine.card, box_margin=margin)
    found = [find(engine, one, _THRESHOLDS[0], proposer, flips) for one in tiles]
    means = [
        float(np.mean([score(one, masks, t) for one, masks in zip(tiles, found, strict=True)]))
        for t in _THRESHOLDS
    ]
    best = int(np.argmax(means))
    now = float(np.interp(engine.card.score_threshold, _THRESHOLDS, means))
    chosen = (proposer, "yes" if flips else "no", f"{margin:g}", f"{_THRESHOLDS[best]:.2f}")
    return (*chosen, f"{means[best]:.4f}", f"{now:.4f}"), means[best]


def measured(engine: TorchEngine, tiles: list[LabelledTile]) -> Iterator[tuple[str, ...]]:
    """One line for each proposer, for flips with the card's, and for the watershed alone."""
    threshold = engine.card.score_threshold
    for proposer, flips in (*((name, False) for name in _PROPOSERS), (engine.card.proposer, True)):
        scores = [
            score(one, find(engine, one, threshold, proposer, flips), threshold) for one in tiles
        ]
        yield proposer, "yes" if flips else "no", f"{np.mean(scores):.4f}"
    yield "watershed alone", "no", f"{np.mean([basins_alone(engine, one) for one in tiles]):.4f}"


@click.command()
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--model", default="uninuc-n", show_default=True, help="Model id or folder.")
@click.option("--device", default="auto", show_default=True)
@click.option("--test", is_flag=True, help="Measure the test tiles with the card's settings.")
def main(data: Path, model: str, device: str, test: bool) -> None:
    """Sweep on validation, or measure on test; prints Markdown tables line by line."""
    engine = load_engine(model, device)
    click.echo(f"model {engine.card.id} {engine.card.sha256[:12]} on {engine.device}\n")

    def read(folder: str, include: tuple[str, ...]) -> list[LabelledTile]:
        return [image.read(MPP) for image in read_folder(data / folder, include)]

    if not test:
        tiles = read("monuseg/train", VALIDATION)
        header = ("proposer", "flips", "margin", "best threshold", "mSA", "at the card's threshold")
        print_table(header, sweep, engine, tiles)
        click.echo(f"watershed alone {np.mean([basins_alone(engine, t) for t in tiles]):.4f}")
        return
    for name, (folder, include) in _TESTS.items():
        print_table(("proposer", "flips", f"mSA, {name}"), measured, engine, read(folder, include))


def print_table(
    header: tuple[str, ...],
    lines: Callable[[TorchEngine, list[LabelledTile]], Iterator[tuple[str, ...]]],
    engine: TorchEngine,
    tiles: list[LabelledTile],
) -> None:
    """Print each line as soon as it is known."""
    click.echo("| " + " | ".join(header) + " |\n|" + "---|" * len(header))
    for cells in lines(engine, tiles):
        click.echo("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
