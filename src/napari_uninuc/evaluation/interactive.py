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
from typing import Literal

import numpy as np

from napari_uninuc.core.geometry import label_boxes
from napari_uninuc.datasets.folder import LabelledImage, LabelledTile
from napari_uninuc.engine.requests import MaskWindows, PromptBatch
from napari_uninuc.errors import RecipeError
from napari_uninuc.evaluation.answers import InteractivePredictor, ask
from napari_uninuc.evaluation.calibration import Reliability
from napari_uninuc.evaluation.clicks import centre_click, correction_clicks
from napari_uninuc.evaluation.crops import Crop, crop_iou, targets_of
from napari_uninuc.evaluation.metrics import mean_segmentation_accuracy, split_components

REACHED_IOUS = (0.8, 0.85, 0.9)
"""IoU at which an outline may be called done; how soon is counted for each."""


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
    reached : nuclei that came to each of `REACHED_IOUS` in this round or an earlier one, by their
        own mask before merging
    reliability : predicted against true IoU of each nucleus' own mask
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
    reached: tuple[int, ...]
    reliability: Reliability | None = None


@dataclass(slots=True)
class _Round:
    """What one round gave, gathered over the chunks of an image."""

    crops: list[Crop] = field(default_factory=list)
    ious: list[float] = field(default_factory=list)
    expected: list[float] = field(default_factory=list)
    seconds: float = 0.0


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
    predictor : set_image and predict, or answers in crops; each image is encoded once
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
        chunk = targets[start : start + protocol.chunk]
        _correct_chunk(predictor, chunk, truth.shape, protocol, rng, rounds)
    reached = _reached(rounds)
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
            reached=reached[iteration],
            reliability=Reliability.of(part.expected, part.ious),
        )
        for iteration, part in enumerate(rounds)
    ]


def _reached(rounds: Sequence[_Round]) -> list[tuple[int, ...]]:
    """Count, for each round, the nuclei that have been at each of `REACHED_IOUS` by then."""
    best = np.maximum.accumulate([part.ious for part in rounds], axis=0)  # (rounds, nuclei)
    return [tuple(int(np.sum(ious >= iou)) for iou in REACHED_IOUS) for ious in best]


def _subset(labels: np.ndarray, max_nuclei: int | None, rng: np.random.Generator) -> np.ndarray:
    """Keep at most `max_nuclei` ids, drawn at random."""
    ids, _ = label_boxes(labels)
    if max_nuclei is None or len(ids) <= max_nuclei:
        return labels
    kept = rng.choice(ids, max_nuclei, replace=False)
    return np.where(np.isin(labels, kept), labels, 0)


def _correct_chunk(
    predictor: InteractivePredictor,
    targets: Sequence[Crop],
    shape: tuple[int, int],
    protocol: InteractiveProtocol,
    rng: np.random.Generator,
    rounds: Sequence[_Round],
) -> None:
    """Prompt B nuclei, then correct them round by round; adds to `rounds`."""
    prompts = _first_prompts(targets, protocol)
    for iteration, part in enumerate(rounds):
        start = time.perf_counter()
        candidates = protocol.multimask and protocol.prompt == "point" and iteration == 0
        crops, logits, expected = ask(predictor, prompts, shape, candidates=candidates)
        part.seconds += time.perf_counter() - start
        part.crops += crops
        part.expected += expected.tolist()
        part.ious += [crop_iou(target, crop) for target, crop in zip(targets, crops, strict=True)]
        if iteration < len(rounds) - 1:
            fed_back = logits if protocol.with_mask else None
            prompts = _more_clicks(prompts, fed_back, targets, crops, shape, rng)


def _first_prompts(targets: Sequence[Crop], protocol: InteractiveProtocol) -> PromptBatch:
    if protocol.prompt == "box":
        return PromptBatch.of_boxes(np.array([target.box_yxyx for target in targets], np.float32))
    centres_yx = np.array([centre_click(target) for target in targets], np.float32)
    return PromptBatch(centres_yx[:, None], np.ones((len(targets), 1), np.int64))


def _more_clicks(
    prompts: PromptBatch,
    logits: MaskWindows | None,
    targets: Sequence[Crop],
    crops: Sequence[Crop],
    shape: tuple[int, int],
    rng: np.random.Generator,
) -> PromptBatch:
    """Add two clicks a nucleus, by what its mask got wrong."""
    drawn = [
        correction_clicks(target, crop, shape, rng)
        for target, crop in zip(targets, crops, strict=True)
    ]
    points_yx = np.stack([yx for yx, _ in drawn]).astype(np.float32)  # (B, 2, 2)
    labels = np.stack([signs for _, signs in drawn]).astype(np.int64)  # (B, 2)
    return PromptBatch(
        np.concatenate([prompts.points_yx, points_yx], axis=1),
        np.concatenate([prompts.labels, labels], axis=1),
        prompts.boxes_yxyx,
        logits,
    )


def _merge(crops: Sequence[Crop], shape: tuple[int, int]) -> np.ndarray:
    """Paint masks largest first, each on free pixels only, then split into components.

    That is micro-sam's merge: a small mask under a large one loses its pixels.
    """
    labels = np.zeros(shape, np.int64)
    areas = [crop.area for crop in crops]
    for index in np.argsort(np.negative(areas), kind="stable"):
        y0, x0, y1, x1 = crops[index].box_yxyx
        under = labels[y0:y1, x0:x1]
        under[crops[index].mask & (under == 0)] = index + 1
    return split_components(labels)
