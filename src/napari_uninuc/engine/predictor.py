"""The face scripts see: SAM 2's image predictor, and automatic segmentation."""

import math
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_uninuc.core.geometry import Field
from napari_uninuc.core.instances import InstanceMask, resolve_overlaps
from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.answering import Answers, FieldAnswers
from napari_uninuc.engine.automatic import find_in_field
from napari_uninuc.engine.full_device import where_it_fits
from napari_uninuc.engine.loading import load_engine, untrained_engine
from napari_uninuc.engine.owners import owners_of
from napari_uninuc.engine.postprocess import without_crumbs
from napari_uninuc.engine.requests import OUTSIDE, PromptBatch
from napari_uninuc.engine.sam_arrays import (
    blank_masks,
    paste_low_res,
    paste_masks,
    pixels_of,
    prompts_of_sam,
)
from napari_uninuc.engine.settings import SegmentSettings
from napari_uninuc.engine.torch_engine import TorchEngine
from napari_uninuc.errors import ImageError, PromptError
from napari_uninuc.network.card import ModelCard

__all__ = ["Predictor", "load_predictor"]

Progress = Callable[[int, int], None]
"""Called with (fields done, fields in all)."""
Notice = Callable[[str], object]
"""Called with one line that a user should read."""
SamAnswer = tuple[npt.NDArray[Any], npt.NDArray[np.float32], npt.NDArray[np.float32]]
"""Masks, predicted IoUs, low-resolution logits."""


def load_predictor(
    model: str | Path = "uninuc-n",
    *,
    device: str = "auto",
    weights: str | None = "default",
    embeddings_gb: float | None = 0,
    dynamic_multimask: bool | None = None,
    notice: Notice | None = None,
) -> "Predictor":
    """Load a model and make a predictor of it.

    Parameters
    ----------
    model : an id (``uninuc-n``), a model folder, or a ``.safetensors`` file with a card beside it
    device : auto, cpu, cuda, cuda:N or mps
    embeddings_gb : see `napari_uninuc.engine.loading.load_engine`
    weights : "default" loads the model's; None builds the preset ``model`` with random weights
    dynamic_multimask : where the single mask is unstable, give the best of SAM's three instead.
        None takes the card's: so for converted SAM 2.1 weights, as `build_sam2` has it by default;
        False is its ``apply_postprocessing=False``
    notice : told when the device is full and the CPU takes over; None makes it a Python warning

    Raises
    ------
    ModelNotFoundError
        No such model.
    CheckpointError
        Its files are missing, damaged or belong to another architecture.
    DeviceError
        The device is not there.
    """
    tell = _warn if notice is None else notice
    if weights is None:
        engine = untrained_engine(str(model), device)
    else:
        engine = load_engine(model, device, embeddings_gb=embeddings_gb, notice=tell)
    if dynamic_multimask is not None:
        engine.dynamic_multimask = dynamic_multimask
    return Predictor(engine, tell)


@dataclass(frozen=True, slots=True, eq=False)
class _Picture:
    """A picture that was set, and the fields it is looked at in."""

    tile: Tile
    fields: tuple[Field, ...]


