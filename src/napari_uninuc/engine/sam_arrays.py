"""SAM 2's arrays: what the arguments of its predictor mean, and answers in the shape it gives."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from napari_uninuc.core.outline import common_part
from napari_uninuc.core.prompts import LOGIT_LIMIT
from napari_uninuc.engine.requests import OUTSIDE, DecodedMasks, PromptBatch
from napari_uninuc.errors import PromptError

__all__ = ["blank_masks", "paste_low_res", "paste_masks", "pixels_of", "prompts_of_sam"]

Floats = npt.NDArray[np.float32]
_PLAIN_MODES = ("RGB", "RGBA", "L", "LA", "1", "I;16", "I", "F")
"""Of PIL pictures whose array is the picture; that of a palette, for one, is not."""


def pixels_of(image: npt.ArrayLike) -> npt.ArrayLike:
    """Pixels of a PIL picture, whatever its mode; anything else comes back as it is.

    Returns
    -------
    pixels : what `napari_uninuc.core.tile.to_rgb8` takes: palettes as RGB, or RGBA where some are
        transparent
    """
    if not isinstance(image, Image.Image) or image.mode in _PLAIN_MODES:
        return image
    see_through = image.mode in ("PA", "La", "RGBa") or "transparency" in image.info
    return image.convert("RGBA" if see_through else "RGB")


def prompts_of_sam(
    point_coords: npt.ArrayLike | None,
    point_labels: npt.ArrayLike | None,
    box: npt.ArrayLike | None,
    mask_input: npt.ArrayLike | None,
    shares_of: tuple[int, int] | None = None,
) -> PromptBatch:
    """SAM 2's arguments (xy, optional batch axis) -> one batch (yx).

    Parameters
    ----------
    shares_of : (H, W) of a picture of which points and boxes are shares; None says they are px

    Raises
    ------
    PromptError
        No prompt, or shapes that do not belong together.
    """
    points, labels = _points(point_coords, point_labels)
    boxes = None if box is None else _boxes(box)
    if shares_of is not None:
        whole = np.array(shares_of, np.float32)
        points = None if points is None else points * whole
        boxes = None if boxes is None else boxes * np.tile(whole, 2)
    masks = None if mask_input is None else _masks(mask_input)
    prompted = {len(x) for x in (points, boxes) if x is not None}
    if masks is not None and len(masks) == 1 and len(prompted) == 1:
        masks = np.broadcast_to(masks, (*prompted, *masks.shape[1:]))
    sizes = {len(x) for x in (points, boxes, masks) if x is not None}
    if len(sizes) != 1 or 0 in sizes:
        raise PromptError(
            "a prompt needs points, a box or a mask, the same number of each, got "
            f"{sorted(sizes) or 'none'}; pass at least one"
        )
    n = sizes.pop()
    if points is None or labels is None:
        points, labels = np.zeros((n, 0, 2), np.float32), np.zeros((n, 0), np.int64)
    return PromptBatch(points, labels, boxes, masks)


def _points(
    point_coords: npt.ArrayLike | None, point_labels: npt.ArrayLike | None
) -> tuple[Floats | None, npt.NDArray[np.int64] | None]:
    """(N, P, 2) yx and (N, P), or two Nones."""
    if (point_coords is None) != (point_labels is None):
        raise PromptError("point_coords and point_labels go together, got one of them; pass both")
    if point_coords is None or point_labels is None:
        return None, None
    points = _numbers(point_coords, "point_coords")
    kinds = _numbers(point_labels, "point_labels")
    if not np.isin(kinds, (-1, 0, 1)).all():
        raise PromptError(
            "point labels must be 1 (inside) or 0 (outside); corners of a box are passed as box"
        )
    labels = kinds.astype(np.int64)
    if points.ndim == 2 and labels.ndim == 1:
        points, labels = points[None], labels[None]
    if points.ndim != 3 or points.shape[-1] != 2:
        raise PromptError(
            f"point_coords must be (N, 2) or (B, N, 2), got {points.shape}; correct the shape"
        )
    return np.ascontiguousarray(points[..., ::-1]), labels


def _boxes(box: npt.ArrayLike) -> Floats:
    """(N, 4) yxyx."""
    boxes = _numbers(box, "box")
    if boxes.size == 0 or not (boxes.shape[-1:] == (4,) or boxes.shape[-2:] == (2, 2)):
        raise PromptError(f"box must be (4,) or (B, 4), got {boxes.shape}; correct the shape")
    return boxes.reshape(-1, 4)[:, [1, 0, 3, 2]]


def _masks(mask_input: npt.ArrayLike) -> Floats:
    """(N, h, w) logits."""
    masks = _numbers(mask_input, "mask_input")
    masks = masks[None] if masks.ndim == 3 else masks
    if masks.ndim != 4 or masks.shape[1] != 1:
        raise PromptError(
            f"mask_input must be (1, h, w) or (B, 1, h, w), got {masks.shape}; correct it"
        )
    return masks[:, 0]


def _numbers(values: npt.ArrayLike, name: str) -> Floats:
    if isinstance(values, torch.Tensor):
        values = values.detach().float().cpu().numpy()
    try:
        return np.asarray(values, np.float32)
    except (TypeError, ValueError) as error:
        raise PromptError(
            f"{name} must be an array of numbers, got {type(values).__name__} that is none; "
            "make its rows equally long"
        ) from error


def blank_masks(shape: tuple[int, ...], as_logits: bool) -> npt.NDArray[Any]:
    """No nucleus anywhere; zeros cost nothing until they are touched, other values a pass.

    Parameters
    ----------
    shape : (N, K, H, W)
    as_logits : float32 of `OUTSIDE` instead of bool
    """
    return np.full(shape, OUTSIDE, np.float32) if as_logits else np.zeros(shape, np.bool_)


def paste_masks(
    masks: npt.NDArray[Any], rows: npt.NDArray[np.int64], answer: DecodedMasks, as_logits: bool
) -> None:
    """Copy crops into whole-picture masks (N, K, H, W), cut at the border."""
    for row, (y, x), logits in zip(rows, answer.origins_yx.tolist(), answer.logits, strict=True):
        here, there = common_part((y, x), logits.shape[1:], masks.shape[2:])
        part = logits[:, *there]
        masks[row, :, *here] = part if as_logits else part > 0


def paste_low_res(
    low_res: npt.NDArray[np.float32], rows: npt.NDArray[np.int64], answer: DecodedMasks
) -> None:
    """Copy window logits onto the field's grid (N, K, H, W), clamped as SAM 2 clamps them."""
    height, width = answer.low_res.shape[2:]
    for row, (y, x), logits in zip(
        rows, answer.low_res_corners_yx.tolist(), answer.low_res, strict=True
    ):
        low_res[row, :, y : y + height, x : x + width] = np.clip(logits, -LOGIT_LIMIT, LOGIT_LIMIT)
