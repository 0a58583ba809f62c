"""Next points beside the detector: points found, outlines, time; on tiles that chose nothing.

python benchmarks/next_points.py DATA [--points FILE]... [--outlines] [--set NAME]

DATA holds ``monuseg`` and ``consep``. Each FILE is a decoder of next points taught on the model's
weights; without one, that beside them. F1 is of points at most 3 um from a nucleus' centroid, one
to one (NuNext, equations 13 to 17), over all nuclei of a set, at the threshold that is best on that
set; the detector's points are the middles of its boxes. Time is the median of rounds by
turns, of one view, without encoding. ``--outlines`` adds bPQ and mSA of what is drawn, one view.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import torch
from validation_tiles import MPP, VALIDATION

from napari_uninuc.core.detections import Detections
from napari_uninuc.core.instances import paint_masks, resolve_overlaps
from napari_uninuc.core.overlaps import match
from napari_uninuc.datasets.folder import LabelledTile, read_folder
from napari_uninuc.engine.automatic import find_in_field
from napari_uninuc.engine.loading import load_engine
from napari_uninuc.engine.next_points import NextPointProposer
from napari_uninuc.engine.proposers import threshold_of
from napari_uninuc.engine.torch_engine import TorchEngine
from napari_uninuc.evaluation import metrics
from napari_uninuc.network.point_files import load_points
from napari_uninuc.training.point_rewards import match_points

_SETS = {
    "MoNuSeg validation": ("monuseg/train", VALIDATION),
    "CoNSeP test": ("consep", ("test_*",)),
    "MoNuSeg test": ("monuseg/test", ()),
}
_THRESHOLDS = np.arange(0.1, 0.71, 0.05).round(2).tolist()
_RADIUS = metrics.CENTROID_RADIUS_UM / MPP
_ROUNDS = 3
_Counts = tuple[int, int, int]
"""Hits, points, nuclei."""


def counts_of(points_yx: np.ndarray, truth_yx: np.ndarray) -> _Counts:
    """Count the hits of some points."""
    found = torch.from_numpy(points_yx.astype(np.float32))
    matched = match_points(found, torch.from_numpy(truth_yx.astype(np.float32)), _RADIUS)
    return int(matched.hits.sum()), len(points_yx), len(truth_yx)


def f1_of(counts: list[_Counts]) -> float:
    """F1 over all nuclei of some tiles."""
    hits, points, nuclei = np.sum(counts, axis=0)
    return float(2 * hits / (points + nuclei))


def middles(boxes: Detections, threshold: float) -> np.ndarray:
    """Middles of boxes above a threshold, pixel centres at integers."""
    corners = boxes.boxes_yxyx[boxes.scores >= threshold]
    return (corners[:, :2] + corners[:, 2:]) / 2 - 0.5


def by_turns(calls: list[Callable[[], object]]) -> list[float]:
    """Median seconds of each call."""
    seconds: list[list[float]] = [[] for _ in calls]
    for _ in range(_ROUNDS):
        for spent, call in zip(seconds, calls, strict=True):
            began = time.perf_counter()
            call()
            spent.append(time.perf_counter() - began)
    return [statistics.median(spent) for spent in seconds]


def outlined(engine: TorchEngine, labelled: LabelledTile, proposer: str) -> tuple[float, float]:
    """Return bPQ and mSA of a tile's outlines at the card's threshold."""
    threshold = threshold_of(engine.card, proposer, None)
    masks = [
        nucleus.mask
        for field in engine.fields(labelled.tile)
        for nucleus in find_in_field(
            engine, labelled.tile, field, threshold, proposer=proposer, flips=False
        )
    ]
    shape = labelled.labels.shape
    labels = paint_masks(resolve_overlaps(masks, shape, min_area=16), shape)
    quality = metrics.panoptic_quality_of(match(labelled.labels, labels))
    return quality.pq, metrics.mean_segmentation_accuracy(labelled.labels, labels)


@click.command(help=__doc__)
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--points", multiple=True, type=click.Path(exists=True, path_type=Path))
@click.option("--set", "chosen", multiple=True, type=click.Choice(list(_SETS)))
@click.option("--outlines", is_flag=True)
@click.option("--tiles", default=100, help="At most so many of each set.")
def main(
    data: Path, points: tuple[Path, ...], chosen: tuple[str, ...], outlines: bool, tiles: int
) -> None:
    """Print a table for each set."""
    engine = load_engine("uninuc-n", "cpu")
    files = points or (engine.folder / "next-point.safetensors",)  # type: ignore[operator]
    for name in chosen or list(_SETS)[:2]:
        folder, include = _SETS[name]
        images = [image.read(MPP) for image in read_folder(data / folder, include)][:tiles]
        report(engine, files, images, name, outlines)


def report(
    engine: TorchEngine,
    files: tuple[Path, ...],
    images: list[LabelledTile],
    name: str,
    outlines: bool,
) -> None:
    """Print one set."""
    proposers = []
    for file in files:
        engine.point_decoder, _ = load_points(file, engine.card.sha256)
        proposers.append(NextPointProposer(engine))
    labels = ["detector", *map(str, files)]
    counts = {(label, at): list[_Counts]() for label in labels for at in _THRESHOLDS}
    seconds = []
    for labelled in images:
        (field,) = engine.fields(labelled.tile)
        seen = engine.embed(labelled.tile, field)
        truth, boxes = metrics.centroids(labelled.labels), engine.propose(seen)
        found = [each.points(seen) for each in proposers]
        for at in _THRESHOLDS:
            counts["detector", at].append(counts_of(middles(boxes, at), truth))
            for label, some in zip(labels[1:], found, strict=True):
                kept = some.points_yx[some.scores >= at]
                counts[label, at].append(counts_of(kept, truth))
        last = proposers[-1]
        calls: list[Callable[[], object]] = [
            lambda seen=seen: engine.detected(seen),  # type: ignore[misc]
            lambda seen=seen, last=last: last.propose(seen),  # type: ignore[misc]
        ]
        seconds.append(by_turns(calls))
    click.echo(f"\n{name}, {len(images)} tiles\n")
    click.echo("| points | best threshold | F1 | precision | recall |\n|---|---|---|---|---|")
    for label in labels:
        best = max(_THRESHOLDS, key=lambda at: f1_of(counts[label, at]))
        hits, points, nuclei = np.sum(counts[label, best], axis=0)
        shares = f"{hits / points:.3f} | {hits / nuclei:.3f}"
        click.echo(f"| {label} | {best} | {f1_of(counts[label, best]):.4f} | {shares} |")
    ratios = [mine / theirs for theirs, mine in seconds]
    click.echo(f"\ntime against the detector's, median of tiles: {statistics.median(ratios):.2f}")
    if outlines:
        click.echo("\n| outlines | bPQ | mSA |\n|---|---|---|")
        for proposer_name in ("detector", "next-point", "detector+next-point"):
            found_all = [outlined(engine, one, proposer_name) for one in images]
            bpq, msa = np.mean(found_all, axis=0)
            click.echo(f"| {proposer_name} | {bpq:.4f} | {msa:.4f} |")


if __name__ == "__main__":
    main()
