"""How many clicks an outline costs until it is good enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_uninuc.evaluation.interactive import REACHED_IOUS, InteractiveRow

_CLICKS_A_ROUND = 2


@dataclass(frozen=True, slots=True)
class EffortRow:
    """Work until the nuclei of a data set reach one IoU.

    Attributes
    ----------
    prompt, with_mask : as in `InteractiveProtocol`
    iou : to be reached by the nucleus' own mask, before masks are merged
    n_nuclei : of all images together; each counts the same
    clicks : mean over nuclei; two a round, and one for a first click. A first box is not counted.
        A nucleus that never gets there counts with the clicks of all rounds.
    never : share of nuclei, in [0, 1], that did not get there in any round
    """

    dataset: str
    prompt: str
    with_mask: bool
    iou: float
    n_nuclei: int
    clicks: float
    never: float


def effort_of(rows: Sequence[InteractiveRow]) -> list[EffortRow]:
    """Count clicks by data set and protocol, in the order the rows come.

    Parameters
    ----------
    rows : every image with the same rounds; images without nuclei count for nothing
    """
    groups: dict[tuple[str, str, bool], list[InteractiveRow]] = {}
    for row in rows:
        groups.setdefault((row.dataset, row.prompt, row.with_mask), []).append(row)
    found = []
    for key, group in groups.items():
        rounds = sorted({row.iteration for row in group})
        n_nuclei = sum(row.n_truth for row in group if row.iteration == rounds[0])
        if n_nuclei == 0:
            continue
        for which, iou in enumerate(REACHED_IOUS):
            missing = 1 - np.array([_n_reached(group, r, which) for r in rounds]) / n_nuclei
            spent = _CLICKS_A_ROUND * float(np.sum(missing[:-1] * np.diff(rounds)))
            first = 1 if key[1] == "point" else 0
            found.append(EffortRow(*key, iou, n_nuclei, first + spent, float(missing[-1])))
    return found


def _n_reached(rows: Sequence[InteractiveRow], iteration: int, which: int) -> int:
    return sum(row.reached[which] for row in rows if row.iteration == iteration)
