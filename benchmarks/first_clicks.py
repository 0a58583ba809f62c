"""What the detector adds to the answer to a first click (`napari_uninuc.engine.offered`).

python benchmarks/first_clicks.py [RECIPE] [--model ID|PATH] [--per-tile 60] [--corrections 0]

Clicks in the middle of nuclei of an evaluation recipe's data sets (without one: those kept out of
training) and prints mSA and mean IoU of the first answers, and of the last corrections, without
the detector and with it; and p of Wilcoxon's paired test on the pictures' mean IoU. Then what an
answer to one click takes, by turns, once the detector has looked: CPU ms, median.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
from scipy.stats import wilcoxon

from napari_uninuc.core.detections import Detections
from napari_uninuc.core.geometry import label_boxes
from napari_uninuc.core.prompts import Prompt
from napari_uninuc.datasets.folder import LabelledTile
from napari_uninuc.datasets.recipes import load_toml_recipe
from napari_uninuc.engine.interactive import answer_prompt
from napari_uninuc.engine.predictor import Predictor, load_predictor
from napari_uninuc.evaluation.interactive import InteractiveProtocol, score_interactive
from napari_uninuc.evaluation.recipe import EvaluationRecipe

_RECIPES = Path(__file__).parents[1] / "recipes"
_TIMED = 60


def scored(
    predictor: Predictor, tiles: list[LabelledTile], mpp: float | None, rule: InteractiveProtocol
) -> np.ndarray:
    """(tiles, 2, 2) mSA and mean IoU of the first and of the last answers."""
    told = []
    for labelled in tiles:
        predictor.set_image(labelled.tile.rgb, mpp=mpp)
        rows = score_interactive(predictor, labelled, rule)
        if rows[0].n_truth:
            told.append([(row.msa, row.mean_iou) for row in (rows[0], rows[-1])])
    return np.array(told)


def milliseconds(
    predictor: Predictor, labelled: LabelledTile, ways: dict[str, Callable[[], None]]
) -> dict[str, float]:
    """CPU time of an answer to one click, each way by turns."""
    engine, tile = predictor.engine, labelled.tile
    _, boxes = label_boxes(labelled.labels)
    spent: dict[str, list[float]] = {way: [] for way in ways}
    for y0, x0, y1, x1 in boxes[:_TIMED].tolist():
        prompt = Prompt(points_yx=(((y0 + y1) / 2, (x0 + x1) / 2),), inside=(True,))
        for way, turn in ways.items():
            turn()
            began = time.process_time()
            answer_prompt(engine, tile, prompt)
            spent[way].append(1e3 * (time.process_time() - began))
    return {way: float(np.median(each[1:])) for way, each in spent.items()}


@click.command(help=__doc__)
@click.argument(
    "recipe",
    default=_RECIPES / "evaluate-unseen.toml",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@click.option("--model", default="uninuc-n", show_default=True, help="Model id or folder.")
@click.option("--per-tile", default=60, show_default=True, type=click.IntRange(min=1))
@click.option("--corrections", default=0, show_default=True, type=click.IntRange(min=0))
def main(recipe: Path, model: str, per_tile: int, corrections: int) -> None:
    """Print the table."""
    predictor = load_predictor(model, device="cpu")
    engine = predictor.engine
    looks = engine.propose

    def with_detector() -> None:
        engine.propose = looks

    def without() -> None:
        engine.propose = lambda embedding: Detections.empty()

    ways = {"the click alone": without, "with the detector": with_detector}
    rule = InteractiveProtocol("point", corrections=corrections, max_nuclei=per_tile)
    last = f", after {corrections} corrections" if corrections else ""
    print(f"| pictures | answered by | mSA, IoU{last} | p |")
    print("|---|---|---|---|")
    labelled: LabelledTile | None = None
    for spec in load_toml_recipe(recipe, EvaluationRecipe).datasets:
        tiles = [image.read(spec.mpp) for image in spec.images()]
        labelled = tiles[0]
        told = {}
        for way, turn in ways.items():
            turn()
            told[way] = scored(predictor, tiles, spec.mpp, rule)
        alone, helped = (each[:, 0, 1] for each in told.values())
        p = wilcoxon(alone, helped).pvalue
        for way, each in told.items():
            (msa, iou), (late, late_iou) = each.mean(axis=0)
            more = f"; {late:.4f}, {late_iou:.4f}" if corrections else ""
            told_p = f"{p:.2g}" if way == "with the detector" else ""
            name = f"{spec.name}, {len(each)}"
            print(f"| {name} | {way} | {msa:.4f}, {iou:.4f}{more} | {told_p} |", flush=True)
    if labelled is not None:
        with_detector()
        engine.propose(engine.embed(labelled.tile, engine.fields(labelled.tile)[0]))
        spent = milliseconds(predictor, labelled, ways)
        print(", ".join(f"{way} {each:.1f} ms" for way, each in spent.items()))


if __name__ == "__main__":
    main()
