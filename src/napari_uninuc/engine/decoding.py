"""Prompts on an embedding: each decoded in the window it needs, many at once."""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_uninuc.core.detections import Detections
from napari_uninuc.engine.device import one_thread
from napari_uninuc.engine.embedding import TileEmbedding
from napari_uninuc.engine.offered import first_clicks, joined, offered_boxes
from napari_uninuc.engine.postprocess import logits_at_picture
from napari_uninuc.engine.requests import DecodedMasks, MaskWindows, PromptBatch
from napari_uninuc.engine.windows import (
    SURE_LOGIT,
    Window,
    choose_sides,
    prompt_tokens,
    touches_border,
)
from napari_uninuc.errors import PromptError
from napari_uninuc.network.config import ModelConfig
from napari_uninuc.network.mask_decoder import WindowFeatures
from napari_uninuc.network.uninuc import UniNuc, WindowPrompts
from napari_uninuc.network.windows import FILL, place_windows

__all__ = ["PromptDecoder"]

_LARGEST_PADDING = 4
"""One in so many of a batch may stand in for nothing."""
_OFFERED_FILL = 0.9
"""A larger window for an offered box takes twice as long, and adds nothing to the answer."""
_MANY = 32
"""From so many prompts on, whole maps are turned into the decoder's precision."""
_SMALL_WORK_PIXELS = 4 * 64 * 64
"""Up to here a second thread saves nothing: a click takes 12.3 ms on one, 11.4 ms on two."""


