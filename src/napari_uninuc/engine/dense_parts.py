"""Dense decoders beside a model's weights at work: maps, classes of pixels, names.

A decoder is read when it is first asked for, and what it paints of a field stays until another
field is looked at.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.names import NUCLEUS
from napari_uninuc.core.shapes import Places, middles_of
from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.dense_pixels import pixels_of
from napari_uninuc.engine.embedding import TileEmbedding
from napari_uninuc.engine.owners import field_of
from napari_uninuc.engine.pooling import cells_of, pooled_over
from napari_uninuc.errors import CheckpointError
from napari_uninuc.network.dense_decoder import paint
from napari_uninuc.network.dense_files import (
    SEMANTIC_NAME,
    WORDS_NAME,
    StoredDense,
    load_dense,
)
from napari_uninuc.network.dense_head import MAPS

if TYPE_CHECKING:
    from napari_uninuc.engine.torch_engine import TorchEngine

__all__ = [
    "MapSource",
    "WordSource",
    "dense_source",
    "part_path",
    "sources_beside",
]

_EVEN = 1e-6
_HALF = 0.5


class MapSource:
    """A `ClassSource`: the share of each class in what a semantic decoder paints under a nucleus.

    Parameters
    ----------
    engine : whose features it reads
    stored : a decoder with classes, taught on the engine's weights

    Raises
    ------
    CheckpointError
        A decoder without classes.
    """

    by = "map"

    def __init__(self, engine: "TorchEngine", stored: StoredDense) -> None:
        if not stored.decoder.config.classes:
            raise CheckpointError(
                "expected a decoder with classes, got one that paints none; use another file"
            )
        self._engine, self._stored = engine, stored
        self._last: tuple[object, Tensor] | None = None

    @property
    def taught_on(self) -> tuple[str, ...]:
        """Names of the data sets it knows its classes from."""
        return self._stored.note.training_data

    @property
    def palette(self) -> ClassPalette:
        """The classes it was taught, without background."""
        return ClassPalette.of_names(self._stored.decoder.config.classes)

    def probabilities(self, tile: Tile, masks: Sequence[InstanceMask]) -> npt.NDArray[np.float64]:
        """Share of each class under each mask, (N, C); background takes no part."""
        shares = shares_of(self._engine, tile, masks, self.painted)[:, 1:] + _EVEN
        likely: npt.NDArray[np.float64] = shares / shares.sum(axis=1, keepdims=True)
        return likely

    @torch.inference_mode()
    def painted(self, embedding: TileEmbedding) -> Tensor:
        """Probabilities (1, 1 + C, H, W) of a field's pixels, background first."""
        if self._last is None or self._last[0] != embedding.key:
            with self._engine.low_precision():
                pixels = pixels_of(self._stored, embedding)
                painted = self._stored.decoder.painted(pixels).classes
            likely = torch.softmax(painted.float(), dim=1)
            self._last = embedding.key, _with_own_nuclei(likely, embedding)
        return self._last[1]

    def class_map(self, tile: Tile) -> npt.NDArray[np.uint8]:
        """The likeliest class of every pixel of a tile, see `map_of`."""
        return map_of(self._engine, tile, self.painted)


class WordSource:
    """A `ClassSource`: of the names a decoder of words knows, which it sees most under a nucleus.

    Parameters
    ----------
    engine : whose features it reads
    stored : a decoder with words, taught on the engine's weights

    Raises
    ------
    CheckpointError
        A decoder without words.
    """

    by = "words"

    def __init__(self, engine: "TorchEngine", stored: StoredDense) -> None:
        words = stored.decoder.words
        if words is None:
            raise CheckpointError(
                "expected a decoder with words, got one that reads none; use another file"
            )
        self._words = words
        self._engine, self._stored = engine, stored
        self._last: tuple[object, Tensor] | None = None

    @property
    def taught_on(self) -> tuple[str, ...]:
        """Names of the data sets it knows its classes from."""
        return self._stored.note.training_data

    @property
    def palette(self) -> ClassPalette:
        """The names of classes that it knows."""
        named = tuple(name for name in self._stored.note.names if name != NUCLEUS)
        return ClassPalette.of_names(named or (NUCLEUS,))

    def probabilities(self, tile: Tile, masks: Sequence[InstanceMask]) -> npt.NDArray[np.float64]:
        """Share of each name under each mask, (N, C), against the other names."""
        shares = shares_of(self._engine, tile, masks, self.painted) + _EVEN
        rows = [self._stored.note.names.index(name) for name in self.palette.names]
        named = shares[:, rows]
        likely: npt.NDArray[np.float64] = named / named.sum(axis=1, keepdims=True)
        return likely

    @torch.inference_mode()
    def painted(self, embedding: TileEmbedding) -> Tensor:
        """Probabilities (1, T, H, W) of a field's pixels, one a name."""
        if self._last is None or self._last[0] != embedding.key:
            logits = self.asked(embedding, self._stored.texts)
            self._last = embedding.key, torch.sigmoid(logits)
        return self._last[1]

    def class_map(self, tile: Tile) -> npt.NDArray[np.uint8]:
        """The likeliest name of every pixel, see `map_of`; background below one half."""
        rows = [self._stored.note.names.index(name) for name in self.palette.names]

        def with_background(embedding: TileEmbedding) -> Tensor:
            named = self.painted(embedding)[:, rows]
            return torch.cat([1 - named.amax(dim=1, keepdim=True), named], dim=1)

        return map_of(self._engine, tile, with_background)

    @torch.inference_mode()
    def asked(self, embedding: TileEmbedding, texts: Tensor) -> Tensor:
        """Logits (1, T, H, W) of T texts, tokens (T, L, D)."""
        with self._engine.low_precision():
            pixels = pixels_of(self._stored, embedding)
        index = torch.zeros(len(texts), dtype=torch.long, device=pixels.coarse.device)
        coarse = pixels.coarse.float()
        found = self._words(coarse, texts.to(coarse.device), index)
        return paint(pixels._replace(deep=pixels.deep.float()), found.best()[None])


