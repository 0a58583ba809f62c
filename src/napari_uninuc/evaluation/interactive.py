"""Interactive segmentation scored after each simulated correction, I0 to I7.

micro-sam's protocol: every true nucleus is prompted (a click at its centre, or its box), then
corrected by one positive and one negative click a round; clicks accumulate. After each round
the masks of the image are merged and scored against the truth by mSA.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np

from napari_uninuc.core.geometry import label_boxes, xyxy_from_yxyx
from napari_uninuc.datasets.folder import LabelledImage, LabelledTile
from napari_uninuc.errors import RecipeError
from napari_uninuc.evaluation.clicks import (
    Target,
    centre_click,
    correction_clicks,
    mask_box,
    targets_of,
)
from napari_uninuc.evaluation.metrics import mean_segmentation_accuracy, split_components

Answer = tuple[np.ndarray, np.ndarray, np.ndarray]


class InteractivePredictor(Protocol):
    """What interactive evaluation asks of a predictor: SAM 2's image predictor, batched."""

    def set_image(self, rgb: np.ndarray, mpp: float | None = None) -> None:
        """Take an (H, W, 3) uint8 image."""

    def predict(
        self,
        point_coords: np.ndarray | None = None,
        point_labels: np.ndarray | None = None,
        box: np.ndarray | None = None,
        mask_input: np.ndarray | None = None,
        multimask_output: bool = False,
    ) -> Answer:
        """Answer (B, N, 2) xy points, (B, N) labels, (B, 4) xyxy boxes, (B, 1, h, w) logits."""


@dataclass(frozen=True, slots=True)
class InteractiveProtocol:
    """How the simulated annotator works.

    Attributes
    ----------
    prompt : the first prompt, "point" (centre) or "box" (tight); a box is kept all along
    with_mask : feed the last answer's logits back as mask prompt
    corrections : rounds after the first answer, two clicks each
    multimask : let the first click have several answers and keep the one of best predicted IoU
    chunk : nuclei prompted at once
    max_nuclei : random subset of an image's nuclei to prompt, None for all
        The truth is then cut down to the same nuclei, so its figures are not those of all.
    seed : of clicks and subset, together with the image's name

    Raises
    ------
    RecipeError
        A value out of range.
    """

    prompt: Literal["point", "box"]
    with_mask: bool = True
    corrections: int = 7
    multimask: bool = True
    chunk: int = 32
    max_nuclei: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.prompt not in ("point", "box"):
            raise RecipeError(f"prompt must be 'point' or 'box', got {self.prompt!r}")
        lowest = {"corrections": 0, "chunk": 1, "max_nuclei": 1, "seed": 0}
        for name, least in lowest.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise RecipeError(f"{name} must be at least {least}, got {value}")


@dataclass(frozen=True, slots=True)
class InteractiveRow:
    """Scores of one image after one round.

    Attributes
    ----------
    prompt, with_mask : as in `InteractiveProtocol`
    iteration : 0 for the first answer, then 1, 2, ... corrections
    n_truth : nuclei prompted
    msa : mean segmentation accuracy of the merged masks, in [0, 1]; NaN without nuclei
    mean_iou : mean IoU of each nucleus with its own mask before merging; NaN without nuclei
    seconds : prompting of this round, wall time, all nuclei; encoding is not in it
    """

    dataset: str
    image: str
    prompt: str
    with_mask: bool
    iteration: int
    n_truth: int
    msa: float
    mean_iou: float
    seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class _Crop:
    """One predicted mask, cut out: origin (y, x) in image px, (h, w) bool."""

    origin_yx: tuple[int, int]
    mask: np.ndarray


@dataclass(slots=True)
class _Round:
    """What one round gave, gathered over the chunks of an image."""

    crops: list[_Crop] = field(default_factory=list)
    ious: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, targets: Sequence[Target], masks: np.ndarray) -> None:
        """Keep the (B, H, W) masks of B targets as crops, and their IoU."""
        for target, mask in zip(targets, masks, strict=True):
            crop = _crop(mask)
            self.crops.append(crop)
            self.ious.append(_iou(target, crop, mask))