@dataclass(frozen=True, slots=True)
class PromptDecoder:
    """One way of answering prompts; see `napari_uninuc.engine.torch_engine.TorchEngine.decode`.

    Attributes
    ----------
    model, config, device : on which the embeddings lie; the mask decoder's precision is kept
    logit_shift : added to every logit, before clicks are obeyed
    whole : look at all of the field instead of a window around each prompt
    candidates : SAM's three candidates instead of the single mask
    stable : where the single mask is unstable, the best candidate instead
    pixels_at_once : decoded at once, in input px over all windows: bounds memory whatever the
        windows' size
    tight : boxes are right to the pixel
    found : what the detector offers beside first clicks (`engine.offered`); None asks it nothing
    fill : longest side of a box, as a share of its window's
    """

    model: UniNuc
    config: ModelConfig
    logit_shift: float
    device: torch.device
    whole: bool
    candidates: bool
    stable: bool
    pixels_at_once: int
    tight: bool
    found: Detections | None = None
    fill: float = FILL

    @torch.inference_mode()
    def answers(
        self, embedding: TileEmbedding, prompts: PromptBatch, grid_hw: tuple[int, int]
    ) -> Iterator[tuple[npt.NDArray[np.int64], DecodedMasks]]:
        """Answer prompts, window by window, as `TorchEngine.decode` says.

        Parameters
        ----------
        embedding : of the field
        prompts : N, px of the picture
        grid_hw : cells of the field's logit grid

        Yields
        ------
        index, masks
            (n,) int64 positions in ``prompts``, and their answers; every position appears once.

        Raises
        ------
        PromptError
            Mask prompts on another grid.
        """
        _require_grid(prompts, grid_hw)
        smallest = None if self.whole else self.config.mask.window
        sides = choose_sides(embedding.frame, prompts, smallest, self.fill)
        if len(prompts) >= _MANY:
            embedding = self._in_its_precision(embedding)
        waiting = np.arange(len(prompts))
        while len(waiting):
            side = int(sides[waiting].min())
            group = waiting[sides[waiting] == side]
            waiting = waiting[sides[waiting] != side]
            window = Window.of(embedding.frame, side, self.config.coarse_stride)
            at_once = max(1, self.pixels_at_once // (window.side_hw[0] * window.side_hw[1]))
            for index, count in _batches(group, at_once):
                some = prompts.take(index)
                beside = self._offered(embedding, some, grid_hw)
                masks, cut = self._in_windows(embedding, some, window, beside)
                index, masks, cut = index[:count], masks.take(np.arange(count)), cut[:count]
                if prompts.boxes_yxyx is None and not window.whole:
                    grown = index[cut]
                    sides[grown] = side * 2
                    waiting = np.concatenate([waiting, grown])
                    index, masks = index[~cut], masks.take(~cut)
                if len(index):
                    yield index, masks

    def _in_its_precision(self, embedding: TileEmbedding) -> TileEmbedding:
        """The maps as the mask decoder reads them: once, instead of each window."""
        parts = embedding.embedding
        dtype = self.model.sam_mask_decoder.dtype
        maps = WindowFeatures(*[level.to(dtype) for level in parts.maps])
        return replace(embedding, embedding=replace(parts, maps=maps))

    def _offered(
        self, embedding: TileEmbedding, prompts: PromptBatch, grid_hw: tuple[int, int]
    ) -> MaskWindows | None:
        """Answers to first clicks with the detector's boxes; where there is none, of no size."""
        if self.found is None:
            return None
        clicks = first_clicks(prompts)
        boxes = offered_boxes(self.found, clicks)
        rows = np.flatnonzero(np.isfinite(boxes[:, 0]))
        if not len(rows):
            return None
        logits = [np.zeros((0, 0), np.float32)] * len(prompts)
        corners = np.zeros((len(prompts), 2), np.int64)
        inside = np.ones((len(rows), 1), np.int64)
        asked = PromptBatch(clicks[rows, None], inside, boxes[rows])
        plain = replace(
            self, found=None, candidates=False, stable=False, tight=False, fill=_OFFERED_FILL
        )
        for index, masks in plain.answers(embedding, asked, grid_hw):
            corners[rows[index]] = masks.low_res_corners_yx
            for row, low_res in zip(rows[index].tolist(), masks.low_res[:, 0], strict=True):
                logits[row] = low_res
        return MaskWindows(tuple(logits), corners, grid_hw)

    def _in_windows(
        self,
        embedding: TileEmbedding,
        prompts: PromptBatch,
        window: Window,
        offered: MaskWindows | None,
    ) -> tuple[DecodedMasks, npt.NDArray[np.bool_]]:
        """Decode prompts whose windows have one size; and say which masks were cut by it."""
        frame, stride = embedding.frame, self.config.coarse_stride
        points, labels, centres = prompt_tokens(frame, prompts)
        corners = torch.zeros((len(prompts), 2), dtype=torch.long)
        if not window.whole:
            corners = place_windows(
                torch.from_numpy(centres), window.side_hw[0], frame.input_hw, stride
            )
        local = torch.from_numpy(points).float() - (corners * stride).flip(1)[:, None]
        previous = self._cut(prompts.previous, corners, window)
        ready = WindowPrompts(
            torch.zeros(len(prompts), dtype=torch.long, device=self.device),
            corners.to(self.device),
            window.cells_hw,
            local.to(self.device),
            torch.from_numpy(labels).to(self.device),
            previous,
            self.tight,
        )
        pixels = len(prompts) * window.side_hw[0] * window.side_hw[1]
        threads = one_thread() if pixels <= _SMALL_WORK_PIXELS else nullcontext()
        with threads:
            logits, ious = self.model.decode(
                embedding.embedding,
                ready,
                self.logit_shift,
                single=not (self.candidates or self.stable),
            )
        beside = self._cut(offered, corners, window)
        if beside is not None:
            logits = joined(logits, beside)
        logits, ious = self._chosen(logits, ious.float())
        cut = touches_border(logits[:, 0] > SURE_LOGIT, corners, window, frame, stride)
        origins, full = logits_at_picture(logits, corners * stride, window, frame)
        answer = DecodedMasks(
            origins, full, _array(ious), _array(logits), (corners * 4).cpu().numpy()
        )
        return answer, cut.cpu().numpy()

    def _chosen(self, logits: Tensor, ious: Tensor) -> tuple[Tensor, Tensor]:
        """The masks that were asked for, of the four (N, 4, h, w) that were decoded."""
        if self.candidates:
            return logits[:, 1:], ious[:, 1:]
        if self.stable:
            return self.model.sam_mask_decoder.single(logits, ious)
        return logits[:, :1], ious[:, :1]

    def _cut(self, masks: MaskWindows | None, corners: Tensor, window: Window) -> Tensor | None:
        """The windows of masks on the field's logit grid, (N, 1, 4 h, 4 w)."""
        if masks is None:
            return None
        shape = (4 * window.cells_hw[0], 4 * window.cells_hw[1])
        crops = [
            masks.cut(place, (y, x), shape) for place, (y, x) in enumerate((corners * 4).tolist())
        ]
        return torch.from_numpy(np.stack(crops)[:, None]).to(self.device)


def _batches(
    group: npt.NDArray[np.int64], at_once: int
) -> Iterator[tuple[npt.NDArray[np.int64], int]]:
    """Cut prompts into batches whose sizes are powers of two, the last prompt repeated where short.

    oneDNN makes and keeps code for every size it meets: 20 MB each, 256 sizes (docs/slides.md).

    Yields
    ------
    index, count
        Positions of a batch, and how many of them at its beginning are asked for.
    """
    while len(group):
        size = min(1 << (len(group) - 1).bit_length(), at_once)
        if len(group) < size - size // _LARGEST_PADDING:
            size //= 2
        some, group = group[:size], group[size:]
        yield np.pad(some, (0, size - len(some)), "edge"), len(some)


def _require_grid(prompts: PromptBatch, grid_hw: tuple[int, int]) -> None:
    previous = prompts.previous
    if previous is not None and previous.grid_hw != grid_hw:
        raise PromptError(
            f"mask prompt must be {grid_hw} logits, as returned for this image, got "
            f"{previous.grid_hw}; pass low_res_logits of an earlier answer"
        )


def _array(tensor: Tensor) -> npt.NDArray[np.float32]:
    array: npt.NDArray[np.float32] = tensor.cpu().numpy()
    return array
