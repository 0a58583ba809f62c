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
from napari_uninuc.engine.automatic import find_in_field
from napari_uninuc.engine.loading import load_engine, untrained_engine
from napari_uninuc.engine.owners import owners_of
from napari_uninuc.engine.postprocess import without_crumbs
from napari_uninuc.engine.requests import OUTSIDE, DecodedMasks, PromptBatch
from napari_uninuc.engine.sam_arrays import (
    blank_masks,
    paste_low_res,
    paste_masks,
    prompts_of_sam,
)
from napari_uninuc.engine.settings import SegmentSettings
from napari_uninuc.engine.torch_engine import TorchEngine
from napari_uninuc.errors import PromptError
from napari_uninuc.network.card import ModelCard

__all__ = ["Predictor", "load_predictor"]

Progress = Callable[[int, int], None]
"""Called with (fields done, fields in all)."""


def load_predictor(
    model: str | Path = "uninuc-n",
    *,
    device: str = "auto",
    weights: str | None = "default",
    embeddings_gb: float | None = 0,
) -> "Predictor":
    """Load a model and make a predictor of it.

    Parameters
    ----------
    model : an id (``uninuc-n``), a model folder, or a ``.safetensors`` file with a card beside it
    device : auto, cpu, cuda, cuda:N or mps
    embeddings_gb : see `napari_uninuc.engine.loading.load_engine`
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
    if weights is None:
        return Predictor(untrained_engine(str(model), device))
    return Predictor(load_engine(model, device, embeddings_gb=embeddings_gb))


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
        box : (4,) or (B, 4) xyxy, px of the picture; tight, as SAM's protocol has it: a model
            that knows its scale moves each side of the outline towards the box, by 2 px at most
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
        prompts = prompts_of_sam(point_coords, point_labels, box, mask_input)
        n, channels = len(prompts), 3 if multimask_output else 1
        masks = blank_masks((n, channels, *tile.rgb.shape[:2]), return_logits)
        ious = np.zeros((n, channels), np.float32)
        low_res = np.full((n, channels, *self.logit_grid(prompts)), OUTSIDE, np.float32)
        for rows, answer in self.answer(prompts, candidates=multimask_output):
            ious[rows] = answer.ious
            paste_masks(masks, rows, answer, return_logits)
            paste_low_res(low_res, rows, answer)
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
        owners = owners_of(self._fields, prompts)
        for owner in np.unique(owners):
            embedding = self.engine.embed(tile, self._fields[owner])
            inside = np.flatnonzero(owners == owner)
            asked = prompts.take(inside)
            for index, answers in self.engine.decode(
                embedding, asked, candidates=candidates, by_hand=True, tight=True
            ):
                # SAM 2's own weights give SAM 2's own masks.
                if self.card.mpp is not None:
                    answers = without_crumbs(answers, asked.take(index))
                yield inside[index], answers

    def segment(
        self,
        score_threshold: float | None = None,
        min_area_um2: float | None = None,
        progress: Progress | None = None,
        *,
        proposer: str | None = None,
        flips: bool | None = None,
    ) -> Segmentation:
        """Outline every nucleus: propose boxes, prompt with them, decode, resolve overlaps.

        Parameters
        ----------
        score_threshold : in [0, 1]; None takes the card's
        min_area_um2 : smaller nuclei are dropped; None takes `SegmentSettings`' default
        progress : told after every field
        proposer : where boxes come from, "detector", "peaks" of the dense maps, or "both"; None
            takes the card's
        flips : look at each field in a mirror too and average both: better, and twice the work;
            None takes the card's

        Returns
        -------
        segmentation : its table has a column more, predicted_iou: the IoU that the mask decoder
            expects of its mask. Its timings say what was done since `set_image`; what came from
            the cache, or an earlier segmentation has told, counts 0.0 s of encoding

        Raises
        ------
        PromptError
            No picture set, a threshold outside [0, 1], no such proposer, or one the model has no
            maps for.
        """
        tile = self._require_tile()
        defaults = SegmentSettings()
        threshold = self.card.score_threshold if score_threshold is None else score_threshold
        area = defaults.min_area_um2 if min_area_um2 is None else min_area_um2
        timings = {"encode": self._encode_seconds, "detect": 0.0, "masks": 0.0}
        instances: list[InstanceMask] = []
        for done, field in enumerate(self._fields, start=1):
            found = find_in_field(
                self.engine, tile, field, threshold, timings, proposer=proposer, flips=flips
            )
            instances += [nucleus.mask for nucleus in found]
            if progress is not None:
                progress(done, len(self._fields))
        self._encode_seconds = 0.0
        began = time.perf_counter()
        kept = resolve_overlaps(
            instances,
            tile.rgb.shape[:2],
            max_overlap=defaults.max_overlap,
            min_area=self._pixels(area, tile),
        )
        timings["masks"] += time.perf_counter() - began
        result = Segmentation.from_instances(
            kept, tile.rgb.shape[:2], self.engine.config.classes, timings
        )
        ious = np.array([mask.predicted_iou for mask in kept], np.float64)
        result.table["predicted_iou"] = ious[result.table["id"].to_numpy() - 1]
        return result

    def _pixels(self, area_um2: float, tile: Tile) -> int:
        mpp = tile.mpp or self.card.mpp
        return 1 if mpp is None else max(1, math.ceil(area_um2 / mpp**2))

    def _require_tile(self) -> Tile:
        if self._tile is None:
            raise PromptError("no image is set; call set_image(image) before predict or segment")
        return self._tile

    def logit_grid(self, prompts: PromptBatch) -> tuple[int, int]:
        """Cells (H, W) of the logit grid of the field that answers the first prompt."""
        field = self._fields[owners_of(self._fields, prompts)[0]]
        return self.engine.logit_grid(self.engine.embed(self._require_tile(), field))
