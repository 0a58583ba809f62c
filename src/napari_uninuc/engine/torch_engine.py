"""The engine on torch: the only run-time border between arrays of the domain and tensors."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_uninuc.core.detections import Detections
from napari_uninuc.core.geometry import Field, plan_fields
from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.cache import EmbeddingCache, EmbeddingKey
from napari_uninuc.engine.device import encoder_dtype, one_thread
from napari_uninuc.engine.embedding import TileEmbedding
from napari_uninuc.engine.frame import Frame, square_frame, uniform_frame
from napari_uninuc.engine.postprocess import logits_at_picture
from napari_uninuc.engine.preprocess import PREPROCESS_VERSION, make_input
from napari_uninuc.engine.requests import DecodedMasks, PromptBatch
from napari_uninuc.engine.restain import StainViews
from napari_uninuc.engine.windows import Window, choose_sides, prompt_tokens, touches_border
from napari_uninuc.errors import ImageError, PromptError
from napari_uninuc.network.card import ModelCard
from napari_uninuc.network.mask_decoder import WindowFeatures
from napari_uninuc.network.uninuc import Embedding, UniNuc, WindowPrompts
from napari_uninuc.network.windows import place_windows

__all__ = ["TileEmbedding", "TorchEngine"]

_CACHE_BYTES = 2 * 1024**3
_WINDOW_PIXELS_AT_ONCE = 256 * 64 * 64
"""Decoded at once, in input px over all windows: bounds memory whatever the windows' size."""
_SMALL_WORK_PIXELS = 4 * 64 * 64
"""Up to here a second thread saves nothing: a click takes 12.3 ms on one, 11.4 ms on two."""
_SMALLEST_FIELD = 32
"""Px of the picture; coarser pictures would be enlarged to nothing but blur, and much of it."""


