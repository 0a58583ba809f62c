"""What kinds of nuclei are missed, which outlines are wrong, and whether the model knows.

python benchmarks/where_it_fails.py [RECIPE...] [--model ID|PATH] [--device NAME]

Segments the data sets of evaluation recipes as the window does (without any: those kept out of
training, and the test tiles) and prints two tables. Of true nuclei: how many are found (IoU 0.5),
and of those whose contour lies at another nucleus for more than a fifth. Of outlines: how many are
wrong (IoU below 0.5 with every nucleus) or drawn over two nuclei or more, how many of either come
in the first fifth of the review, and how far expected and true IoU lie apart, of all and of the
third of which least is expected.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from review_cases import BUDGET, n_met, segment_for_review
from scipy import ndimage

from napari_uninuc.core.overlaps import match
from napari_uninuc.core.review import ReviewQueue
from napari_uninuc.datasets.folder import LabelledTile
from napari_uninuc.datasets.recipes import load_toml_recipe
from napari_uninuc.engine.annotator import load_annotator
from napari_uninuc.engine.protocol import Annotator
from napari_uninuc.evaluation.calibration import Reliability, best_ious, calibration_of
from napari_uninuc.evaluation.recipe import EvaluationRecipe

_RECIPES = Path(__file__).parents[1] / "recipes"
_TOUCHING, _FOUND, _COVERED = 0.2, 0.5, 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """One tile.

    Attributes
    ----------
    found, touching : (T,) bool, of true nuclei
    expected, true : (P,) IoU of outlines, in the order of their review
    merged : (P,) bool, the outline holds more than half of each of two true nuclei or more
    """

    found: np.ndarray
    touching: np.ndarray
    expected: np.ndarray
    true: np.ndarray
    merged: np.ndarray


def contact_shares(labels: np.ndarray) -> dict[int, float]:
    """Share of each nucleus' contour that lies at another nucleus.

    Parameters
    ----------
    labels : (H, W) integers, 0 background

    Returns
    -------
    shares : by id; of the pixels that have another id or background beside them (4 neighbours),
        those with another nucleus among the 8 around them
    """
    padded = np.pad(labels, 1, mode="edge")
    height, width = labels.shape
    around = np.stack(
        [
            padded[1 + y : 1 + y + height, 1 + x : 1 + x + width]
            for y in (-1, 0, 1)
            for x in (-1, 0, 1)
        ]
    )
    contour = (around[[1, 3, 5, 7]] != labels).any(axis=0) & (labels > 0)
    met = ((around != labels) & (around > 0)).any(axis=0) & contour
    ids = np.unique(labels[labels > 0])
    shares = ndimage.sum_labels(met, labels, ids) / np.maximum(
        ndimage.sum_labels(contour, labels, ids), 1
    )
    return dict(zip(ids.tolist(), shares.tolist(), strict=True))


def judge(annotator: Annotator, labelled: LabelledTile) -> Judged:
    """Segment a tile and compare."""
    labels = segment_for_review(annotator, labelled).labels
    overlaps = match(labelled.labels, labels.pixels)
    best = np.zeros(len(overlaps.first_ids))
    np.maximum.at(best, overlaps.first_index, overlaps.ious)
    shares = contact_shares(labelled.labels)
    inside = overlaps.intersections > _COVERED * overlaps.first_areas[overlaps.first_index]
    held = np.bincount(overlaps.second_index[inside], minlength=len(overlaps.second_ids))
    place = {id_: row for row, id_ in enumerate(overlaps.second_ids.tolist())}
    order = ReviewQueue(labels).order()
    rows = np.array([place[id_] for id_ in order], int)
    return Judged(
        best > _FOUND,
        np.array([shares[id_] > _TOUCHING for id_ in overlaps.first_ids.tolist()], bool),
        np.array([labels.nuclei[id_].predicted_iou for id_ in order]),
        best_ious(overlaps)[rows],
        (held >= 2)[rows],
    )


def apart(expected: np.ndarray, true: np.ndarray) -> float:
    """Expected calibration error, as evaluation has it; NaN without outlines."""
    rows = calibration_of([(("", "automatic", False, 0), Reliability.of(expected, true))])
    return rows[0].error if rows else float("nan")


def early(marked: list[np.ndarray]) -> tuple[int, float]:
    """How many outlines are marked, and the share of them in the first fifth of their review."""
    met = sum(n_met(range(len(one)), np.flatnonzero(one).tolist(), BUDGET) for one in marked)
    total = sum(int(one.sum()) for one in marked)
    return total, met / max(total, 1)


def share(marked: np.ndarray) -> float:
    """Of (N,) bool that are true; NaN of none."""
    return float(marked.mean()) if len(marked) else float("nan")


def nuclei_row(name: str, judged: list[Judged]) -> str:
    """Of true nuclei."""
    found = np.concatenate([one.found for one in judged])
    touching = np.concatenate([one.touching for one in judged])
    return (
        f"| {name} | {len(judged)} | {len(found)} | {share(found):.3f} | {touching.sum()} "
        f"| {share(found[touching]):.3f} | {share(found[~touching]):.3f} |"
    )


def outlines_row(name: str, judged: list[Judged]) -> str:
    """Of outlines."""
    expected = np.concatenate([one.expected for one in judged])
    true = np.concatenate([one.true for one in judged])
    least = np.argsort(expected, kind="stable")[: len(expected) // 3]
    wrong, wrong_early = early([one.true < _FOUND for one in judged])
    merged, merged_early = early([one.merged for one in judged])
    return (
        f"| {name} | {len(true)} | {wrong / max(len(true), 1):.3f} | {wrong_early:.3f} "
        f"| {merged / max(len(true), 1):.3f} | {merged_early:.3f} | {apart(expected, true):.3f} "
        f"| {expected[least].sum() / max(len(least), 1):.3f} "
        f"| {true[least].sum() / max(len(least), 1):.3f} "
        f"| {apart(expected[least], true[least]):.3f} |"
    )


def every_set(
    recipes: tuple[Path, ...], annotator: Annotator
) -> Iterator[tuple[str, list[Judged]]]:
    """Each data set once, whichever recipe names it first."""
    specs = {
        spec.name: spec
        for path in reversed(recipes)
        for spec in load_toml_recipe(path, EvaluationRecipe).datasets
    }
    for name, spec in specs.items():
        yield name, [judge(annotator, image.read(spec.mpp)) for image in spec.images()]


@click.command()
@click.argument("recipes", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--model", default="uninuc-n", show_default=True, help="Model id or folder.")
@click.option("--device", default="auto", show_default=True)
def main(recipes: tuple[Path, ...], model: str, device: str) -> None:
    """Segment, compare, print."""
    annotator = load_annotator(model, device)
    default = (_RECIPES / "evaluate-unseen.toml", _RECIPES / "evaluate-automatic.toml")
    judged = dict(every_set(recipes or default, annotator))
    print(f"model {annotator.card.id} {annotator.card.sha256[:12]}\n")
    print("| data set | tiles | nuclei | found | touching | of them found | free, found |")
    print("|" + "---|" * 7)
    for name, tiles in judged.items():
        print(nuclei_row(name, tiles))
    print(
        "\n| data set | outlines | wrong | in the first fifth | over two | in the first fifth",
        end="",
    )
    print(" | error | least third: expected | true | error |")
    print("|" + "---|" * 10)
    for name, tiles in judged.items():
        print(outlines_row(name, tiles))


if __name__ == "__main__":
    main()