def _with_own_nuclei(likely: Tensor, embedding: TileEmbedding) -> Tensor:
    """Let the model's own map of nuclei, where it has one, have half a say in what is background.

    It was taught on far more tissue than a decoder of classes: Dice of nuclei on 14 pictures of
    organs that neither has seen 0.664 alone, 0.657 of the decoder, 0.665 together.
    """
    own = embedding.embedding.auxiliary
    if own is None:
        return likely
    nucleus = torch.sigmoid(own.float()[:, [MAPS.index("nucleus")]])
    background = (likely[:, :1] + 1 - nucleus) / 2
    classes = likely[:, 1:] / likely[:, 1:].sum(dim=1, keepdim=True).clamp(min=1e-6)
    return torch.cat([background, (1 - background) * classes], dim=1)


class _Paints(Protocol):
    def __call__(self, embedding: TileEmbedding) -> Tensor: ...


def shares_of(
    engine: "TorchEngine", tile: Tile, masks: Sequence[InstanceMask], painted: _Paints
) -> npt.NDArray[np.float64]:
    """Mean of what is painted under each mask, (N, K), in the field that owns its middle.

    Of immunohistochemistry the view that is not restained is looked at.
    """
    fields, middles = engine.fields(tile), middles_of(masks)
    inside = Places.inside(masks, tile.shape)
    owned: dict[int, list[int]] = defaultdict(list)
    for index, (y, x) in enumerate(middles.tolist()):
        owned[field_of(fields, (y, x)).index].append(index)
    rows: dict[int, npt.NDArray[np.float32]] = {}
    for field in fields:
        if field.index in owned:
            embedding = engine.embed(tile, field)
            maps, chosen = painted(embedding), np.array(owned[field.index])
            found = pooled_over(maps, cells_of(inside, chosen, embedding, maps))
            rows |= dict(zip(chosen.tolist(), found, strict=True))
    return np.stack([rows[k] for k in range(len(masks))]).astype(np.float64)


@torch.inference_mode()
def map_of(engine: "TorchEngine", tile: Tile, painted: _Paints) -> npt.NDArray[np.uint8]:
    """The likeliest class of every pixel of a tile, (H, W): 0 background, 1 + class id.

    Background is where it is likelier than all classes together.

    Parameters
    ----------
    painted : probabilities (1, 1 + C, H, W) of a field, background first
    """
    whole = np.zeros(tile.shape, np.uint8)
    for field in engine.fields(tile):
        embedding = engine.embed(tile, field)
        frame = embedding.frame
        size = (int(frame.input_hw[0]), int(frame.input_hw[1]))
        likely = painted(embedding).float()
        full = functional.interpolate(likely, size, mode="bilinear", align_corners=False)[0]
        inside = full[0] < _HALF
        best = torch.where(inside, full[1:].argmax(0) + 1, 0).to(torch.uint8).cpu().numpy()
        y0, x0, y1, x1 = field.inner_yxyx
        rows, columns = (
            np.floor((np.arange(low, high) - first + 0.5) * scale).clip(0, most - 1).astype(int)
            for low, high, first, scale, most in zip(
                (y0, x0), (y1, x1), frame.origin_yx, frame.scale_yx, frame.content_hw, strict=True
            )
        )
        whole[y0:y1, x0:x1] = best[np.ix_(rows, columns)]
    return whole


def part_path(name: str | Path, folder: Path | None) -> Path:
    """A file, or what is called so beside the weights: ``semantic`` for `SEMANTIC_NAME`."""
    path = Path(name)
    if not path.exists() and folder is not None and path.name == str(name):
        beside = folder / f"{name}.safetensors"
        if beside.is_file():
            return beside
    return path


def dense_source(engine: "TorchEngine", path: Path) -> MapSource | WordSource:
    """The source of classes that a file of a dense decoder is.

    Raises
    ------
    CheckpointError
        No such file, damaged, of other weights, or one that tells no classes.
    """
    stored = load_dense(path, engine.card.sha256)
    if not stored.decoder.config.classes and stored.decoder.words is not None:
        return WordSource(engine, stored)
    return MapSource(engine, stored)


def sources_beside(engine: "TorchEngine") -> tuple[MapSource | WordSource, ...]:
    """What tells classes by itself and lies beside the weights, the better one first."""
    if engine.folder is None:
        return ()
    paths = (engine.folder / name for name in (SEMANTIC_NAME, WORDS_NAME))
    return tuple(dense_source(engine, path) for path in paths if path.is_file())
