"""Which window of a field each prompt needs, and the prompt in the network's terms."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_uninuc.engine.frame import Frame
from napari_uninuc.engine.requests import MaskWindows, PromptBatch
from napari_uninuc.errors import PromptError
from napari_uninuc.network.prompt_encoder import BOX_BOTTOM_RIGHT, BOX_TOP_LEFT, PADDING
from napari_uninuc.network.windows import FILL

__all__ = ["SURE_LOGIT", "Window", "choose_sides", "prompt_tokens", "touches_border"]

_POINTS_FILL = 0.9
SURE_LOGIT = 0.5
"""A mask is cut by its window where a logit at the border is above: more likely than 62 %.

An answer that is sure of nothing gets no larger window, which would cost four times as much: a
network that is not trained answers so everywhere. Of 1,585 true nuclei of four validation tiles,
clicked in the middle, none has a mask that reaches its window's border, by this rule or by 0.
"""


@dataclass(frozen=True, slots=True)
class Window:
    """A decoding window: size in input px and in coarse cells; ``whole`` is the whole input."""

    side_hw: tuple[int, int]
    cells_hw: tuple[int, int]
    whole: bool

    @classmethod
    def of(cls, frame: Frame, side: int, stride: int) -> "Window":
        """A square of ``side`` input px, or the whole input where that does not fit."""
        whole = side >= min(frame.input_hw)
        height, width = frame.input_hw if whole else (side, side)
        return cls((height, width), (height // stride, width // stride), whole)


def choose_sides(
    frame: Frame, prompts: PromptBatch, smallest: int | None, fill: float = FILL
) -> npt.NDArray[np.int64]:
    """Side of the window of each prompt; doubled from ``smallest`` until it fits.

    Parameters
    ----------
    prompts : N, px of the picture
    smallest : input px; None makes every window the whole input
    fill : longest side of a box, as a share of its window's

    Returns
    -------
    sides : (N,) int64, input px; one that would reach the input's size is the whole input
    """
    whole = max(frame.input_hw)
    if smallest is None:
        return np.full(len(prompts), whole, np.int64)
    needed = np.zeros(len(prompts))
    if prompts.boxes_yxyx is not None:
        boxes = frame.boxes_to_input(prompts.boxes_yxyx)
        needed = (boxes[:, 2:] - boxes[:, :2]).max(axis=1) / fill
    if prompts.points_yx.shape[1]:
        _, _, extent = _point_bounds(frame, prompts)
        needed = np.maximum(needed, extent / _POINTS_FILL)
    if prompts.previous is not None:
        needed = np.maximum(needed, _mask_extents(prompts.previous, frame) / FILL)
    sides = smallest * 2 ** np.ceil(np.log2(np.maximum(needed / smallest, 1.0)))
    return np.where(sides >= min(frame.input_hw), whole, sides).astype(np.int64)


def prompt_tokens(
    frame: Frame, prompts: PromptBatch
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Points and box corners as SAM 2 orders them: box, points, one padding point.

    Returns
    -------
    points_xy : (N, P', 2) input px
    labels : (N, P') of `napari_uninuc.network.prompt_encoder`
    centres_yx : (N, 2) input px, where a window should lie
    """
    n = len(prompts)
    points = frame.points_to_input(prompts.points_yx)[..., ::-1]
    labels = prompts.labels
    if prompts.boxes_yxyx is not None:
        corners = frame.boxes_to_input(prompts.boxes_yxyx)[:, [1, 0, 3, 2]].reshape(n, 2, 2)
        points = np.concatenate([corners, points], axis=1)
        kinds = np.tile(np.array([BOX_TOP_LEFT, BOX_BOTTOM_RIGHT], np.int64), (n, 1))
        labels = np.concatenate([kinds, labels], axis=1)
    centres = _centres(frame, prompts)
    if points.shape[1]:
        points = np.concatenate([points, np.zeros((n, 1, 2))], axis=1)
        labels = np.concatenate([labels, np.full((n, 1), PADDING, np.int64)], axis=1)
    return np.ascontiguousarray(points), labels, centres


def touches_border(
    inside: Tensor, corners: Tensor, window: Window, frame: Frame, stride: int
) -> Tensor:
    """Which masks (N, h, w) reach a border of their window that is not one of the input."""
    if window.whole:
        return torch.zeros(len(inside), dtype=torch.bool)
    cells = torch.tensor([side // stride for side in frame.input_hw])
    size = torch.tensor(window.cells_hw)
    first, last = corners.cpu() > 0, corners.cpu() + size < cells
    edges = [inside[:, 0], inside[:, :, 0], inside[:, -1], inside[:, :, -1]]
    touched = torch.stack([edge.any(dim=1).cpu() for edge in edges], dim=1)  # (N, 4)
    return (touched & torch.cat([first, last], dim=1)).any(dim=1)


def _centres(frame: Frame, prompts: PromptBatch) -> npt.NDArray[np.float64]:
    if prompts.boxes_yxyx is not None:
        boxes = frame.boxes_to_input(prompts.boxes_yxyx)
        centres: npt.NDArray[np.float64] = (boxes[:, :2] + boxes[:, 2:]) / 2
        if prompts.points_yx.shape[1] == 0:
            return centres
    if prompts.previous is not None and prompts.boxes_yxyx is None:
        return _mask_centres(prompts.previous, frame)
    if prompts.points_yx.shape[1] == 0:
        if prompts.boxes_yxyx is None:
            raise PromptError("a prompt needs a point, a box or a mask, got none; pass one")
        return centres
    low, high, _ = _point_bounds(frame, prompts)
    if prompts.boxes_yxyx is not None:
        low, high = np.minimum(low, boxes[:, :2]), np.maximum(high, boxes[:, 2:])
    middle: npt.NDArray[np.float64] = (low + high) / 2
    return middle


def _point_bounds(
    frame: Frame, prompts: PromptBatch
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Lowest and highest point (N, 2) of each prompt and their largest distance on an axis."""
    points = frame.points_to_input(prompts.points_yx)
    real = (prompts.labels >= 0)[..., None]
    first = points[:, :1]
    low = np.where(real, points, first).min(axis=1)
    high = np.where(real, points, first).max(axis=1)
    return low, high, (high - low).max(axis=1)


def _mask_boxes(masks: MaskWindows, frame: Frame) -> npt.NDArray[np.float64]:
    """Bounds (N, 4) yxyx in input px of the positive part; the whole where there is none."""
    stride = frame.input_hw[0] / masks.grid_hw[0]
    boxes = []
    for logits, (y, x) in zip(masks.logits, masks.corners_yx.tolist(), strict=True):
        inside = logits > 0
        rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
        if len(rows) == 0:
            boxes.append((0, 0, *masks.grid_hw))
        else:
            boxes.append((y + rows[0], x + columns[0], y + rows[-1] + 1, x + columns[-1] + 1))
    array: npt.NDArray[Any] = np.array(boxes, np.float64) * stride
    return array


def _mask_extents(masks: MaskWindows, frame: Frame) -> npt.NDArray[np.float64]:
    boxes = _mask_boxes(masks, frame)
    extents: npt.NDArray[np.float64] = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    return extents


def _mask_centres(masks: MaskWindows, frame: Frame) -> npt.NDArray[np.float64]:
    boxes = _mask_boxes(masks, frame)
    centres: npt.NDArray[np.float64] = (boxes[:, :2] + boxes[:, 2:]) / 2
    return centres
