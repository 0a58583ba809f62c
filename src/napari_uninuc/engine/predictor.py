"""The face scripts see: SAM 2's image predictor, and automatic segmentation."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_uninuc.core.classifier import Taught
from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.answering import Answers
from napari_uninuc.engine.class_sources import ClassSource, ExamplesSource
from napari_uninuc.engine.classing import classed
from napari_uninuc.engine.dense_parts import MapSource, WordSource
from napari_uninuc.engine.describing import describe_nuclei
from napari_uninuc.engine.loading import load_engine, untrained_engine
from napari_uninuc.engine.requests import OUTSIDE, PromptBatch
from napari_uninuc.engine.sam_arrays import (
    blank_masks,
    paste_low_res,
    paste_masks,
    pixels_of,
    prompts_of_sam,
)
from napari_uninuc.engine.set_picture import Notice, Progress, SetPicture
from napari_uninuc.engine.torch_engine import TorchEngine
from napari_uninuc.errors import ImageError, PromptError
from napari_uninuc.network.card import ModelCard

__all__ = ["Predictor", "load_predictor"]

SamAnswer = tuple[npt.NDArray[Any], npt.NDArray[np.float32], npt.NDArray[np.float32]]
"""Masks, predicted IoUs, low-resolution logits."""


def load_predictor(
    model: str | Path = "uninuc-n",
    *,
    device: str = "auto",
    weights: str | None = "default",
    embeddings_gb: float | None = 0,
    dynamic_multimask: bool | None = None,
    adapter: str | Path | None = None,
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
    adapter : file of a state learnt from corrections with these weights (`uninuc learn`)
    notice : told when the device is full and the CPU takes over; None makes it a Python warning

    Raises
    ------
    ModelNotFoundError
        No such model.
    CheckpointError
        Its files are missing, damaged or belong to another architecture; or the learnt state is
        damaged or of other weights.
    PromptError
        A learnt state for random weights.
    DeviceError
        The device is not there.

    Examples
    --------
    >>> from napari_uninuc import load_predictor
    >>> predictor = load_predictor("uninuc-n", device="cpu")
    >>> predictor.card.id, predictor.device.type, predictor.card.classes
    ('uninuc-n', 'cpu', ('nucleus',))

    What is not there is an error of ours, here a ``ModelNotFoundError``:

    >>> from napari_uninuc import UniNucError
    >>> try:
    ...     load_predictor("uninuc-x")
    ... except UniNucError as problem:
    ...     print(problem)
    no model 'uninuc-x'; expected an id (here: ...
    """
    tell = _warn if notice is None else notice
    if weights is None and adapter is not None:
        raise PromptError(
            f"adapter needs the weights it was taught on, got weights=None and {adapter}; pass one"
        )
    if weights is None:
        engine = untrained_engine(str(model), device)
    else:
        engine = load_engine(
            model, device, embeddings_gb=embeddings_gb, adapter=adapter, notice=tell
        )
    if dynamic_multimask is not None:
        engine.dynamic_multimask = dynamic_multimask
    return Predictor(engine, tell)


