"""Automatic segmentation scored image by image."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.datasets.folder import LabelledImage, LabelledTile
from napari_uninuc.evaluation import metrics
from napari_uninuc.evaluation.calibration import Reliability, best_ious
from napari_uninuc.evaluation.overlaps import Overlaps, match

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
        `mpq` is NaN unless truth and model name classes alike.
    seconds : encoding and segmenting, wall time; the first image may include warming up
    reliability : predicted IoU of the masks found against their best true IoU; None where the
        predictor does not say what it expects
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
    segment = segment or predictor.segment
    for done, image in enumerate(images, start=1):
        labelled = image.read(mpp)
        start = time.perf_counter()
        predictor.set_image(labelled.tile.rgb, mpp=mpp)
        found = segment()
        seconds = time.perf_counter() - start
        rows.append(score_automatic(labelled, found, seconds, dataset))
        if progress is not None:
            progress(done, len(images))
    return rows


def score_automatic(
    labelled: LabelledTile, found: Segmentation, seconds: float, dataset: str = ""
) -> AutomaticRow:
    """Score one segmentation; mSA of an image without nuclei is NaN, so that means skip it.

    Raises
    ------
    LabelsError
        The segmentation is not of the image's size.
    """
    overlaps = match(labelled.labels, found.labels)
    quality = metrics.panoptic_quality_of(overlaps)
    any_truth = len(overlaps.truth_ids) > 0
    return AutomaticRow(
        dataset=dataset,
        image=labelled.tile.name,
        n_truth=len(overlaps.truth_ids),
        n_found=len(overlaps.predicted_ids),
        msa=metrics.mean_segmentation_accuracy(labelled.labels, found.labels)
        if any_truth
        else float("nan"),
        bpq=quality.pq,
        dq=quality.dq,
        sq=quality.sq,
        mpq=_class_quality(labelled, found),
        aji=metrics.aggregated_jaccard_of(overlaps),
        f1_iou=metrics.detection_by_iou(overlaps).f1,
        f1_centroid=metrics.detection_by_centroid(labelled.labels, found.labels).f1,
        seconds=seconds,
        reliability=_reliability(overlaps, found),
    )


def _reliability(overlaps: Overlaps, found: Segmentation) -> Reliability | None:
    """Count masks by predicted IoU, where the table has it."""
    if PREDICTED_IOU not in found.table.columns:
        return None
    expected = dict(zip(found.table["id"].tolist(), found.table[PREDICTED_IOU], strict=True))
    predicted = [expected[id_] for id_ in overlaps.predicted_ids.tolist()]
    return Reliability.of(predicted, best_ious(overlaps))


def _class_quality(labelled: LabelledTile, found: Segmentation) -> float:
    """Compute mPQ, or NaN where the model's class names are none of the truth's."""
    if not labelled.classes:
        return float("nan")
    names = dict(zip(found.table["id"].tolist(), found.table["class"].tolist(), strict=True))
    if names and not set(names.values()) & set(labelled.classes.values()):
        return float("nan")
    return metrics.mean_over_classes(
        metrics.class_panoptic_quality(labelled.labels, found.labels, labelled.classes, names)
    )
