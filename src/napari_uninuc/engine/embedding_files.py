"""An embedding as tensors with names, and back; written while the program goes on."""

from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock

import torch
from torch import Tensor

from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.cache import EmbeddingKey
from napari_uninuc.engine.embedding import TileEmbedding
from napari_uninuc.engine.embedding_store import EmbeddingStore
from napari_uninuc.engine.frame import Frame
from napari_uninuc.network.mask_decoder import WindowFeatures
from napari_uninuc.network.uninuc import Embedding

__all__ = ["read_embedding", "wait_for_writes", "write_embedding"]

_WAITING = 2
"""Embeddings that may wait to be written; the next encoder waits for the first of them."""
_writer = ThreadPoolExecutor(1, thread_name_prefix="uninuc-embeddings")
_waiting: list[Future[bool]] = []
_lock = Lock()


def read_embedding(
    store: EmbeddingStore | None,
    key: EmbeddingKey,
    frame: Frame,
    tile: Tile,
    device: torch.device,
) -> TileEmbedding | None:
    """What the store has for a key, on the device; None where it has nothing of use."""
    tensors = None if store is None else store.read(key)
    if tensors is None:
        return None
    try:
        maps = WindowFeatures(*[_map(tensors[name], device) for name in WindowFeatures._fields])
    except KeyError:
        return None
    auxiliary = tensors.get("auxiliary")
    levels = [tensors[name].to(device) for name in sorted(tensors) if name.startswith("level")]
    if "float32" in key.dtype:
        levels = [level.float() for level in levels]
    parts = Embedding(
        maps,
        tuple(levels),
        None if auxiliary is None else _map(auxiliary, device),
        frame.input_hw,
    )
    return TileEmbedding(frame, parts, 0.0, tile, key)


def write_embedding(store: EmbeddingStore | None, made: TileEmbedding) -> None:
    """Have an embedding written by a thread of its own; what goes wrong there is only logged."""
    if store is None:
        return
    parts = made.embedding
    tensors = dict(parts.maps._asdict())
    tensors.update({f"level{k}": level for k, level in enumerate(parts.detection)})
    if parts.auxiliary is not None:
        tensors["auxiliary"] = parts.auxiliary
    with _lock:
        while len(_waiting) >= _WAITING:
            _waiting.pop(0).exception()
        _waiting.append(_writer.submit(_write, store, made.key, tensors))


def wait_for_writes() -> None:
    """Return when all that was to be written is; Python does so at exit by itself."""
    with _lock:
        while _waiting:
            _waiting.pop(0).result()


def _write(store: EmbeddingStore, key: EmbeddingKey, tensors: dict[str, Tensor]) -> bool:
    torch.set_num_threads(1)
    return store.write(key, tensors)


def _map(level: Tensor, device: torch.device) -> Tensor:
    """As the engine keeps them: float32, channels last."""
    return level.to(device).float().contiguous(memory_format=torch.channels_last)
