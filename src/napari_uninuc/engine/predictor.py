"""The face scripts see: SAM 2's image predictor, and automatic segmentation."""

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_uninuc.core.geometry import Field
from napari_uninuc.core.instances import InstanceMask, resolve_overlaps
from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.device import choose_device
from napari_uninuc.engine.postprocess import instances_of
from napari_uninuc.engine.requests import LOGIT_LIMIT, OUTSIDE, DecodedMasks, PromptBatch
from napari_uninuc.engine.settings import SegmentSettings
from napari_uninuc.engine.torch_engine import TileEmbedding, TorchEngine
from napari_uninuc.errors import PromptError
from napari_uninuc.network.build import build_model, preset
from napari_uninuc.network.card import ModelCard, card_for_preset
from napari_uninuc.network.checkpoint import load_weights
from napari_uninuc.network.registry import find_model

__all__ = ["Predictor", "load_predictor"]

Progress = Callable[[int, int], None]
"""Called with (fields done, fields in all)."""

_SEAM = 4.0
"""Input px by which the centre of one nucleus may differ between two fields."""


def load_predictor(
    model: str | Path = "uninuc-n", *, device: str = "auto", weights: str | None = "default"
) -> "Predictor":
    """Load a model and make a predictor of it.

    Parameters
    ----------
    model : an id (``uninuc-n``), a model folder, or a ``.safetensors`` file with a card beside it
    device : auto, cpu, cuda, cuda:N or mps
    weights : "default" loads the model's; None builds the preset ``model`` with random weights

    Raises
    ------
    ModelNotFoundError
        No such model.
    CheckpointError
        Its files are missing, damaged or belong to another architecture.
    DeviceError
        The device is not there.
    """
    where = choose_device(device)
    if weights is None:
        name = str(model)
        return Predictor(
            TorchEngine(build_model(preset(name), seed=0), card_for_preset(name), where)
        )
    files = find_model(model)
    network = build_model(preset(files.card.architecture))
    load_weights(network, files.weights_path)
    return Predictor(TorchEngine(network, files.card, where))


