"""The engine on torch: the only run-time border between arrays of the domain and tensors."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from threading import Lock

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_uninuc.core.detections import Detections
from napari_uninuc.core.geometry import Field, plan_fields
from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.beside import LowDecoders, sharing_weights
from napari_uninuc.engine.cache import EmbeddingCache, EmbeddingKey
from napari_uninuc.engine.decoding import PromptDecoder
from napari_uninuc.engine.dense import DenseMaps
from napari_uninuc.engine.dense_pixels import pixels_of
from napari_uninuc.engine.device import encoder_dtype, room_for_embeddings
from napari_uninuc.engine.embedding import TileEmbedding
from napari_uninuc.engine.embedding_files import read_embedding, write_embedding
from napari_uninuc.engine.embedding_store import EmbeddingStore
from napari_uninuc.engine.encoder_speed import choose_dtype
from napari_uninuc.engine.folding import folded
from napari_uninuc.engine.frame import Frame, square_frame, uniform_frame
from napari_uninuc.engine.in_state import InState
from napari_uninuc.engine.offered import first_clicks
from napari_uninuc.engine.prefetch import interruptible
from napari_uninuc.engine.preprocess import PREPROCESS_VERSION, make_input
from napari_uninuc.engine.requests import DecodedMasks, PromptBatch
from napari_uninuc.engine.restain import StainViews
from napari_uninuc.errors import ImageError, PromptError
from napari_uninuc.network.card import DecodingName, ModelCard
from napari_uninuc.network.dense_files import StoredDense
from napari_uninuc.network.dense_head import MAPS
from napari_uninuc.network.mask_decoder import WindowFeatures
from napari_uninuc.network.next_point import PointDecoder
from napari_uninuc.network.uninuc import Embedding, UniNuc

__all__ = ["TileEmbedding", "TorchEngine"]

_PIXELS_AT_ONCE = 256 * 64 * 64
"""Of prompts that are decoded at once, input px; see `PromptDecoder`."""
_FOUND_BYTES = 64 * 2**20
"""Of boxes kept: of some thousand fields."""
_SMALLEST_FIELD = 32
"""Px of the picture; coarser pictures would be enlarged to nothing but blur, and much of it."""


class TorchEngine:
    """Encode fields once, propose boxes, decode prompts in windows.

    Parameters
    ----------
    model : moved to ``device`` and set to evaluation
    card : says scale, normalisation and identity
    device : where everything stays
    store : where embeddings outlive the program; None keeps them in memory alone

    Attributes
    ----------
    decoding : "local" answers a prompt from a window around it; "whole" from all of the field, as
        SAM 2 does. At first the card's; may be changed at any time
    dynamic_multimask : see the card's, which it is at first; may be changed at any time
    folder : where the weights are, and parts taught beside them; None where they are of no file
    point_decoder : one of those parts, once it was asked for (`engine.next_points`)
    distances : another, which paints maps in the place of the model's own
    state : the learnt state that it is in (`engine.in_state`); None for the weights as they are
    """

    def __init__(
        self,
        model: UniNuc,
        card: ModelCard,
        device: torch.device,
        store: EmbeddingStore | None = None,
    ) -> None:
        self.card, self.config, self.store = card, model.config, store
        self.decoding: DecodingName = card.decoding
        self.dynamic_multimask = card.dynamic_multimask
        self.folder: Path | None = None
        self.point_decoder: PointDecoder | None = None
        self.distances: StoredDense | None = None
        self.state: InState | None = None
        self._preparing = Lock()
        self.views = StainViews()
        self.cache: EmbeddingCache[TileEmbedding] = EmbeddingCache(0)
        self._detection: EmbeddingCache[tuple[Tensor, ...]] = EmbeddingCache(0)
        self._found: EmbeddingCache[Detections] = EmbeddingCache(_FOUND_BYTES)
        self._low = LowDecoders()
        self.model = model.to(memory_format=torch.channels_last).eval()
        self.move_to(device)

    def move_to(self, device: torch.device) -> None:
        """Compute on another device from now on; what was kept on the one before is let go.

        Nothing else may use the engine meanwhile.
        """
        self._forget()
        self.model.to(device)
        self.device = device
        self.cache.max_bytes = room_for_embeddings(device)
        self._detection.max_bytes = self.cache.max_bytes // 4
        self._dtype = torch.float32 if self.card.decoding == "whole" else None
        self._encoder: nn.Module | None = None
        self._folded = _whose_norms(None)
        self._is_ready = False
        self._pixels_at_once = _PIXELS_AT_ONCE

    @property
    def hears_detector(self) -> bool:
        """Whether first clicks do (`engine.offered`).

        Not with SAM 2's own weights, which give SAM 2's masks, and not where the detector has an
        encoder of its own: a click would have to wait for it.
        """
        return self.card.mpp is not None and self.model.detector_backbone is None

    def twin(self) -> "TorchEngine":
        """Make an engine of the same model, in the weights as they are, beside this one.

        Weights are in memory once, and what either engine has encoded the other finds. Each may be
        put into a state of its own (`engine.states`), which lies behind the encoder.
        """
        self._get_ready()
        card = self.card if self.state is None else self.state.card_before
        made = TorchEngine(sharing_weights(self.model), card, self.device, self.store)
        made.decoding, made.dynamic_multimask = self.decoding, self.dynamic_multimask
        made.folder, made.views, made.distances = self.folder, self.views, self.distances
        made.cache, made._detection, made._found = self.cache, self._detection, self._found
        made._encoder, made._dtype, made._is_ready = self._encoder, self._dtype, True
        made._folded = self._folded
        return made

    def make_room(self) -> None:
        """Let go of all that is kept on the device, and decode fewer prompts at once from now on.

        Nothing is lost: what is needed again is computed again.
        """
        self._forget()
        self._pixels_at_once = max(1, self._pixels_at_once // 4)

    def _forget(self) -> None:
        self.cache.clear()
        self._detection.clear()
        self._found.clear()
        self._low.forget()
        if self.state is not None:
            self.state.forget()
        # Neither does anything where no such device was used.
        torch.cuda.empty_cache()
        if torch.backends.mps.is_available():
            torch.mps.empty_cache()

    @property
    def dtype(self) -> torch.dtype:
        """Of the encoder: measured when the first field is encoded; may be set instead.

        A model whose card says "whole" must give SAM 2's masks to the last digits: float32.
        """
        return encoder_dtype(self.device) if self._dtype is None else self._dtype

    @dtype.setter
    def dtype(self, dtype: torch.dtype) -> None:
        self._dtype = dtype

    def model_for(self, embedding: TileEmbedding) -> UniNuc:
        """The network that answers on a field: in a learnt state, as much as the field is like."""
        return self.model if self.state is None else self.state.model_for(embedding)

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
        self._get_ready()
        frame = self._frame(tile, field)
        key = self._key(tile, field, frame)
        fresh: list[TileEmbedding] = []

        def encode() -> TileEmbedding:
            stored = read_embedding(self.store, key, frame, tile, self.device)
            if stored is not None:
                return stored
            fresh.append(self._encode(tile, frame, key))
            write_embedding(self.store, fresh[0])
            return fresh[0]

        found = self.cache.get_or_compute(key, encode, lambda value: value.nbytes)
        return found if fresh else replace(found, seconds=0.0)

    def holds(self, tile: Tile, field: Field) -> bool:
        """Whether a field need not be encoded now."""
        return self._key(tile, field, self._frame(tile, field)) in self.cache

    def _key(self, tile: Tile, field: Field, frame: Frame) -> EmbeddingKey:
        return EmbeddingKey(
            tile.digest,
            field.outer_yxyx,
            frame.content_hw,
            self.card.id,
            self.card.sha256,
            PREPROCESS_VERSION,
            f"{self.dtype} on {self.device.type}, norms folded: {self._folded}",
        )

    def _frame(self, tile: Tile, field: Field) -> Frame:
        if self.card.mpp is None and self.config.square_input:
            return square_frame(tile.rgb.shape[:2], self.config.input_size)
        smallest = self.config.mask.window or 64
        return uniform_frame(field, self.scale_of(tile), smallest)

    def _get_ready(self) -> None:
        """Before the first field: make the encoder as fast as it can be here."""
        with self._preparing:
            if self._is_ready:
                return
            own = self.model.image_encoder
            self._encoder = folded(own)
            if self._dtype is None:
                encoder = own if self._encoder is None else self._encoder
                self._dtype = choose_dtype(encoder, self.card.architecture, self.device)
            if self._encoder is not None and self._dtype == torch.float32:
                self._encoder = folded(own, trunk=True) or self._encoder
            interruptible(own if self._encoder is None else self._encoder)
            interruptible(self.model.detector)
            self._folded = _whose_norms(self._encoder)
            self._is_ready = True

    @torch.inference_mode()
    def _encode(self, tile: Tile, frame: Frame, key: EmbeddingKey) -> TileEmbedding:
        began = time.perf_counter()
        image = make_input(tile, frame, self.config.mean, self.config.std, self.device)
        shared = self.model.detector_backbone is None
        with self.low_precision():
            embedding = self.model.encode(image, detection=shared, encoder=self._encoder)
        embedding = Embedding(
            WindowFeatures(*[_plain(level) for level in embedding.maps]),
            embedding.detection,
            None if embedding.auxiliary is None else _plain(embedding.auxiliary),
            embedding.size_hw,
        )
        return TileEmbedding(frame, embedding, time.perf_counter() - began, tile, key)

    def low_precision(self) -> AbstractContextManager[object]:
        """What the encoder computes in, for what reads its features as it does."""
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, self.dtype)

    def propose(self, embedding: TileEmbedding) -> Detections:
        """All boxes the detector offers, in px of the tile, with scores; a Proposer.

        They are kept for the next time, as long as the detector is that of the weights.
        """
        if self.model_for(embedding).detector is not self.model.detector:
            return self.detected(embedding)
        return self._found.get_or_compute(
            embedding.key, lambda: self.detected(embedding), lambda found: found.nbytes
        )

    @torch.inference_mode()
    def detected(self, embedding: TileEmbedding) -> Detections:
        """As `propose`, computed anew and not kept."""
        with self.low_precision():
            output = self.model_for(embedding).detect(self.with_detection(embedding))
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
    def dense_maps(self, embedding: TileEmbedding) -> DenseMaps:
        """What the dense head says of a field, px of the input without its padding.

        Raises
        ------
        PromptError
            A model without dense maps.
        """
        names: tuple[str, ...] = MAPS
        logits = embedding.embedding.auxiliary
        if self.distances is not None:
            with self.low_precision():
                pixels = pixels_of(self.distances, embedding)
                logits = self.distances.decoder.painted(pixels).maps.float()
            names = self.distances.decoder.config.maps
        if logits is None:
            raise PromptError(
                "this model has no dense maps, got proposer 'ais' or 'apg'; use 'detector', or "
                "teach it distances (docs/train-your-own.md)"
            )
        size = embedding.frame.input_hw
        full = functional.interpolate(
            torch.sigmoid(logits.float()), size, mode="bilinear", align_corners=False
        )
        height, width = embedding.frame.content_hw
        maps: npt.NDArray[np.float32] = full[0, :, :height, :width].cpu().numpy()
        return DenseMaps.named(names, maps)

    def with_detection(self, embedding: TileEmbedding) -> Embedding:
        """The features with what the detector reads; its own backbone runs when first asked."""
        backbone, parts = self.model.detector_backbone, embedding.embedding
        if parts.detection or backbone is None:
            return parts

        def run() -> tuple[Tensor, ...]:
            frame, config = embedding.frame, self.config
            image = make_input(embedding.tile, frame, config.mean, config.std, self.device)
            levels: tuple[Tensor, ...] = backbone(image)
            return levels

        def size_of(levels: tuple[Tensor, ...]) -> int:
            return sum(level.nbytes for level in levels)

        return replace(parts, detection=self._detection.get_or_compute(embedding.key, run, size_of))

    def decode(
        self,
        embedding: TileEmbedding,
        prompts: PromptBatch,
        *,
        candidates: bool = False,
        by_hand: bool = False,
        tight: bool = False,
    ) -> Iterator[tuple[npt.NDArray[np.int64], DecodedMasks]]:
        """Answer prompts, grouped by the size of window they need.

        Parameters
        ----------
        embedding : of the field the prompts lie in
        prompts : px of the picture
        candidates : SAM's three candidates instead of the single mask
        by_hand : a person's prompts. They are decoded in float32, a detector's boxes as the
            encoder encodes: faster, and no worse (docs/speed.md). In a first click the detector
            has a say where `hears_detector`
        tight : boxes touch their nucleus on all sides, to the pixel, as measured ones do; those
            of a detector, of an earlier outline and of a hand with a mouse do not

        Yields
        ------
        index, masks
            Positions in ``prompts`` and their answers; every position appears once.

        Raises
        ------
        PromptError
            A mask prompt that is not on this field's logit grid.
        """
        model = self.model_for(embedding)
        asks = by_hand and self.hears_detector and bool(np.isfinite(first_clicks(prompts)).any())
        decoder = PromptDecoder(
            model if by_hand else self._low.of(model, self.dtype),
            self.config,
            self.card.logit_shift,
            self.device,
            whole=self.decoding == "whole",
            candidates=candidates,
            stable=self.dynamic_multimask,
            pixels_at_once=self._pixels_at_once,
            tight=tight,
            found=self.propose(embedding) if asks else None,
        )
        return decoder.answers(embedding, prompts, self.logit_grid(embedding))

    def logit_grid(self, embedding: TileEmbedding) -> tuple[int, int]:
        """Shape of a field's low-resolution logits, as mask prompts have it."""
        height, width = embedding.frame.input_hw
        return height // self.config.logit_stride, width // self.config.logit_stride


def _plain(level: Tensor) -> Tensor:
    """float32 and channels last: clicks read it many times, in full precision."""
    return level.float().contiguous(memory_format=torch.channels_last)


def _whose_norms(folded_encoder: nn.Module | None) -> str:
    """Whose batch norms an encoder computes no more, for keys of embeddings."""
    if folded_encoder is None:
        return "none"
    left = any(isinstance(each, nn.BatchNorm2d) for each in folded_encoder.modules())
    return "those of the neck" if left else "all"
