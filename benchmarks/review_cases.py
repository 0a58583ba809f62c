"""What the order of a review is worth: errors met in the first part of the queue.

A nucleus is wrong if its IoU with its best true match is below 0.5: a false positive or a bad
outline. Missed nuclei are in no queue and do not count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass
from itertools import product

import numpy as np

from napari_uninuc.core.labels import LabelMap
from napari_uninuc.core.overlaps import match
from napari_uninuc.core.review import ReviewQueue
from napari_uninuc.core.uncertainty import ReviewWeights
from napari_uninuc.core.verbs import add_automatic
from napari_uninuc.datasets.folder import LabelledImage, LabelledTile
from napari_uninuc.engine.protocol import Annotator
from napari_uninuc.engine.settings import SegmentSettings, fewest_px
from napari_uninuc.errors import DatasetError

BUDGET = 0.2
"""Share of the queue that is looked at."""
_WRONG_BELOW_IOU = 0.5
_TUNED_AT = (0.1, 0.2, 0.3)
_STEPS = (0.1, 0.25, 0.5, 1.0, 2.0)
"""Never 0: four tiles are too few to say that a reason is none."""


@dataclass(frozen=True, slots=True, eq=False)
class ReviewCase:
    """An automatic result to be reviewed, and which of its nuclei are wrong.

    Attributes
    ----------
    labels : as an automatic run of the plugin leaves them
    wrong : ids
    """

    name: str
    labels: LabelMap
    wrong: frozenset[int]


@dataclass(frozen=True, slots=True)
class ReviewRow:
    """Errors met in the first `BUDGET` of the nuclei of one tile.

    Attributes
    ----------
    n_nuclei, n_wrong : in the queue
    n_seen : nuclei looked at
    uncertain, raster, best : wrong ones among them, by uncertainty, in reading order, and if the
        wrong ones came first
    """

    image: str
    n_nuclei: int
    n_wrong: int
    n_seen: int
    uncertain: int
    raster: int
    best: int


def segment_for_review(
    annotator: Annotator, labelled: LabelledTile, score_threshold: float | None = None
) -> ReviewCase:
    """Segment a tile as the plugin does and compare it with its labels.

    Parameters
    ----------
    labelled : every nucleus labelled, or true finds count as wrong
    score_threshold : in [0, 1]; None takes the card's
    """
    tile, card = labelled.tile, annotator.card
    threshold = card.score_threshold if score_threshold is None else score_threshold
    smallest = fewest_px(SegmentSettings().min_area_um2, tile.mpp or card.mpp)
    labels = LabelMap(tile.shape)
    for field in annotator.fields(tile):
        found = annotator.segment_field(tile, field, threshold)
        masks, boxes = [one.mask for one in found], [one.box_yxyx for one in found]
        edit = add_automatic(labels, masks, boxes, threshold, smallest)
        if edit is not None:
            labels.apply(edit)
    return ReviewCase(tile.name, labels, wrong_nuclei(labelled.labels, labels.pixels))


def wrong_nuclei(truth: np.ndarray, predicted: np.ndarray) -> frozenset[int]:
    """Ids of `predicted` whose best IoU with any nucleus of `truth` is below 0.5.

    Parameters
    ----------
    truth, predicted : (H, W) integers, 0 background
    """
    overlaps = match(truth, predicted)
    best = np.zeros(len(overlaps.second_ids))
    np.maximum.at(best, overlaps.second_index, overlaps.ious)
    return frozenset(overlaps.second_ids[best < _WRONG_BELOW_IOU].tolist())


def raster_order(labels: LabelMap) -> list[int]:
    """Visible ids as they are met from top to bottom (first row of their box), then by column."""
    ids = [id_ for id_, row in labels.nuclei.items() if row.visible]
    return sorted(ids, key=lambda id_: labels.box(id_)[:2])


def n_met(order: Sequence[int], wrong: Iterable[int], budget: float = BUDGET) -> int:
    """Count the wrong nuclei among the first `budget` of an order, rounded up to whole nuclei."""
    return len(set(order[: _n_seen(len(order), budget)]) & set(wrong))


def _n_seen(n_nuclei: int, budget: float) -> int:
    return int(np.ceil(budget * n_nuclei - 1e-9))


def score_review(case: ReviewCase, weights: ReviewWeights | None = None) -> ReviewRow:
    """Walk one queue by uncertainty and in reading order."""
    order = ReviewQueue(case.labels, weights).order()
    n_seen = _n_seen(len(order), BUDGET)
    return ReviewRow(
        image=case.name,
        n_nuclei=len(order),
        n_wrong=len(case.wrong),
        n_seen=n_seen,
        uncertain=n_met(order, case.wrong),
        raster=n_met(raster_order(case.labels), case.wrong),
        best=min(n_seen, len(case.wrong)),
    )


def evaluate_review(
    annotator: Annotator,
    images: Sequence[LabelledImage],
    *,
    mpp: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[ReviewCase]:
    """Segment labelled images for review, one case an image; score them with `score_review`.

    Parameters
    ----------
    images : labelled exhaustively
    mpp : micrometres per pixel of all the images; None takes the model's
    progress : called with (images done, images in all)

    Raises
    ------
    DatasetError
        A file cannot be read.
    """
    cases = []
    for done, image in enumerate(images, start=1):
        cases.append(segment_for_review(annotator, image.read(mpp)))
        if progress is not None:
            progress(done, len(images))
    return cases


def tune_weights(cases: Sequence[ReviewCase]) -> ReviewWeights:
    """Find the weights that meet most errors early, over all combinations of a coarse grid.

    The aim is the mean share of errors met in the first 10, 20 and 30 % of the queues, errors of
    all cases together. Of equal ones the first is taken.

    Raises
    ------
    DatasetError
        The cases have no error to be met.
    """
    tables = [_table(case) for case in cases]
    if not any(wrong.any() for _, wrong in tables):
        raise DatasetError("weights are tuned by errors, got tiles without any; pass others")
    unique = {astuple(ReviewWeights(*_scaled(steps))) for steps in product(_STEPS, repeat=5)}
    ranked = sorted(unique, key=lambda values: (-_early(tables, np.array(values)), values))
    return ReviewWeights(*ranked[0])


def _scaled(steps: tuple[float, ...]) -> tuple[float, ...]:
    """Make the largest 1: only ratios matter, and half the grid is the other half doubled."""
    return tuple(step / max(steps) for step in steps)


def _table(case: ReviewCase) -> tuple[np.ndarray, np.ndarray]:
    """Terms (N, T) of `Uncertainty` of the nuclei of a case, by id, and which are wrong (N,)."""
    queue = ReviewQueue(case.labels)
    ids = sorted(queue.order())
    terms = np.array([astuple(queue.uncertainty_of(id_)) for id_ in ids]).reshape(len(ids), -1)
    return terms, np.isin(ids, sorted(case.wrong))


def _early(tables: Sequence[tuple[np.ndarray, np.ndarray]], weights: np.ndarray) -> float:
    met = np.zeros(len(_TUNED_AT))
    for terms, wrong in tables:
        ordered = wrong[np.argsort(-(terms @ weights), kind="stable")]
        met += [ordered[: _n_seen(len(ordered), budget)].sum() for budget in _TUNED_AT]
    n_wrong = sum(int(wrong.sum()) for _, wrong in tables)
    return float(met.mean() / n_wrong)
