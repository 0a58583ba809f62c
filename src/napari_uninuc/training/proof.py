"""Whether a learnt state is better, on corrections that it did not see.

Corrections are shared out by place, so that a state is never judged where it was taught. For each
part a state is taught on all the others and judged on that part alone: so every correction is kept
aside once, and the few that there are prove as much as they can. The state that is kept in the end
is taught on all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from napari_uninuc.core.examples import Corrections
from napari_uninuc.core.extents import slices
from napari_uninuc.core.geometry import label_boxes
from napari_uninuc.engine.automatic import find_in_field
from napari_uninuc.engine.settling import settled
from napari_uninuc.engine.torch_engine import TorchEngine
from napari_uninuc.network.adapter_card import Proof

__all__ = ["CONFIDENCE", "PARTS", "Judged", "judge", "parts_by_place", "proof_of"]

PARTS = 4
CONFIDENCE = 0.8
"""Of the interval that must lie above 0. One in ten states that are no better passes, and of these
one in twenty or so passes the other test (`Proof.is_better`) too, were they not alike; those taught
at random are worse."""
_CHANGED = 0.005
"""In quality; less is no change."""
_RIGHT = 0.5
_FALSE_COSTS = 0.4
"""What an outline where there is no nucleus takes off, where a perfect one of a nucleus adds 1:
about what it costs in panoptic quality."""
_RESAMPLES = 4000


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of one correction that was kept aside.

    Attributes
    ----------
    is_nucleus : there is one
    iou : of the best outline with it; of a deleted one the share of it that is outlined again
    right : outlined where there is a nucleus, and not where there is none
    """

    is_nucleus: bool
    iou: float
    right: bool

    @property
    def quality(self) -> float:
        """In [-0.4, 1]: of a nucleus its IoU, found or not, for a step at 0.5 would make chance of
        what little changes there; of a deleted one 0 or -0.4.
        """
        if self.is_nucleus:
            return self.iou
        return 0.0 if self.right else -_FALSE_COSTS


def parts_by_place(pictures: Sequence[Corrections], count: int = PARTS) -> list[np.ndarray]:
    """Share corrections out into parts that lie apart.

    Pictures that are the same count as one place. The examples are cut in two where they lie
    farthest along, and each half again, until there are enough parts.

    Returns
    -------
    parts : for each picture (E,) int64, 0..count - 1: the part of each of its examples
    """
    digests = {digest: k for k, digest in enumerate({each.tile.digest: 0 for each in pictures})}
    rows = [
        (digests[picture.tile.digest], *example.centre_yx)
        for picture in pictures
        for example in picture.examples
    ]
    places = np.array(rows, np.float64).reshape(-1, 3)
    part = np.zeros(len(places), np.int64)
    waiting = [(np.arange(len(places)), 0, count)]
    while waiting:
        index, first, n = waiting.pop()
        if n == 1 or len(index) == 0:
            part[index] = first
            continue
        here = places[index]
        # Between pictures first: nothing lies farther apart.
        axis = 0 if np.ptp(here[:, 0]) > 0 else 1 + int(np.ptp(here[:, 1:], axis=0).argmax())
        order = index[np.lexsort((here[:, 2], here[:, 1], here[:, axis]))]
        middle = len(order) * (n // 2) // n
        waiting += [(order[:middle], first, n // 2), (order[middle:], first + n // 2, n - n // 2)]
    ends = np.cumsum([len(each.examples) for each in pictures])[:-1]
    return np.split(part, ends)


def judge(
    engine: TorchEngine, picture: Corrections, chosen: np.ndarray, threshold: float
) -> list[Judged]:
    """Outline a picture as `uninuc segment` does, where the chosen examples lie, and compare.

    Parameters
    ----------
    chosen : (E,) bool
    threshold : score below which nuclei are dropped

    Returns
    -------
    judged : of the chosen examples, in their order
    """
    examples = [each for each, yes in zip(picture.examples, chosen.tolist(), strict=True) if yes]
    if not examples:
        return []
    near = np.array([each.box_yxyx for each in examples], np.float32)
    found = [
        one
        for field in engine.fields(picture.tile)
        for one in find_in_field(engine, picture.tile, field, threshold, near_yxyx=near)
    ]
    names, card = engine.config.classes, engine.card
    labels = settled(found, picture.tile, names, card.mpp, {}).labels
    ids, boxes = label_boxes(labels)
    areas = {
        int(id_): int(np.count_nonzero(labels[slices((y0, x0, y1, x1))] == id_))
        for id_, (y0, x0, y1, x1) in zip(ids.tolist(), boxes.tolist(), strict=True)
    }
    return [
        _judged(each.is_nucleus, labels[slices(each.box_yxyx)][each.mask], areas)
        for each in examples
    ]


def _judged(is_nucleus: bool, beneath: np.ndarray, areas: Mapping[int, int]) -> Judged:
    """Compare an example with the outlines that lie on its pixels."""
    ids, counts = np.unique(beneath[beneath > 0], return_counts=True)
    best = 0.0
    for id_, shared in zip(ids.tolist(), counts.tolist(), strict=True):
        whole = min(beneath.size, areas[id_]) if not is_nucleus else 0
        union = beneath.size + areas[id_] - shared
        best = max(best, shared / (whole or union))
    return Judged(is_nucleus, best, (best > _RIGHT) == is_nucleus)


def proof_of(before: Sequence[Judged], after: Sequence[Judged]) -> Proof:
    """Say what a state is worth.

    Parameters
    ----------
    before, after : of the same corrections, at least one; those beside each other in the list are
        near each other
    """
    gains = np.array([b.quality - a.quality for a, b in zip(before, after, strict=True)])
    low, high = _interval(gains)

    def count(judged: Sequence[Judged], nucleus: bool, right: bool) -> int:
        return sum(each.is_nucleus is nucleus and each.right is right for each in judged)

    return Proof(
        nuclei=sum(each.is_nucleus for each in before),
        right_before=count(before, True, True),
        right_after=count(after, True, True),
        deleted=sum(not each.is_nucleus for each in before),
        false_before=count(before, False, False),
        false_after=count(after, False, False),
        better=int(np.count_nonzero(gains > _CHANGED)),
        worse=int(np.count_nonzero(gains < -_CHANGED)),
        gain=round(float(gains.mean()), 4),
        low=round(low, 4),
        high=round(high, 4),
        confidence=CONFIDENCE,
    )


def _interval(gains: np.ndarray) -> tuple[float, float]:
    """Bootstrap interval of the mean, 4,000 resamples."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(gains), size=(_RESAMPLES, len(gains)))
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(gains[drawn].mean(axis=1), [tail, 100 - tail])
    return float(low), float(high)
