"""A reader who corrects what the model outlines, in the order of the review, knowing the truth."""

from __future__ import annotations

import numpy as np

from napari_uninuc.core.examples import Corrections, Example, Kind
from napari_uninuc.core.extents import slices
from napari_uninuc.core.geometry import label_boxes
from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.labels import LabelMap
from napari_uninuc.core.overlaps import match
from napari_uninuc.core.review import ReviewQueue
from napari_uninuc.core.verbs import add_automatic
from napari_uninuc.datasets.folder import LabelledTile
from napari_uninuc.engine.protocol import Annotator
from napari_uninuc.engine.settings import SegmentSettings, fewest_px

_GOOD = 0.8
"""IoU from which the reader leaves an outline as it is."""
_RIGHT = 0.5
"""IoU from which it is the same nucleus."""
_NEAR_UM = 12.0
"""A nucleus that was missed is seen so far from the one that is looked at."""


def outlined(annotator: Annotator, labelled: LabelledTile) -> LabelMap:
    """Outline a tile as the window does."""
    tile, card = labelled.tile, annotator.card
    threshold = card.score_threshold
    labels = LabelMap(tile.shape)
    smallest = fewest_px(SegmentSettings().min_area_um2, tile.mpp or card.mpp)
    for field in annotator.fields(tile):
        found = annotator.segment_field(tile, field, threshold)
        masks, boxes = [one.mask for one in found], [one.box_yxyx for one in found]
        edit = add_automatic(labels, masks, boxes, threshold, smallest)
        if edit is not None:
            labels.apply(edit)
    return labels


def corrected(labelled: LabelledTile, labels: LabelMap, count: int) -> Corrections:
    """What a reader says who corrects ``count`` nuclei, the most doubtful first.

    Each is accepted, redrawn or deleted by the truth; what was missed beside it is added and
    counts too. An outline of which more than half lies on one nucleus is drawn anew; one that was
    deleted and lies on others that were drawn is no counter-example, as in a record.
    """
    truth = labelled.labels
    overlaps = match(truth, labels.pixels)
    best: dict[int, tuple[float, int]] = {}
    partners: set[int] = set()
    for row in range(len(overlaps.ious)):
        first = int(overlaps.first_ids[overlaps.first_index[row]])
        second = int(overlaps.second_ids[overlaps.second_index[row]])
        iou = float(overlaps.ious[row])
        if iou >= _RIGHT:
            partners.add(first)
        if iou > best.get(second, (0.0, 0))[0]:
            best[second] = iou, first
    ids, boxes = label_boxes(truth)
    place = {int(i): tuple(b) for i, b in zip(ids.tolist(), boxes.tolist(), strict=True)}
    missed = {i for i in place if i not in partners}
    near = _NEAR_UM / (labelled.tile.mpp or 0.25)
    examples: list[Example] = []
    drawn: set[int] = set()
    answered = np.zeros(truth.shape, np.bool_)

    def draw(kind: Kind, id_: int) -> None:
        y0, x0, y1, x1 = place[id_]
        drawn.add(id_)
        mask = truth[y0:y1, x0:x1] == id_
        answered[y0:y1, x0:x1] |= mask
        examples.append(Example(kind, (y0, x0), mask))

    seen = 0
    order = ReviewQueue(labels).order()
    for id_ in order:
        if len(examples) >= count:
            break
        seen += 1
        iou, true = best.get(id_, (0.0, 0))
        mask = labels.mask(id_)
        if iou >= _GOOD:
            examples.append(Example(Kind.ACCEPTED, mask.origin_yx, mask.mask))
            answered[slices(labels.box(id_))] |= mask.mask
        elif true and true not in drawn and (iou >= _RIGHT or _half_on(mask, truth == true)):
            draw(Kind.REDRAWN, true)
        else:
            examples.append(Example(Kind.DELETED, mask.origin_yx, mask.mask))
        y0, x0, y1, x1 = labels.box(id_)
        here = np.array([(y0 + y1) / 2, (x0 + x1) / 2])
        for other in sorted(missed - drawn):
            top, left, bottom, right = place[other]
            there = np.array([(top + bottom) / 2, (left + right) / 2])
            if len(examples) < count and np.hypot(*(here - there)) < near:
                draw(Kind.ADDED, other)
    said = tuple(
        each for each in examples if each.is_nucleus or not _half_on(_mask(each), answered)
    )
    return Corrections(labelled.tile, said, seen == len(order), labelled.tile.name)


def _mask(example: Example) -> InstanceMask:
    return InstanceMask(example.origin_yx, example.mask, 0.0, 0, 0.0)


def _half_on(mask: InstanceMask, where: np.ndarray) -> bool:
    """Whether more than half of a mask lies where a (H, W) bool picture is true."""
    beneath = where[slices(mask.box_yxyx)][mask.mask]
    return int(np.count_nonzero(beneath)) > 0.5 * beneath.size