class Predictor:
    """Prompts in, masks out; one picture at a time, encoded once.

    The public methods of ``sam2.sam2_image_predictor.SAM2ImagePredictor`` are here under their
    names, with their arguments, shapes and order of returns. docs/models.md says what differs.

    Parameters
    ----------
    engine : goes to the CPU where its device runs out of memory
    notice : told of that; None makes it a Python warning

    Attributes
    ----------
    taught : classes that `segment` tells apart; None leaves it to the model. See
        `napari_uninuc.io.classifiers.read_classifier`
    source : another source of those classes, `engine.dense_parts.dense_source` for instance; it
        goes before ``taught``

    Examples
    --------
    >>> from skimage import data
    >>> from napari_uninuc import load_predictor
    >>> picture = data.immunohistochemistry()[200:328, 100:228]
    >>> predictor = load_predictor("uninuc-n", device="cpu")
    >>> predictor.set_image(picture, mpp=0.25)

    All nuclei, and one by a click at x = 71, y = 66; the examples of the methods go on from here:

    >>> nuclei = predictor.segment()
    >>> nuclei.labels.shape, str(nuclei.labels.dtype), len(nuclei.table) > 5
    ((128, 128), 'int32', True)
    >>> masks, ious, logits = predictor.predict(point_coords=[[71, 66]], point_labels=[1])
    >>> masks.shape, bool(masks[0, 66, 71])
    ((1, 128, 128), True)
    """

    def __init__(self, engine: TorchEngine, notice: Notice | None = None) -> None:
        self.engine = engine
        self._tell = _warn if notice is None else notice
        # Assigned whole and read once a call: a picture set meanwhile, by another thread or by
        # `progress`, is not mixed with the one that is asked.
        self._pictures: tuple[SetPicture, ...] = ()
        self._is_batch = False
        self._failure = ""
        self._encode_seconds = 0.0  # spent in set_image, and not yet told by segment
        self.taught: Taught | None = None
        self.source: ClassSource | None = None

    @property
    def card(self) -> ModelCard:
        """What the model is and what it may be used for; with the classes that `segment` tells."""
        card, source = self.engine.card, self.class_source
        return card if source is None else replace(card, classes=source.palette.names)

    @property
    def class_source(self) -> ClassSource | None:
        """Where classes come from; None where they are the model's own."""
        if self.source is None and self.taught is not None:
            return ExamplesSource(partial(describe_nuclei, self.engine), self.taught)
        return self.source

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

        Examples
        --------
        A grey picture of 12 bits in 16, whose scale nobody knows:

        >>> predictor.set_image(picture[..., 0].astype("uint16") * 16)

        What is no picture is refused, and then none is set:

        >>> predictor.set_image(picture[None])
        Traceback (most recent call last):
        napari_uninuc.errors.ImageError: image must be (H, W) or (H, W, C) with 1 to 4...
        """
        self._set([image], mpp, is_batch=False)

    def set_image_batch(
        self, image_list: Sequence[npt.ArrayLike | Tile], mpp: float | None = None
    ) -> None:
        """Take several pictures, for `predict_batch`, which shows how; see `set_image`.

        Parameters
        ----------
        image_list : as ``image`` of `set_image`; sizes may differ
        mpp : micrometres per pixel of all of them; None assumes the model's own

        Raises
        ------
        ImageError, DeviceError
            No picture, or one that `set_image` would refuse: then none is set.
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

    def _taken(self, image: npt.ArrayLike | Tile, mpp: float | None) -> tuple[SetPicture, float]:
        """A picture, and the seconds that encoding took; 0.0 where it is left for later."""
        tile = image if isinstance(image, Tile) else Tile.from_array(pixels_of(image), mpp)
        picture = SetPicture(self.engine, tile, self._tell)
        return picture, picture.encode()

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

        Examples
        --------
        >>> features = predictor.get_image_embedding()
        >>> features.ndim, features.dtype
        (4, torch.float32)
        """
        pictures = self._require_pictures()
        if any(len(picture.fields) > 1 for picture in pictures):
            raise PromptError(
                "a picture of several fields has no single embedding; pass one of at most "
                f"{self.engine.config.input_size} px at the model's scale"
            )
        maps = [picture.coarse() for picture in pictures]
        if len({level.shape for level in maps}) > 1:
            raise PromptError(
                "pictures of different sizes have no common embedding; set one after the other"
            )
        return torch.cat(maps)

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

        Examples
        --------
        A click at x = 71, y = 66; a second one, on what does not belong to it, starts from the
        answer to the first:

        >>> masks, ious, logits = predictor.predict(point_coords=[[71, 66]], point_labels=[1])
        >>> masks.shape, str(masks.dtype), bool(masks[0, 66, 71])
        ((1, 128, 128), 'bool', True)
        >>> masks, ious, logits = predictor.predict(
        ...     point_coords=[[71, 66], [82, 66]], point_labels=[1, 0], mask_input=logits
        ... )
        >>> bool(masks[0, 66, 71]), bool(masks[0, 66, 82])
        (True, False)

        Two nuclei at once, by boxes x0, y0, x1, y1:

        >>> masks, ious, logits = predictor.predict(box=[[67, 62, 77, 72], [86, 11, 111, 46]])
        >>> masks.shape, ious.shape
        ((2, 1, 128, 128), (2, 1))
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

        Examples
        --------
        >>> predictor.set_image_batch([picture[:96], picture[:, :96]], mpp=0.25)
        >>> masks, ious, logits = predictor.predict_batch(
        ...     point_coords_batch=[[[71, 66]], [[71, 66]]], point_labels_batch=[[1], [1]]
        ... )
        >>> [bool(each[0, 66, 71]) for each in masks]
        [True, True]
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
        self, picture: SetPicture, prompts: PromptBatch, candidates: bool, as_logits: bool
    ) -> SamAnswer:
        """Whole pictures of what `answer` yields, in SAM 2's shapes."""
        n, channels = len(prompts), 3 if candidates else 1
        masks = blank_masks((n, channels, *picture.tile.shape), as_logits)
        ious = np.zeros((n, channels), np.float32)
        low_res = np.full((n, channels, *picture.logit_grid(prompts)), OUTSIDE, np.float32)
        for rows, answer in picture.answers(prompts, candidates):
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

        Examples
        --------
        >>> import numpy as np
        >>> from napari_uninuc.engine.requests import PromptBatch
        >>> boxes_yxyx = np.array([[62, 67, 72, 77], [11, 86, 46, 111]], np.float32)
        >>> areas = {}
        >>> for rows, answers in predictor.answer(PromptBatch.of_boxes(boxes_yxyx)):
        ...     for row, logits in zip(rows, answers.logits):
        ...         areas[int(row)] = (logits[0] > 0).sum()
        >>> sorted(areas), bool(areas[0] < areas[1])
        ([0, 1], True)
        """
        yield from self._require_pictures()[-1].answers(prompts, candidates)

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
        proposer : where boxes come from, "detector", "peaks" of the dense maps, or "both"; or what
            outlines without boxes, "ais" or "apg", for which no threshold is the default
            (`engine.outliners`). None takes the card's
        flips : look for nuclei in each field's mirror too: better, and a third to a half slower;
            None takes the card's

        Returns
        -------
        segmentation : its table has columns more: predicted_iou, the IoU that the mask decoder
            expects of its mask; found_y0 to found_x1, the box that the nucleus was proposed by,
            half-open px, not rounded. Its timings say what was done since `set_image`; what came
            from the cache, or an earlier segmentation has told, counts 0.0 s of encoding

        Raises
        ------
        PromptError
            No picture set, or several; a threshold outside [0, 1], no such proposer, or one the
            model has no maps for.
        DeviceError
            Not enough memory, even on the CPU.

        Examples
        --------
        >>> nuclei = predictor.segment()
        >>> list(nuclei.table.columns)  # doctest: +NORMALIZE_WHITESPACE
        ['id', 'score', 'class', 'y0', 'x0', 'y1', 'x1', 'predicted_iou',
         'found_y0', 'found_x0', 'found_y1', 'found_x1']
        >>> bool(nuclei.labels.max() == nuclei.table["id"].max())
        True

        Only those that the model is surer of; the encoding is kept, so this is quicker:

        >>> surer = predictor.segment(score_threshold=0.5)
        >>> 0 < len(surer.table) < len(nuclei.table), surer.timings["encode"]
        (True, 0.0)
        """
        pictures = self._require_pictures()
        if len(pictures) > 1:
            raise PromptError(
                f"segment outlines one picture, got {len(pictures)} set; call set_image(image)"
            )
        timings = {"encode": self._encode_seconds, "detect": 0.0, "masks": 0.0}
        self._encode_seconds = 0.0
        found = pictures[0].outlined(
            score_threshold, min_area_um2, progress, timings, proposer=proposer, flips=flips
        )
        source = self.class_source
        return found if source is None else classed(pictures[0].tile, found, source)

    def class_map(self) -> npt.NDArray[np.uint8] | None:
        """The likeliest class of every pixel, (H, W): 0 background, 1 + class id; of one picture.

        None where classes are those of nuclei and not of pixels: without a decoder that paints
        them (`engine.dense_parts`).

        Raises
        ------
        PromptError
            No picture set.
        """
        [*_, picture] = self._require_pictures()
        if not isinstance(self.source, MapSource | WordSource):
            return None
        return self.source.class_map(picture.tile)

    def _require_pictures(self) -> tuple[SetPicture, ...]:
        pictures = self._pictures
        if not pictures:
            why = f": the last one was refused ({self._failure})" if self._failure else ""
            raise PromptError(
                f"no image is set{why}; call set_image(image) before predict or segment"
            )
        return pictures

    def logit_grid(self, prompts: PromptBatch) -> tuple[int, int]:
        """Cells (H, W) of the logit grid of the field that answers the first prompt."""
        return self._require_pictures()[-1].logit_grid(prompts)


def _warn(text: str) -> None:
    warnings.warn(text, RuntimeWarning, stacklevel=3)