class TorchEngine:
    """Encode fields once, propose boxes, decode prompts in windows.

    Parameters
    ----------
    model : moved to ``device`` and set to evaluation
    card : says scale, normalisation and identity
    device : where everything stays
    """

    def __init__(self, model: UniNuc, card: ModelCard, device: torch.device) -> None:
        self.model = model.to(memory_format=torch.channels_last).to(device).eval()
        self.card, self.config, self.device = card, model.config, device
        # A converted SAM 2 model must give SAM 2's masks to the last digits: no low precision.
        self.dtype = torch.float32 if card.mpp is None else encoder_dtype(device)
        self.views = StainViews()
        self.cache: EmbeddingCache[TileEmbedding] = EmbeddingCache(_CACHE_BYTES)

    def scale_of(self, tile: Tile) -> float:
        """Input px per px of the tile; a tile without a scale is taken to have the model's."""
        if tile.mpp is None or self.card.mpp is None:
            return 1.0
        return tile.mpp / self.card.mpp

    def fields(self, tile: Tile) -> list[Field]:
        """Cover a tile with fields of at most the model's input size.

        Raises
        ------
        ImageError
            Pixels far too large to show nuclei.
        """
        height, width = tile.rgb.shape[:2]
        if self.card.mpp is None and self.config.square_input:
            return [Field(0, (0, 0, height, width), (0, 0, height, width))]
        scale = self.scale_of(tile)
        size = int(self.config.input_size / scale)
        if size < _SMALLEST_FIELD:
            raise ImageError(
                f"mpp must be at most {self.config.input_size // _SMALLEST_FIELD} times the "
                f"model's {self.card.mpp}, got {tile.mpp}; nuclei cannot be seen so coarsely"
            )
        halo = min(round(self.config.halo / scale), (size - 1) // 2)
        return plan_fields((height, width), size, halo)

    def embed(self, tile: Tile, field: Field) -> TileEmbedding:
        """Encode a field, or return what the cache kept of the same pixels."""
        frame = self._frame(tile, field)
        key = EmbeddingKey(
            tile.digest,
            field.outer_yxyx,
            frame.content_hw,
            self.card.id,
            self.card.sha256,
            PREPROCESS_VERSION,
            str(self.dtype),
        )
        fresh: list[TileEmbedding] = []

        def encode() -> TileEmbedding:
            fresh.append(self._encode(tile, frame))
            return fresh[0]

        found = self.cache.get_or_compute(key, encode, lambda value: value.nbytes)
        return found if fresh else replace(found, seconds=0.0)

    def _frame(self, tile: Tile, field: Field) -> Frame:
        if self.card.mpp is None and self.config.square_input:
            return square_frame(tile.rgb.shape[:2], self.config.input_size)
        smallest = self.config.mask.window or 64
        return uniform_frame(field, self.scale_of(tile), smallest)

    @torch.inference_mode()
    def _encode(self, tile: Tile, frame: Frame) -> TileEmbedding:
        began = time.perf_counter()
        image = make_input(tile, frame, self.config.mean, self.config.std, self.device)
        with self._low_precision():
            embedding = self.model.encode(image, detection=True)
        embedding = Embedding(
            WindowFeatures(*[_plain(level) for level in embedding.maps]),
            embedding.detection,
            None if embedding.auxiliary is None else _plain(embedding.auxiliary),
            embedding.size_hw,
        )
        return TileEmbedding(frame, embedding, time.perf_counter() - began)

    def _low_precision(self) -> AbstractContextManager[object]:
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, self.dtype)

    @torch.inference_mode()
    def propose(self, embedding: TileEmbedding) -> Detections:
        """All boxes the detector offers, in px of the tile, with scores; a Proposer."""
        with self._low_precision():
            output = self.model.detect(embedding.embedding)
        logits, boxes = output.layers[-1]
        valid = output.valid[0, 0]
        scores, classes = torch.sigmoid(logits[0, 0][valid].float()).max(-1)
        cxcywh = boxes[0, 0][valid].float().cpu().numpy()
        half = cxcywh[:, 2:] / 2
        corners = np.concatenate([cxcywh[:, :2] - half, cxcywh[:, :2] + half], axis=1)
        yxyx = embedding.frame.boxes_to_picture(corners[:, [1, 0, 3, 2]])
        return Detections(
            yxyx.astype(np.float32),
            scores.cpu().numpy().astype(np.float32),
            classes.cpu().numpy().astype(np.int64),
        )

    @torch.inference_mode()
    def decode(
        self, embedding: TileEmbedding, prompts: PromptBatch, *, candidates: bool = False
    ) -> Iterator[tuple[npt.NDArray[np.int64], DecodedMasks]]:
        """Answer prompts, grouped by the size of window they need.

        Parameters
        ----------
        embedding : of the field the prompts lie in
        prompts : px of the picture
        candidates : SAM's three candidates instead of the single mask

        Yields
        ------
        index, masks
            Positions in ``prompts`` and their answers; every position appears once.

        Raises
        ------
        PromptError
            A mask prompt that is not on this field's logit grid.
        """
        self._check_masks(embedding, prompts)
        sides = choose_sides(embedding.frame, prompts, self.config.mask.window)
        waiting = np.arange(len(prompts))
        while len(waiting):
            side = int(sides[waiting].min())
            group = waiting[sides[waiting] == side]
            waiting = waiting[sides[waiting] != side]
            window = Window.of(embedding.frame, side, self.config.coarse_stride)
            at_once = max(1, _WINDOW_PIXELS_AT_ONCE // (window.side_hw[0] * window.side_hw[1]))
            for start in range(0, len(group), at_once):
                index = group[start : start + at_once]
                masks, cut = self._decode_window(embedding, prompts.take(index), window, candidates)
                if prompts.boxes_yxyx is None and not window.whole:
                    grown = index[cut]
                    sides[grown] = side * 2
                    waiting = np.concatenate([waiting, grown])
                    index, masks = index[~cut], masks.take(~cut)
                if len(index):
                    yield index, masks

    def _decode_window(
        self, embedding: TileEmbedding, prompts: PromptBatch, window: Window, candidates: bool
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
        previous = self._previous(prompts, corners, window)
        ready = WindowPrompts(
            torch.zeros(len(prompts), dtype=torch.long, device=self.device),
            corners.to(self.device),
            window.cells_hw,
            local.to(self.device),
            torch.from_numpy(labels).to(self.device),
            previous,
        )
        pixels = len(prompts) * window.side_hw[0] * window.side_hw[1]
        with one_thread() if pixels <= _SMALL_WORK_PIXELS else nullcontext():
            logits, ious = self.model.decode(embedding.embedding, ready)
        chosen = slice(1, None) if candidates else slice(0, 1)
        logits = logits[:, chosen].float() + self.card.logit_shift
        ious = ious[:, chosen].float()
        cut = touches_border(logits[:, 0] > 0, corners, window, frame, stride)
        origins, full = logits_at_picture(logits, corners * stride, window, frame)
        answer = DecodedMasks(
            origins, full, _array(ious), _array(logits), (corners * 4).cpu().numpy()
        )
        return answer, cut.cpu().numpy()

    def _previous(self, prompts: PromptBatch, corners: Tensor, window: Window) -> Tensor | None:
        """The windows of the mask prompts, (N, 1, 4 h, 4 w)."""
        previous = prompts.previous
        if previous is None:
            return None
        shape = (4 * window.cells_hw[0], 4 * window.cells_hw[1])
        crops = [
            previous.cut(place, (y, x), shape)
            for place, (y, x) in enumerate((corners * 4).tolist())
        ]
        return torch.from_numpy(np.stack(crops)[:, None]).to(self.device)

    def logit_grid(self, embedding: TileEmbedding) -> tuple[int, int]:
        """Shape of a field's low-resolution logits, as mask prompts have it."""
        height, width = embedding.frame.input_hw
        return height // self.config.logit_stride, width // self.config.logit_stride

    def _check_masks(self, embedding: TileEmbedding, prompts: PromptBatch) -> None:
        previous, expected = prompts.previous, self.logit_grid(embedding)
        if previous is not None and previous.grid_hw != expected:
            raise PromptError(
                f"mask prompt must be {expected} logits, as returned for this image, got "
                f"{previous.grid_hw}; pass low_res_logits of an earlier answer"
            )


def _plain(level: Tensor) -> Tensor:
    """float32 and channels last: clicks read it many times, in full precision."""
    return level.float().contiguous(memory_format=torch.channels_last)


def _array(tensor: Tensor) -> npt.NDArray[np.float32]:
    array: npt.NDArray[np.float32] = tensor.cpu().numpy()
    return array