def evaluate_interactive(
    predictor: InteractivePredictor,
    images: Sequence[LabelledImage],
    protocols: Sequence[InteractiveProtocol],
    *,
    dataset: str = "",
    mpp: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[InteractiveRow]:
    """Prompt and correct every nucleus of each image by each protocol.

    Parameters
    ----------
    predictor : set_image and predict; each image is encoded once
    images : need not be labelled exhaustively
    protocols : all are run on each image, none sees another's clicks
    dataset : name written into the rows
    mpp : micrometres per pixel of all the images; None leaves it to the predictor
    progress : called with (image-protocol pairs done, pairs in all)

    Returns
    -------
    rows : by image, protocol, iteration; the same for the same seed, whatever the order

    Raises
    ------
    DatasetError
        A file cannot be read.
    """
    rows: list[InteractiveRow] = []
    done = 0
    for image in images:
        labelled = image.read(mpp)
        predictor.set_image(labelled.tile.rgb, mpp=mpp)
        for protocol in protocols:
            rows += score_interactive(predictor, labelled, protocol, dataset)
            done += 1
            if progress is not None:
                progress(done, len(images) * len(protocols))
    return rows


def score_interactive(
    predictor: InteractivePredictor,
    labelled: LabelledTile,
    protocol: InteractiveProtocol,
    dataset: str = "",
) -> list[InteractiveRow]:
    """Run one protocol on the image the predictor holds: one row an iteration."""
    rng = np.random.default_rng([protocol.seed, zlib.crc32(labelled.tile.name.encode())])
    truth = _subset(labelled.labels, protocol.max_nuclei, rng)
    targets = targets_of(truth)
    rounds = [_Round() for _ in range(protocol.corrections + 1)]
    for start in range(0, len(targets), protocol.chunk):
        _correct_chunk(predictor, targets[start : start + protocol.chunk], protocol, rng, rounds)
    return [
        InteractiveRow(
            dataset=dataset,
            image=labelled.tile.name,
            prompt=protocol.prompt,
            with_mask=protocol.with_mask,
            iteration=iteration,
            n_truth=len(targets),
            msa=mean_segmentation_accuracy(truth, _merge(part.crops, truth.shape))
            if targets
            else float("nan"),
            mean_iou=float(np.mean(part.ious)) if targets else float("nan"),
            seconds=part.seconds,
        )
        for iteration, part in enumerate(rounds)
    ]


def _subset(labels: np.ndarray, max_nuclei: int | None, rng: np.random.Generator) -> np.ndarray:
    """Keep at most `max_nuclei` ids, drawn at random."""
    ids, _ = label_boxes(labels)
    if max_nuclei is None or len(ids) <= max_nuclei:
        return labels
    kept = rng.choice(ids, max_nuclei, replace=False)
    return np.where(np.isin(labels, kept), labels, 0)


def _correct_chunk(
    predictor: InteractivePredictor,
    targets: Sequence[Target],
    protocol: InteractiveProtocol,
    rng: np.random.Generator,
    rounds: Sequence[_Round],
) -> None:
    """Prompt B nuclei, then correct them round by round; adds to `rounds`."""
    is_point = protocol.prompt == "point"
    boxes = None
    if not is_point:
        boxes = xyxy_from_yxyx([target.box_yxyx for target in targets]).astype(np.float32)
    clicks = _first_clicks(targets) if is_point else None
    logits: np.ndarray | None = None
    for iteration, part in enumerate(rounds):
        start = time.perf_counter()
        masks, logits = _best_answer(
            predictor.predict(
                point_coords=None if clicks is None else clicks.points_xy,
                point_labels=None if clicks is None else clicks.labels,
                box=boxes,
                mask_input=logits if protocol.with_mask else None,
                multimask_output=protocol.multimask and is_point and iteration == 0,
            )
        )
        part.seconds += time.perf_counter() - start
        part.add(targets, masks)
        if iteration < len(rounds) - 1:
            clicks = _more_clicks(clicks, targets, masks, rng)


@dataclass(frozen=True, slots=True, eq=False)
class _Clicks:
    """Clicks on B nuclei so far: points (B, N, 2) float32 xy, labels (B, N) int32."""

    points_xy: np.ndarray
    labels: np.ndarray


def _first_clicks(targets: Sequence[Target]) -> _Clicks:
    centres_yx = np.array([centre_click(target) for target in targets])
    points_xy = centres_yx[:, None, ::-1].astype(np.float32)  # (B, 1, 2)
    return _Clicks(points_xy, np.ones((len(targets), 1), np.int32))


def _more_clicks(
    clicks: _Clicks | None,
    targets: Sequence[Target],
    masks: np.ndarray,
    rng: np.random.Generator,
) -> _Clicks:
    """Add two clicks a nucleus, by what its (H, W) mask of `masks` got wrong."""
    drawn = [
        correction_clicks(target, mask, rng) for target, mask in zip(targets, masks, strict=True)
    ]
    points_xy = np.stack([yx[:, ::-1] for yx, _ in drawn]).astype(np.float32)  # (B, 2, 2)
    labels = np.stack([signs for _, signs in drawn]).astype(np.int32)  # (B, 2)
    if clicks is None:
        return _Clicks(points_xy, labels)
    return _Clicks(
        np.concatenate([clicks.points_xy, points_xy], axis=1),
        np.concatenate([clicks.labels, labels], axis=1),
    )


def _best_answer(answer: Answer) -> tuple[np.ndarray, np.ndarray]:
    """Keep the mask of best predicted IoU: (B, H, W) bool and its logits (B, 1, h, w)."""
    masks, ious, logits = (np.asarray(part) for part in answer)
    if masks.ndim == 3:  # SAM 2's predictor drops a batch axis of one
        masks, ious, logits = masks[None], ious[None], logits[None]
    rows, best = np.arange(len(masks)), ious.argmax(axis=1)
    return masks[rows, best].astype(bool, copy=False), logits[rows, best][:, None]


def _crop(mask: np.ndarray) -> _Crop:
    y0, x0, y1, x1 = mask_box(mask)
    return _Crop((y0, x0), mask[y0:y1, x0:x1].copy())


def _iou(target: Target, crop: _Crop, mask: np.ndarray) -> float:
    y0, x0, y1, x1 = target.box_yxyx
    shared = np.count_nonzero(mask[y0:y1, x0:x1] & target.mask)
    return shared / (np.count_nonzero(crop.mask) + np.count_nonzero(target.mask) - shared)


def _merge(crops: Sequence[_Crop], shape: tuple[int, int]) -> np.ndarray:
    """Paint masks largest first, each on free pixels only, then split into components.

    That is micro-sam's merge: a small mask under a large one loses its pixels.
    """
    labels = np.zeros(shape, np.int64)
    areas = [np.count_nonzero(crop.mask) for crop in crops]
    for index in np.argsort(np.negative(areas), kind="stable"):
        (y0, x0), mask = crops[index].origin_yx, crops[index].mask
        under = labels[y0 : y0 + mask.shape[0], x0 : x0 + mask.shape[1]]
        under[mask & (under == 0)] = index + 1
    return split_components(labels)
