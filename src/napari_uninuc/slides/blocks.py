"""Settled nuclei as a small segmentation with a place on the slide, which every format takes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pandas as pd

from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.slides.plan import SlidePlan
from napari_uninuc.slides.seams import Settled

__all__ = ["Block", "blocks_of"]


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Nuclei of one tile.

    Attributes
    ----------
    segmentation : ids as on the slide; boxes in px of the block
    origin_yx : the block's first pixel, px of the level
    nuclei : the same nuclei, in the order of the table
    """

    segmentation: Segmentation
    origin_yx: tuple[int, int]
    nuclei: tuple[Settled, ...]


def blocks_of(settled: Sequence[Settled], plan: SlidePlan) -> Iterator[Block]:
    """Put nuclei that are sorted by tile into one block a tile."""
    for _, group in groupby(settled, key=lambda each: each.tile):
        yield _block(tuple(group), plan)


def _block(nuclei: tuple[Settled, ...], plan: SlidePlan) -> Block:
    boxes = np.array([each.mask.box_yxyx for each in nuclei], np.int64)
    y, x = boxes[:, :2].min(axis=0).tolist()
    height, width = (boxes[:, 2:].max(axis=0) - (y, x)).tolist()
    labels = np.zeros((height, width), np.int32)
    boxes -= [y, x, y, x]
    for each, (y0, x0, y1, x1) in zip(nuclei, boxes.tolist(), strict=True):
        labels[y0:y1, x0:x1][each.mask.mask] = each.id
    columns = dict(zip(("y0", "x0", "y1", "x1"), boxes.T, strict=True))
    table = pd.DataFrame(
        {
            "id": np.array([each.id for each in nuclei], np.int64),
            "score": np.array([each.mask.score for each in nuclei], np.float64),
            "class": [plan.classes[each.mask.class_id] for each in nuclei],
            **columns,
        }
    )
    palette = ClassPalette.of_names(list(plan.classes))
    return Block(Segmentation(labels, table, {}, palette), (y, x), nuclei)
