"""Automatic segmentation scored image by image."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from napari_uninuc.core.overlaps import Overlaps, match
from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.datasets.folder import LabelledImage, LabelledTile
from napari_uninuc.evaluation import metrics
from napari_uninuc.evaluation.calibration import Reliability, best_ious
from napari_uninuc.evaluation.class_pixels import (
    ClassPixels,
    class_pixels_of,
    painted_of,
    weighted_dice,
)

PREDICTED_IOU = "predicted_iou"
"""Column of a segmentation's table."""


class AutomaticPredictor(Protocol):
    """What automatic evaluation asks of a predictor."""

    def set_image(self, rgb: np.ndarray, mpp: float | None = None) -> None:
        """Take an (H, W, 3) uint8 image."""

    def segment(self) -> Segmentation:
        """Segment every nucleus of the image set, with the predictor's own defaults."""


@dataclass(frozen=True, slots=True)
class AutomaticRow:
    """Scores of one image; NaN where a score has no meaning (no true nucleus, no classes).

    Attributes
    ----------
    n_truth, n_found : nuclei by id
    msa, bpq, dq, sq, mpq, aji, f1_iou, f1_centroid : in [0, 1], see `metrics`
        `mpq` is NaN where the picture's nuclei have no classes, and on every picture of a data
        set whose names for classes the model shares none of. Wrong names are 0, not NaN.
    seconds : encoding and segmenting, wall time; the first image may include warming up
    reliability : predicted IoU of the masks found against their best true IoU; None where the
        predictor does not say what it expects
    tissue : as the data set calls it; empty where it does not say
    weighted_dice : of the classes of pixels, see `class_pixels`; NaN where `mpq` is
    class_pixels : pixels of each class; empty without true classes
    """

    dataset: str
    image: str
    n_truth: int
    n_found: int
    msa: float
    bpq: float
    dq: float
    sq: float
    mpq: float
    aji: float
    f1_iou: float
    f1_centroid: float
    seconds: float
    reliability: Reliability | None = None
    tissue: str = ""
    weighted_dice: float = float("nan")
    class_pixels: tuple[ClassPixels, ...] = ()


class ClassNames:
    """Whether truth and model have names of classes in common, seen over many pictures.

    One picture cannot tell: on it the model may name every nucleus wrong, or hold none of the
    classes that it knows.

    Parameters
    ----------
    known : names the model may give; None takes those that it gave
    """

    def __init__(self, known: Collection[str] | None = None) -> None:
        self._true: set[str] = set()
        self._given: set[str] = set(known or ())
        self._complete = known is not None

    def see(self, labelled: LabelledTile, found: Segmentation) -> None:
        """Take note of the names on one picture."""
        self._true.update((labelled.classes or {}).values())
        if not self._complete:
            self._given.update(found.table["class"].tolist())

    @property
    def shared(self) -> bool:
        """Whether there is such a name; true where the model has not given any."""
        return not self._given or bool(self._given & self._true)


def names_of(predictor: object) -> tuple[str, ...] | None:
    """Names that a predictor may give to nuclei, by its card; None where it has none."""
    classes: tuple[str, ...] | None = getattr(getattr(predictor, "card", None), "classes", None)
    return classes


def evaluate_automatic(
    predictor: AutomaticPredictor,
    images: Sequence[LabelledImage],
    *,
    dataset: str = "",
    mpp: float | None = None,
    progress: Callable[[int, int], None] | None = None,
    segment: Callable[[], Segmentation] | None = None,
) -> list[AutomaticRow]:
    """Segment each image and score it against its labels.

    Parameters
    ----------
    predictor : set_image and segment
    images : labelled exhaustively; otherwise true finds count as false
    dataset : name written into the rows
    mpp : micrometres per pixel of all the images; None leaves it to the predictor
    progress : called with (images done, images in all)
    segment : called for the predictor's own `segment`, where options are wanted

    Raises
    ------
    DatasetError
        A file cannot be read.
    """
    rows = []
    names = ClassNames(names_of(predictor))
    segment = segment or predictor.segment
    for done, image in enumerate(images, start=1):
        labelled = image.read(mpp)
        start = time.perf_counter()
        predictor.set_image(labelled.tile.rgb, mpp=mpp)
        found = segment()
        seconds = time.perf_counter() - start
        names.see(labelled, found)
        row = score_automatic(labelled, found, seconds, dataset, _class_map(predictor))
        rows.append(replace(row, tissue=image.tissue))
        if progress is not None:
            progress(done, len(images))
    if names.shared:
        return rows
    nothing = float("nan")
    return [replace(row, mpq=nothing, weighted_dice=nothing, class_pixels=()) for row in rows]


def _class_map(predictor: object) -> np.ndarray | None:
    """Classes of pixels, where the predictor paints them; else they are those of its nuclei."""
    painted: Callable[[], np.ndarray | None] = getattr(predictor, "class_map", lambda: None)
    return painted()


def score_automatic(
    labelled: LabelledTile,
    found: Segmentation,
    seconds: float,
    dataset: str = "",
    painted: np.ndarray | None = None,
) -> AutomaticRow:
    """Score one segmentation; mSA of an image without nuclei is NaN, so that means skip it.

    mPQ is of the names as they stand, see `ClassNames` for whether it means anything.

    Parameters
    ----------
    painted : (H, W) classes of pixels, 0 background, 1 + place in the palette of ``found``; None
        takes those of the nuclei

    Raises
    ------
    LabelsError
        The segmentation is not of the image's size.
    """
    overlaps = match(labelled.labels, found.labels)
    quality = metrics.panoptic_quality_of(overlaps)
    any_truth = len(overlaps.first_ids) > 0
    names = found.palette.names
    classes = class_pixels_of(
        labelled, painted_of(found, names) if painted is None else painted, names
    )
    # A picture that states no scale is taken to be at 40x.
    radius_px = metrics.CENTROID_RADIUS_UM / (labelled.tile.mpp or metrics.MPP_AT_40X)
    return AutomaticRow(
        dataset=dataset,
        image=labelled.tile.name,
        n_truth=len(overlaps.first_ids),
        n_found=len(overlaps.second_ids),
        msa=metrics.mean_segmentation_accuracy(labelled.labels, found.labels)
        if any_truth
        else float("nan"),
        bpq=quality.pq,
        dq=quality.dq,
        sq=quality.sq,
        mpq=_class_quality(labelled, found),
        aji=metrics.aggregated_jaccard(overlaps),
        f1_iou=metrics.detection_by_iou(overlaps).f1,
        f1_centroid=metrics.detection_by_centroid(labelled.labels, found.labels, radius_px).f1,
        seconds=seconds,
        reliability=_reliability(overlaps, found),
        weighted_dice=weighted_dice(classes),
        class_pixels=classes,
    )


def _reliability(overlaps: Overlaps, found: Segmentation) -> Reliability | None:
    """Count masks by predicted IoU, where the table has it."""
    if PREDICTED_IOU not in found.table.columns:
        return None
    expected = dict(zip(found.table["id"].tolist(), found.table[PREDICTED_IOU], strict=True))
    predicted = [expected[id_] for id_ in overlaps.second_ids.tolist()]
    return Reliability.of(predicted, best_ious(overlaps))


def _class_quality(labelled: LabelledTile, found: Segmentation) -> float:
    """Compute mPQ, or NaN where no true nucleus has a class."""
    if not labelled.classes:
        return float("nan")
    names = dict(zip(found.table["id"].tolist(), found.table["class"].tolist(), strict=True))
    return metrics.mean_over_classes(
        metrics.class_panoptic_quality(labelled.labels, found.labels, labelled.classes, names)
    )