class Predictor:
    """Prompts in, masks out; one picture at a time, encoded once.

    The public methods of ``sam2.sam2_image_predictor.SAM2ImagePredictor`` are here under their
    names, with their arguments, shapes and order of returns. docs/models.md says what differs.

    Parameters
    ----------
    engine : goes to the CPU where its device runs out of memory
    notice : told of that; None makes it a Python warning
    """

    def __init__(self, engine: TorchEngine, notice: Notice | None = None) -> None:
        self.engine = engine
        self._tell = _warn if notice is None else notice
        # Assigned whole and read once a call: a picture set meanwhile, by another thread or by
        # `progress`, is not mixed with the one that is asked.
        self._pictures: tuple[_Picture, ...] = ()
        self._is_batch = False
        self._failure = ""
        self._encode_seconds = 0.0  # spent in set_image, and not yet told by segment

    @property
    def card(self) -> ModelCard:
        """What the model is, where it comes from and what it may be used for."""
        return self.engine.card

    @property
    def device(self) -> torch.device:
        """Where it computes now."""
        return self.engine.device

    def set_image(self, image: npt.ArrayLike | Tile, mpp: float | None = None) -> None:
        """Take a picture; encode it now if it fits into one field, else field by field when asked.

        The picture before is forgotten, also where this one is refused.

        Parameters
        ----------
        image : (H, W, 3) uint8 RGB; grey, RGBA and 16-bit pictures and PIL's are converted; or a
            `Tile`
        mpp : micrometres per pixel; None assumes the model's own

        Raises
        ------
        ImageError
            Not a picture, or ``mpp`` not above 0 or far too coarse.
        DeviceError
            Not enough memory, even on the CPU.
        """
        self._set([image], mpp, is_batch=False)

    def set_image_batch(
        self, image_list: Sequence[npt.ArrayLike | Tile], mpp: float | None = None
    ) -> None:
        """Take several pictures, for `predict_batch`; see `set_image`.

        Parameters
        ----------
        image_list : pictures; sizes may differ
        mpp : of all of them
        """
        self._set(list(image_list), mpp, is_batch=True)

    def _set(
        self, images: Sequence[npt.ArrayLike | Tile], mpp: float | None, *, is_batch: bool
    ) -> None:
        """Take all pictures or, where one is refused, none."""
        self.reset_predictor()
        try:
            if not images:
                raise ImageError("expected at least one picture, got none; pass a list of them")
            taken = [self._taken(image, mpp) for image in images]
        except Exception as problem:
            self._failure = " ".join(str(problem).split()) or type(problem).__name__
            raise
        self._encode_seconds = sum(seconds for _, seconds in taken)
        self._pictures, self._is_batch = tuple(picture for picture, _ in taken), is_batch

    def _taken(self, image: npt.ArrayLike | Tile, mpp: float | None) -> tuple[_Picture, float]:
        """A picture, and the seconds that encoding took; 0.0 where it is left for later."""
        tile = image if isinstance(image, Tile) else Tile.from_array(pixels_of(image), mpp)
        picture = _Picture(tile, tuple(self.engine.fields(tile)))
        if len(picture.fields) > 1:
            return picture, 0.0
        seconds = where_it_fits(
            self.engine, lambda engine: engine.embed(tile, picture.fields[0]).seconds, self._tell
        )
        return picture, seconds

    def reset_predictor(self) -> None:
        """Forget the picture, or pictures."""
        self._pictures, self._is_batch = (), False
        self._failure, self._encode_seconds = "", 0.0

    def get_image_embedding(self) -> torch.Tensor:
        """The coarsest features that prompts attend to, (pictures, C, h, w) float32, on `device`.

        Raises
        ------
        PromptError
            No picture set, one of several fields, or several whose features differ in size.
        """
        pictures = self._require_pictures()
        if any(len(picture.fields) > 1 for picture in pictures):
            raise PromptError(
                "a picture of several fields has no single embedding; pass one of at most "
                f"{self.engine.config.input_size} px at the model's scale"
            )
        maps = [self._coarse(picture) for picture in pictures]
        if len({level.shape for level in maps}) > 1:
            raise PromptError(
                "pictures of different sizes have no common embedding; set one after the other"
            )
        return torch.cat(maps)

    def _coarse(self, picture: _Picture) -> torch.Tensor:
        return where_it_fits(
            self.engine,
            lambda engine: engine.embed(picture.tile, picture.fields[0]).embedding.maps.coarse,
            self._tell,
        )

    def predict(
        self,
        point_coords: npt.ArrayLike | None = None,
        point_labels: npt.ArrayLike | None = None,
        box: npt.ArrayLike | None = None,
        mask_input: npt.ArrayLike | None = None,
        multimask_output: bool = False,
        return_logits: bool = False,
        normalize_coords: bool = True,
    ) -> SamAnswer:
        """Masks of one nucleus, or of B nuclei at once.

        Parameters
        ----------
        point_coords : (N, 2) or (B, N, 2) xy, px of the picture
        point_labels : (N,) or (B, N); 1 inside, 0 outside
        box : (4,) or (B, 4) xyxy, px of the picture; tight, as SAM's protocol has it: a model
            that knows its scale moves each side of the outline towards the box, by 2 px at most
        mask_input : (1, h, w) or (B, 1, h, w) logits, as returned by an earlier call; one counts
            for all B nuclei
        multimask_output : three candidates for an ambiguous prompt instead of one mask
        return_logits : logits instead of bool masks
        normalize_coords : False says that points and boxes are shares of the picture, in [0, 1]

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
        DeviceError
            Not enough memory, even on the CPU.
        """
        picture = self._require_pictures()[-1]
        shape = None if normalize_coords else picture.tile.shape
        prompts = prompts_of_sam(point_coords, point_labels, box, mask_input, shape)
        return self._sam_answer(picture, prompts, multimask_output, return_logits)

    def predict_batch(
        self,
        point_coords_batch: Sequence[npt.ArrayLike | None] | None = None,
        point_labels_batch: Sequence[npt.ArrayLike | None] | None = None,
        box_batch: Sequence[npt.ArrayLike | None] | None = None,
        mask_input_batch: Sequence[npt.ArrayLike | None] | None = None,
        multimask_output: bool = False,
        return_logits: bool = False,
        normalize_coords: bool = True,
    ) -> tuple[
        list[npt.NDArray[Any]], list[npt.NDArray[np.float32]], list[npt.NDArray[np.float32]]
    ]:
        """`predict` for each picture of `set_image_batch`.

        Parameters
        ----------
        point_coords_batch, point_labels_batch, box_batch, mask_input_batch : what `predict` takes,
            one a picture; None where no picture has any
        multimask_output, return_logits, normalize_coords : as `predict`

        Returns
        -------
        masks, iou_predictions, low_res_logits : what `predict` returns, one a picture

        Raises
        ------
        PromptError
            No `set_image_batch` before, not one prompt a picture, or as `predict`.
        DeviceError
            Not enough memory, even on the CPU.
        """
        pictures = self._require_pictures()
        if not self._is_batch:
            raise PromptError("predict_batch needs set_image_batch before, got set_image; call it")
        given = (point_coords_batch, point_labels_batch, box_batch, mask_input_batch)
        for each in given:
            if each is not None and len(each) != len(pictures):
                raise PromptError(
                    f"predict_batch needs one prompt for each of {len(pictures)} pictures, got "
                    f"{len(each)}; pass None for those without"
                )
        answers = []
        for place, picture in enumerate(pictures):
            points, labels, box, mask = (None if each is None else each[place] for each in given)
            shape = None if normalize_coords else picture.tile.shape
            prompts = prompts_of_sam(points, labels, box, mask, shape)
            answers.append(self._sam_answer(picture, prompts, multimask_output, return_logits))
        return [a[0] for a in answers], [a[1] for a in answers], [a[2] for a in answers]

    def _sam_answer(
        self, picture: _Picture, prompts: PromptBatch, candidates: bool, as_logits: bool
    ) -> SamAnswer:
        """Whole pictures of what `answer` yields, in SAM 2's shapes."""
        n, channels = len(prompts), 3 if candidates else 1
        masks = blank_masks((n, channels, *picture.tile.shape), as_logits)
        ious = np.zeros((n, channels), np.float32)
        low_res = np.full((n, channels, *self._logit_grid(picture, prompts)), OUTSIDE, np.float32)
        for rows, answer in self._answers(picture, prompts, candidates):
            ious[rows] = answer.ious
            paste_masks(masks, rows, answer, as_logits)
            paste_low_res(low_res, rows, answer)
        if n == 1:
            return masks[0], ious[0], low_res[0]
        return masks, ious, low_res

    def answer(self, prompts: PromptBatch, *, candidates: bool = False) -> Iterator[Answers]:
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
        DeviceError
            Not enough memory, even on the CPU.
        """
        yield from self._answers(self._require_pictures()[-1], prompts, candidates)

    def _answers(
        self, picture: _Picture, prompts: PromptBatch, candidates: bool
    ) -> Iterator[Answers]:
        owners = owners_of(list(picture.fields), prompts)
        for owner in np.unique(owners):
            inside = np.flatnonzero(owners == owner)
            asked = prompts.take(inside)
            field = picture.fields[owner]
            answers = FieldAnswers(picture.tile, field, asked, candidates=candidates)
            while (step := where_it_fits(self.engine, answers.step, self._tell)) is not None:
                index, masks = step
                # SAM 2's own weights give SAM 2's own masks.
                if self.card.mpp is not None:
                    masks = without_crumbs(masks, asked.take(index))
                yield inside[index], masks

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
            No picture set, or several; a threshold outside [0, 1], no such proposer, or one the
            model has no maps for.
        DeviceError
            Not enough memory, even on the CPU.
        """
        pictures = self._require_pictures()
        if len(pictures) > 1:
            raise PromptError(
                f"segment outlines one picture, got {len(pictures)} set; call set_image(image)"
            )
        tile, fields = pictures[0].tile, pictures[0].fields
        defaults = SegmentSettings()
        threshold = self.card.score_threshold if score_threshold is None else score_threshold
        area = defaults.min_area_um2 if min_area_um2 is None else min_area_um2
        timings = {"encode": self._encode_seconds, "detect": 0.0, "masks": 0.0}
        instances: list[InstanceMask] = []
        self._encode_seconds = 0.0
        for done, field in enumerate(fields, start=1):
            find = partial(
                find_in_field,
                tile=tile,
                field=field,
                score_threshold=threshold,
                timings=timings,
                proposer=proposer,
                flips=flips,
            )
            found = where_it_fits(self.engine, find, self._tell)
            instances += [nucleus.mask for nucleus in found]
            if progress is not None:
                progress(done, len(fields))
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

    def _require_pictures(self) -> tuple[_Picture, ...]:
        pictures = self._pictures
        if not pictures:
            why = f": the last one was refused ({self._failure})" if self._failure else ""
            raise PromptError(
                f"no image is set{why}; call set_image(image) before predict or segment"
            )
        return pictures

    def logit_grid(self, prompts: PromptBatch) -> tuple[int, int]:
        """Cells (H, W) of the logit grid of the field that answers the first prompt."""
        return self._logit_grid(self._require_pictures()[-1], prompts)

    def _logit_grid(self, picture: _Picture, prompts: PromptBatch) -> tuple[int, int]:
        field = picture.fields[owners_of(list(picture.fields), prompts)[0]]
        return where_it_fits(
            self.engine,
            lambda engine: engine.logit_grid(engine.embed(picture.tile, field)),
            self._tell,
        )


def _warn(text: str) -> None:
    warnings.warn(text, RuntimeWarning, stacklevel=3)
