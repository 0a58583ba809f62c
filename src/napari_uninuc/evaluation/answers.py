"""Asking a predictor for the masks of many nuclei, and cutting them out of its answer.

Any predictor with SAM 2's `predict` will do. Ours also answers in crops: `predict` makes an image
and a grid of logits as large as the image of each nucleus, which costs more than decoding it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from napari_uninuc.core.geometry import xyxy_from_yxyx
from napari_uninuc.core.prompts import LOGIT_LIMIT
from napari_uninuc.engine.requests import DecodedMasks, MaskWindows, PromptBatch
from napari_uninuc.evaluation.crops import Crop, crop_of


class Asked(NamedTuple):
    """Answers to B prompts: masks cut to the image, what to feed back, (B,) predicted IoU."""

    crops: list[Crop]
    logits: MaskWindows
    ious: np.ndarray


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
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Answer (B, N, 2) xy points, (B, N) labels, (B, 4) xyxy boxes, (B, 1, h, w) logits."""


@runtime_checkable
class CroppingPredictor(Protocol):
    """A predictor that can also answer in crops, with the same masks as its `predict`."""

    def answer(
        self, prompts: PromptBatch, *, candidates: bool = False
    ) -> Iterable[tuple[np.ndarray, DecodedMasks]]:
        """Answer N prompts; px of the picture.

        Yields
        ------
        index, masks
            (n,) int64 positions in the prompts, and their answers; each position once.
        """

    def logit_grid(self, prompts: PromptBatch) -> tuple[int, int]:
        """Cells (H, W) of the grid that the answers' logits are windows of."""


def ask(
    predictor: InteractivePredictor,
    prompts: PromptBatch,
    shape: tuple[int, int],
    *,
    candidates: bool,
) -> Asked:
    """Answer B prompts with the mask of best predicted IoU each.

    Parameters
    ----------
    predictor : asked in crops if it can, see `CroppingPredictor`
    prompts : points and boxes in image px; as masks the logits of the last answers, or none
    shape : (H, W) of the image the predictor holds
    candidates : let it choose among several masks a prompt

    Returns
    -------
    asked : see `Asked`
    """
    if not isinstance(predictor, CroppingPredictor):
        return _ask_images(predictor, prompts, candidates)
    crops: dict[int, Crop] = {}
    logits: dict[int, np.ndarray] = {}
    ious = np.zeros(len(prompts))
    corners = np.zeros((len(prompts), 2), np.int64)
    for rows, answers in predictor.answer(prompts, candidates=candidates):
        corners[rows] = answers.low_res_corners_yx
        for k, (row, best) in enumerate(zip(rows.tolist(), answers.ious.argmax(1), strict=True)):
            crops[row] = _inside(answers.logits[k, best] > 0, answers.origins_yx[k], shape)
            ious[row] = answers.ious[k, best]
            logits[row] = answers.low_res[k, best].clip(-LOGIT_LIMIT, LOGIT_LIMIT)
    in_order = range(len(prompts))
    windows = MaskWindows(
        tuple(logits[row] for row in in_order), corners, predictor.logit_grid(prompts)
    )
    return Asked([crops[row] for row in in_order], windows, ious)


def _inside(mask: np.ndarray, origin_yx: np.ndarray, shape: tuple[int, int]) -> Crop:
    """Cut a window's mask, which may reach past the image, to it."""
    y, x = (int(value) for value in origin_yx)
    top, left = max(0, -y), max(0, -x)
    return crop_of(
        mask[top : max(shape[0] - y, 0), left : max(shape[1] - x, 0)], (y + top, x + left)
    )


def _ask_images(predictor: InteractivePredictor, prompts: PromptBatch, candidates: bool) -> Asked:
    clicked = prompts.points_yx.shape[1] > 0
    boxes, previous = prompts.boxes_yxyx, prompts.previous
    answer = predictor.predict(
        # torch takes no arrays with negative strides
        point_coords=np.ascontiguousarray(prompts.points_yx[..., ::-1]) if clicked else None,
        point_labels=prompts.labels if clicked else None,
        box=None if boxes is None else xyxy_from_yxyx(boxes),
        mask_input=None if previous is None else np.stack(previous.logits)[:, None],
        multimask_output=candidates,
    )
    masks, ious, logits = (np.asarray(part) for part in answer)
    if masks.ndim == 3:  # SAM 2's predictor drops a batch axis of one
        masks, ious, logits = masks[None], ious[None], logits[None]
    best = ious.argmax(axis=1).tolist()
    crops = [crop_of(mask[k].astype(bool, copy=False)) for mask, k in zip(masks, best, strict=True)]
    rows = np.arange(len(masks))
    return Asked(crops, MaskWindows.of_grids(logits[rows, best]), ious[rows, best])
