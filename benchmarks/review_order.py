"""Errors met in the first 20 % of a review, by uncertainty and in reading order.

python benchmarks/review_order.py DATA [--model ID|PATH] [--device NAME] [--tune]

DATA is the folder that holds ``monuseg`` and ``consep`` as the recipes have them. With ``--tune``
the weights of the terms are first chosen on the four validation tiles, and shown; the default
weights in ``core/uncertainty.py`` are what it chose for the bundled model.
"""

from dataclasses import astuple, fields
from pathlib import Path

import click
from review_cases import (
    ReviewCase,
    evaluate_review,
    score_review,
    tune_weights,
)
from validation_tiles import MPP, VALIDATION

from napari_uninuc.core.uncertainty import ReviewWeights
from napari_uninuc.datasets.folder import read_folder
from napari_uninuc.engine.annotator import load_annotator

_SETS: dict[str, tuple[str, tuple[str, ...]]] = {
    "MoNuSeg validation": ("monuseg/train", VALIDATION),
    "MoNuSeg test": ("monuseg/test", ()),
    "CoNSeP test": ("consep", ("test_*",)),
}
_TERMS = tuple(item.name for item in fields(ReviewWeights))


def alone(name: str) -> ReviewWeights:
    """Weights that look at one term only."""
    return ReviewWeights(**{term: float(term == name) for term in _TERMS})


def print_table(cases_of: dict[str, list[ReviewCase]], weights: ReviewWeights) -> None:
    """One line a data set: share of all errors met in the first 20 %, all tiles together."""
    orders = {"uncertainty": weights, **{f"{name} only": alone(name) for name in _TERMS}}
    print("| data set | tiles | nuclei | wrong | raster | best | " + " | ".join(orders) + " |")
    print("|" + "---|" * (6 + len(orders)))
    for name, cases in cases_of.items():
        rows = [score_review(case, weights) for case in cases]
        wrong = max(sum(row.n_wrong for row in rows), 1)
        cells = [len(cases), sum(row.n_nuclei for row in rows), wrong]
        shares = [sum(row.raster for row in rows), sum(row.best for row in rows)]
        for order in orders.values():
            shares.append(sum(score_review(case, order).uncertain for case in cases))
        text = [str(cell) for cell in cells] + [f"{share / wrong:.3f}" for share in shares]
        print(f"| {name} | " + " | ".join(text) + " |")


@click.command()
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--model", default="uninuc-n", show_default=True, help="Model id or folder.")
@click.option("--device", default="auto", show_default=True)
@click.option("--tune", is_flag=True, help="Choose the weights on the validation tiles first.")
def main(data: Path, model: str, device: str, tune: bool) -> None:
    """Segment every tile, order its nuclei, and print a table."""
    annotator = load_annotator(model, device)
    cases_of = {}
    for name, (folder, include) in _SETS.items():
        images = read_folder(data / folder, include)
        cases_of[name] = evaluate_review(annotator, images, mpp=MPP)
    weights = tune_weights(cases_of["MoNuSeg validation"]) if tune else ReviewWeights()
    print(f"model {annotator.card.id} {annotator.card.sha256[:12]}")
    print("weights", dict(zip(_TERMS, astuple(weights), strict=True)))
    print_table(cases_of, weights)


if __name__ == "__main__":
    main()