class Predictor:
    """Prompts in, masks out; one picture at a time, encoded once.

    Argument names, order, shapes and returns of `predict` are those of
    ``sam2.sam2_image_predictor.SAM2ImagePredictor`` (masks are bool, not float).
    """

    def __init__(self, engine: TorchEngine) -> None:
        self.engine = engine
        self._tile: Tile | None = None
        self._fields: list[Field] = []
        self._encode_seconds = 0.0  # spent in set_image, and not yet told by segment

    @property
    def card(self) -> ModelCard:
        """What the model is, where it comes from and what it may be used for."""
        return self.engine.card

    def set_image(self, image: npt.ArrayLike | Tile, mpp: float | None = None) -> None:
        """Take a picture; encode it now if it fits into one field, else field by field when asked.

        Parameters
        ----------
        image : (H, W, 3) uint8 RGB; grey, RGBA and 16-bit pictures are converted; or a `Tile`
        mpp : micrometres per pixel; None assumes the model's own

        Raises
        ------
        ImageError
            Not a picture, or ``mpp`` not above 0 or far too coarse.
        """
        tile = image if isinstance(image, Tile) else Tile.from_array(image, mpp)
        fields = self.engine.fields(tile)
        self._tile, self._fields, self._encode_seconds = tile, fields, 0.0
        if len(self._fields) == 1:
            self._encode_seconds = self.engine.embed(tile, self._fields[0]).seconds

    def reset_predictor(self) -> None:
        """Forget the picture."""
        self._tile, self._fields, self._encode_seconds = None, [], 0.0

    def predict(
        self,
        point_coords: npt.ArrayLike | None = None,
        point_labels: npt.ArrayLike | None = None,
        box: npt.ArrayLike | None = None,
        mask_input: npt.ArrayLike | None = None,
        multimask_output: bool = False,
        return_logits: bool = False,
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Masks of one nucleus, or of B nuclei at once.

        Parameters
        ----------
        point_coords : (N, 2) or (B, N, 2) xy, px of the picture
        point_labels : (N,) or (B, N); 1 inside, 0 outside
        box : (4,) or (B, 4) xyxy, px of the picture
        mask_input : (1, h, w) or (B, 1, h, w) logits, as returned by an earlier call
        multimask_output : three candidates for an ambiguous prompt instead of one mask
        return_logits : logits instead of bool masks

        Returns
        -------
        masks : (C, H, W) or (B, C, H, W) bool, or float32 logits; -10 outside decoded windows
        iou_predictions : (C,) or (B, C) float32
        low_res_logits : (C, h, w) or (B, C, h, w) float32, for ``mask_input``
            As in SAM 2, B is dropped where it is 1. On a picture of several fields they lie on
            the grid of the field that answered, which is the one the first point or box is in.

        Raises
        ------
        PromptError
            No picture set, no prompt, or shapes that do not belong together.
        """
        tile = self._require_tile()
        prompts = _as_batch(point_coords, point_labels, box, mask_input)
        n, channels = len(prompts), 3 if multimask_output else 1
        masks = _blank((n, channels, *tile.rgb.shape[:2]), return_logits)
        ious = np.zeros((n, channels), np.float32)
        low_res = np.full((n, channels, *self.logit_grid(prompts)), OUTSIDE, np.float32)
        for rows, answer in self.answer(prompts, candidates=multimask_output):
            ious[rows] = answer.ious
            _paste(masks, rows, answer, return_logits)
            _paste_low_res(low_res, rows, answer)
        if n == 1:
            return masks[0], ious[0], low_res[0]
        return masks, ious, low_res

    def answer(
        self, prompts: PromptBatch, *, candidates: bool = False
    ) -> Iterator[tuple[npt.NDArray[np.int64], DecodedMasks]]:
        """Answer prompts in crops; `predict` makes whole pictures of what this yields.

        Parameters
        ----------
        prompts : px of the picture; a mask prompt lies on the grid of the field that answers
        candidates : SAM's three candidates instead of the single mask

        Yields
        ------
        rows, masks
            Positions in ``prompts`` and their answers; every position appears once.

        Raises
        ------
        PromptError
            No picture set, a prompt that says nothing, or a mask prompt of another picture.
        """
        tile = self._require_tile()
        owners = self._owners(prompts)
        for owner in np.unique(owners):
            embedding = self.engine.embed(tile, self._fields[owner])
            inside = np.flatnonzero(owners == owner)
            for index, answers in self.engine.decode(
                embedding, prompts.take(inside), candidates=candidates
            ):
                yield inside[index], answers

    def segment(
        self,
        score_threshold: float | None = None,
        min_area_um2: float | None = None,
        progress: Progress | None = None,
    ) -> Segmentation:
        """Outline every nucleus: detect, prompt with the boxes, decode, resolve overlaps.

        Parameters
        ----------
        score_threshold : in [0, 1]; None takes the card's
        min_area_um2 : smaller nuclei are dropped; None takes `SegmentSettings`' default
        progress : told after every field

        Returns
        -------
        segmentation : its timings say what was done since `set_image`; what came from the cache,
            or an earlier segmentation has told, counts 0.0 s of encoding

        Raises
        ------
        PromptError
            No picture set, or a threshold outside [0, 1].
        """
        tile = self._require_tile()
        defaults = SegmentSettings()
        threshold = self.card.score_threshold if score_threshold is None else score_threshold
        if not 0 <= threshold <= 1:
            raise PromptError(f"score threshold must lie in 0..1, got {threshold}; correct it")
        area = defaults.min_area_um2 if min_area_um2 is None else min_area_um2
        timings = {"encode": self._encode_seconds, "detect": 0.0, "masks": 0.0}
        self._encode_seconds = 0.0
        instances: list[InstanceMask] = []
        for done, field in enumerate(self._fields, start=1):
            instances += self._segment_field(tile, field, threshold, timings)
            if progress is not None:
                progress(done, len(self._fields))
        began = time.perf_counter()
        kept = resolve_overlaps(
            instances,
            tile.rgb.shape[:2],
            max_overlap=defaults.max_overlap,
            min_area=self._pixels(area, tile),
        )
        timings["masks"] += time.perf_counter() - began
        return Segmentation.from_instances(
            kept, tile.rgb.shape[:2], self.engine.config.classes, timings
        )

    def _segment_field(
        self, tile: Tile, field: Field, threshold: float, timings: dict[str, float]
    ) -> list[InstanceMask]:
        """Nuclei whose box has its centre in the field's inner part, or close to it.

        Two fields may see one centre a little apart, each on the other's side of the cut. Both
        answer for what lies within `_SEAM` of it; of two equal masks `resolve_overlaps` keeps one.
        """
        embedding = self.engine.embed(tile, field)
        timings["encode"] += embedding.seconds
        began = time.perf_counter()
        found = self.engine.propose(embedding)
        centres = (found.boxes_yxyx[:, :2] + found.boxes_yxyx[:, 2:]) / 2
        slack = _SEAM / embedding.frame.scale_yx
        low, high = field.inner_yxyx[:2] - slack, field.inner_yxyx[2:] + slack
        owned = ((centres >= low) & (centres < high)).all(axis=1)
        found = found.take(owned & (found.scores >= threshold))
        timings["detect"] += time.perf_counter() - began
        began = time.perf_counter()
        instances = self._masks_of(embedding, found.boxes_yxyx, found.scores, found.class_ids)
        timings["masks"] += time.perf_counter() - began
        return instances

    def _masks_of(
        self,
        embedding: TileEmbedding,
        boxes_yxyx: npt.NDArray[np.float32],
        scores: npt.NDArray[np.float32],
        classes: npt.NDArray[np.int64],
    ) -> list[InstanceMask]:
        if len(boxes_yxyx) == 0:
            return []
        instances: list[InstanceMask] = []
        for index, answer in self.engine.decode(embedding, PromptBatch.of_boxes(boxes_yxyx)):
            instances += instances_of(answer, scores[index], classes[index])
        return instances

    def _pixels(self, area_um2: float, tile: Tile) -> int:
        mpp = tile.mpp or self.card.mpp
        return 1 if mpp is None else max(1, math.ceil(area_um2 / mpp**2))

    def _require_tile(self) -> Tile:
        if self._tile is None:
            raise PromptError("no image is set; call set_image(image) before predict or segment")
        return self._tile

    def logit_grid(self, prompts: PromptBatch) -> tuple[int, int]:
        """Cells (H, W) of the logit grid of the field that answers the first prompt."""
        field = self._fields[self._owners(prompts)[0]]
        return self.engine.logit_grid(self.engine.embed(self._require_tile(), field))

    def _owners(self, prompts: PromptBatch) -> npt.NDArray[np.int64]:
        """The field each prompt is answered from: the one whose inner part holds it."""
        if len(self._fields) == 1:
            return np.zeros(len(prompts), np.int64)
        places: npt.NDArray[np.float32] | npt.NDArray[np.float64]
        if prompts.boxes_yxyx is not None:
            places = (prompts.boxes_yxyx[:, :2] + prompts.boxes_yxyx[:, 2:]) / 2
        elif prompts.points_yx.shape[1]:
            places = prompts.points_yx[:, 0]
        else:
            raise PromptError(
                "on an image of several fields a mask prompt needs a point or a box; add one"
            )
        inner = np.array([field.inner_yxyx for field in self._fields])  # (F, 4)
        middle: npt.NDArray[Any] = np.clip(
            places[:, None], inner[None, :, :2], inner[None, :, 2:] - 1
        )
        owners: npt.NDArray[np.int64] = np.abs(middle - places[:, None]).sum(-1).argmin(axis=1)
        return owners


def _as_batch(
    point_coords: npt.ArrayLike | None,
    point_labels: npt.ArrayLike | None,
    box: npt.ArrayLike | None,
    mask_input: npt.ArrayLike | None,
) -> PromptBatch:
    """SAM 2's arguments (xy, optional batch axis) -> one batch (yx)."""
    points, labels, boxes, masks = None, None, None, None
    if (point_coords is None) != (point_labels is None):
        raise PromptError("point_coords and point_labels go together, got one of them; pass both")
    if point_coords is not None and point_labels is not None:
        points = _numbers(point_coords, "point_coords")
        kinds = _numbers(point_labels, "point_labels")
        if not np.isin(kinds, (-1, 0, 1)).all():
            raise PromptError("point labels must be 1 (inside) or 0 (outside); correct them")
        labels = kinds.astype(np.int64)
        if points.ndim == 2 and labels.ndim == 1:
            points, labels = points[None], labels[None]
        if points.ndim != 3 or points.shape[-1] != 2:
            raise PromptError(
                f"point_coords must be (N, 2) or (B, N, 2), got {points.shape}; correct the shape"
            )
        points = points[..., ::-1]
    if box is not None:
        boxes = _numbers(box, "box")
        if boxes.size == 0 or boxes.ndim not in (1, 2) or boxes.shape[-1] != 4:
            raise PromptError(f"box must be (4,) or (B, 4), got {boxes.shape}; correct the shape")
        boxes = boxes.reshape(-1, 4)[:, [1, 0, 3, 2]]
    if mask_input is not None:
        masks = _numbers(mask_input, "mask_input")
        masks = masks[None] if masks.ndim == 3 else masks
        if masks.ndim != 4 or masks.shape[1] != 1:
            raise PromptError(
                f"mask_input must be (1, h, w) or (B, 1, h, w), got {masks.shape}; correct it"
            )
        masks = masks[:, 0]
    sizes = {len(x) for x in (points, boxes, masks) if x is not None}
    if len(sizes) != 1 or 0 in sizes:
        raise PromptError(
            "a prompt needs points, a box or a mask, the same number of each, got "
            f"{sorted(sizes) or 'none'}; pass at least one"
        )
    n = sizes.pop()
    if points is None or labels is None:
        points, labels = np.zeros((n, 0, 2), np.float32), np.zeros((n, 0), np.int64)
    return PromptBatch(np.ascontiguousarray(points), labels, boxes, masks)


def _numbers(values: npt.ArrayLike, name: str) -> npt.NDArray[np.float32]:
    try:
        return np.asarray(values, np.float32)
    except (TypeError, ValueError) as error:
        raise PromptError(
            f"{name} must be an array of numbers, got {type(values).__name__} that is none; "
            "make its rows equally long"
        ) from error


def _blank(shape: tuple[int, ...], as_logits: bool) -> npt.NDArray[Any]:
    """No nucleus anywhere; zeros cost nothing until they are touched, other values a pass."""
    return np.full(shape, OUTSIDE, np.float32) if as_logits else np.zeros(shape, np.bool_)


def _paste(
    masks: npt.NDArray[Any], rows: npt.NDArray[np.int64], answer: DecodedMasks, as_logits: bool
) -> None:
    """Copy crops into whole-picture masks, cut at the border."""
    height, width = masks.shape[2:]
    for row, (y, x), logits in zip(rows, answer.origins_yx.tolist(), answer.logits, strict=True):
        y0, x0 = max(0, y), max(0, x)
        y1, x1 = min(height, y + logits.shape[1]), min(width, x + logits.shape[2])
        part = logits[:, y0 - y : y1 - y, x0 - x : x1 - x]
        masks[row, :, y0:y1, x0:x1] = part if as_logits else part > 0


def _paste_low_res(
    low_res: npt.NDArray[np.float32], rows: npt.NDArray[np.int64], answer: DecodedMasks
) -> None:
    """Copy window logits onto the field's grid, clamped as SAM 2 clamps them."""
    height, width = answer.low_res.shape[2:]
    for row, (y, x), logits in zip(
        rows, answer.low_res_corners_yx.tolist(), answer.low_res, strict=True
    ):
        low_res[row, :, y : y + height, x : x + width] = np.clip(logits, -LOGIT_LIMIT, LOGIT_LIMIT)
