"""What the model should be told beside a click that fixes an outline it has drawn itself.

python benchmarks/fix_in_place.py DATA [--model ID|PATH] [--device NAME] [--per-tile N] [--clicks N]

DATA is the folder that holds ``monuseg/train``. Automatic outlines of the four validation tiles
whose IoU with the truth is 0.3 to 0.8 are taken in hand and clicked as in the plugin: one click at
a time, in the middle of the largest error, answered by `answer_prompt`, each answer starting from
the last. The arms differ in what `engine.anchors` adds to the clicks; users get the first.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import click
import numpy as np
from review_cases import segment_for_review
from scipy import ndimage
from validation_tiles import MPP, VALIDATION

from napari_uninuc.core.instances import InstanceMask, largest_piece
from napari_uninuc.core.overlaps import match
from napari_uninuc.core.prompts import MaskLogits, Prompt
from napari_uninuc.core.tile import Tile
from napari_uninuc.datasets.folder import LabelledTile, read_folder
from napari_uninuc.engine.anchors import with_anchors
from napari_uninuc.engine.annotator import TorchAnnotator, load_annotator
from napari_uninuc.engine.interactive import answer_prompt
from napari_uninuc.evaluation.crops import Crop, crop_iou, crop_of, targets_of

_WORST, _BEST = 0.3, 0.8
"""IoU of outlines worth fixing: of the same nucleus, and visibly wrong."""
_WORSE_BY = 0.02
_ARMS: dict[str, Callable[[Prompt], Prompt]] = {
    "box": with_anchors,
    "box + inside click": partial(with_anchors, click=True),
    "inside click": partial(with_anchors, box=False, click=True),
    "nothing": partial(with_anchors, box=False),
}


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """An automatic outline, and the nucleus it is meant for."""

    tile: Tile
    outline: InstanceMask
    truth: Crop


@dataclass(slots=True)
class Score:
    """What became of the cases of one arm.

    Attributes
    ----------
    ious : for each case its IoU before, and after each click
    empty : answers without a pixel
    ignored : answers that do not do what the click says
    """

    ious: list[list[float]] = field(default_factory=list)
    empty: int = 0
    ignored: int = 0


def cases_of(annotator: TorchAnnotator, labelled: LabelledTile, most: int) -> list[Case]:
    """Outlines of a tile to be fixed; at most ``most`` of them, drawn at random, 0 for all."""
    labels = segment_for_review(annotator, labelled).labels
    overlaps = match(labelled.labels, labels.pixels)
    targets = targets_of(labelled.labels)  # ids ascending, as in overlaps
    cases = []
    for row, id_ in enumerate(overlaps.second_ids.tolist()):
        pairs = np.flatnonzero(overlaps.second_index == row)
        if len(pairs) == 0:
            continue
        best = pairs[overlaps.ious[pairs].argmax()]
        if _WORST < overlaps.ious[best] < _BEST:
            truth = targets[overlaps.first_index[best]]
            cases.append(Case(labelled.tile, labels.mask(id_), truth))
    if not 0 < most < len(cases):
        return cases
    chosen = np.random.default_rng(0).choice(len(cases), most, replace=False)
    return [cases[place] for place in sorted(chosen.tolist())]


def middle_of_error(shown: Crop, truth: Crop) -> tuple[tuple[float, float], bool] | None:
    """Find the deepest px of the largest piece that is missing or too much; None without errors.

    Returns
    -------
    click_yx, inside : px of the tile; inside where it is missing
    """
    boxes = np.array([box.box_yxyx for box in (shown, truth) if box.area])
    (y0, x0), (y1, x1) = boxes[:, :2].min(axis=0).tolist(), boxes[:, 2:].max(axis=0).tolist()
    ours, theirs = (crop.within((y0, x0, y1, x1)) for crop in (shown, truth))
    pieces = [largest_piece(theirs & ~ours), largest_piece(ours & ~theirs)]
    inside = bool(pieces[0].sum() >= pieces[1].sum())
    error = pieces[0] if inside else pieces[1]
    if not error.any():
        return None
    depth = ndimage.distance_transform_edt(np.pad(error, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return (float(row) + y0, float(column) + x0), inside


def fix(
    annotator: TorchAnnotator,
    case: Case,
    anchor: Callable[[Prompt], Prompt],
    clicks: int,
    score: Score,
) -> None:
    """Click on one outline until it is right or the clicks are spent; adds to ``score``."""
    prompt = Prompt(previous=MaskLogits.from_mask(case.outline))
    shown = crop_of(case.outline.mask, case.outline.origin_yx)
    ious = [crop_iou(case.truth, shown)]
    for _ in range(clicks):
        wrong = middle_of_error(shown, case.truth)
        if wrong is not None:
            click_yx, inside = wrong
            prompt = prompt.with_point(click_yx, inside)
            answer = answer_prompt(annotator.engine, case.tile, prompt, anchor)
            prompt = prompt.with_previous(answer.logits)
            shown = crop_of(answer.mask.mask, answer.mask.origin_yx)
            y, x = (round(value) for value in click_yx)
            score.empty += shown.area == 0
            score.ignored += bool(shown.within((y, x, y + 1, x + 1)).any()) != inside
        ious.append(crop_iou(case.truth, shown))
    score.ious.append(ious)


def print_table(scores: dict[str, Score], clicks: int) -> None:
    """One line an arm; differences to the first arm with the standard error of their mean."""
    print("| told beside the click | " + " | ".join(f"IoU {k}" for k in range(clicks + 1)), end="")
    print(" | worse after 1 | empty | ignored | first - this, IoU 1 |")
    print("|" + "---|" * (clicks + 6))
    first = np.array(next(iter(scores.values())).ious)
    for name, score in scores.items():
        ious = np.array(score.ious)  # (cases, clicks + 1)
        cells = [f"{value:.3f}" for value in ious.mean(axis=0)]
        worse = (ious[:, 1] < ious[:, 0] - _WORSE_BY).mean()
        ahead = first[:, 1] - ious[:, 1]
        error = ahead.std() / np.sqrt(len(ahead))
        cells += [f"{worse:.2f}", str(score.empty), str(score.ignored)]
        print(f"| {name} | " + " | ".join(cells) + f" | {ahead.mean():+.3f} ± {error:.3f} |")


@click.command()
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--model", default="uninuc-n", show_default=True, help="Model id or folder.")
@click.option("--device", default="auto", show_default=True)
@click.option("--per-tile", default=40, show_default=True, type=click.IntRange(min=0))
@click.option("--clicks", default=4, show_default=True, type=click.IntRange(min=1))
def main(data: Path, model: str, device: str, per_tile: int, clicks: int) -> None:
    """Fix the outlines of every tile by each arm, and print a table."""
    annotator = load_annotator(model, device)
    scores = {name: Score() for name in _ARMS}
    for image in read_folder(data / "monuseg" / "train", VALIDATION):
        for case in cases_of(annotator, image.read(MPP), per_tile):
            for name, anchor in _ARMS.items():
                fix(annotator, case, anchor, clicks, scores[name])
    n_cases = len(next(iter(scores.values())).ious)
    print(f"model {annotator.card.id} {annotator.card.sha256[:12]}, {n_cases} outlines")
    if n_cases:
        print_table(scores, clicks)


if __name__ == "__main__":
    main()
