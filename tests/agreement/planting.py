"""Two readers whose every disagreement is known, for it was planted."""

from collections.abc import Sequence

import numpy as np

from napari_uninuc.agreement.kinds import Kind
from napari_uninuc.agreement.reading import Reading, reading_of
from napari_uninuc.core.segmentation import Segmentation

CELL = 24
"""Px of a square with one nucleus, or what two readers make of it."""
AGREED = ("same", "grown")
PLANTS = (*AGREED, *(kind.value for kind in Kind if kind is not Kind.MATCHED))

_YS, _XS = np.ogrid[:CELL, :CELL]
_DISC = (_YS - 12) ** 2 + (_XS - 12) ** 2 <= 64
_GROWN = (_YS - 12) ** 2 + (_XS - 12) ** 2 <= 81
_HALVES = (_DISC & (_XS < 11), _DISC & (_XS > 11))


def plant(
    plants: Sequence[str], columns: int, seed: int = 0
) -> tuple[Reading, Reading, set[tuple[Kind, frozenset[int], frozenset[int]]]]:
    """Draw both readers, cell by cell, with ids in no order.

    Returns
    -------
    a, b : readings with the classes x and y
    expected : kind, ids of A and ids of B of every disagreement
    """
    rng = np.random.default_rng(seed)
    rows = -(-len(plants) // columns)
    labels = np.zeros((2, rows * CELL, columns * CELL), np.int32)
    free = [iter((rng.permutation(3 * len(plants)) + 1).tolist()) for _ in range(2)]
    classes: list[dict[int, str]] = [{}, {}]
    expected = set()
    for k, name in enumerate(plants):
        masks = {
            "only_a": ([_DISC], []),
            "only_b": ([], [_DISC]),
            "split": ([_DISC], _HALVES),
            "merged": (_HALVES, [_DISC]),
            "grown": ([_DISC], [_GROWN]),
        }.get(name, ([_DISC], [_DISC]))
        y, x = k // columns * CELL, k % columns * CELL
        own: list[frozenset[int]] = []
        for reader in range(2):
            ids = [next(free[reader]) for _ in masks[reader]]
            for id_, mask in zip(ids, masks[reader], strict=True):
                labels[reader, y : y + CELL, x : x + CELL][mask] = id_
                differs = name == "class_differs" and reader == 1
                classes[reader][id_] = "xy"[(k + differs) % 2]
            own.append(frozenset(ids))
        if name not in AGREED:
            expected.add((Kind(name), own[0], own[1]))
    a, b = (_reading("ab"[k], labels[k], classes[k]) for k in range(2))
    return a, b, expected


def _reading(name: str, labels: np.ndarray, classes: dict[int, str]) -> Reading:
    bare = Segmentation.from_labels(labels)
    names = [classes[id_] for id_ in bare.table["id"].tolist()]
    table = bare.table.assign(**{"class": np.array(names, dtype=str)})
    return reading_of(name, Segmentation(labels, table, {}), 0.25)
