"""Embeddings by content: the same pixels are encoded once, within a bound of bytes."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Generic, TypeVar

__all__ = ["EmbeddingCache", "EmbeddingKey"]

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class EmbeddingKey:
    """Everything an embedding depends on."""

    tile_digest: str
    outer_yxyx: tuple[int, int, int, int]
    content_hw: tuple[int, int]
    model_id: str
    weights_sha256: str
    preprocess_version: int
    dtype: str


class EmbeddingCache(Generic[Value]):
    """Least recently used first out; the newest value always stays, whatever its size."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._entries: OrderedDict[EmbeddingKey, tuple[Value, int]] = OrderedDict()
        self._nbytes = 0
        self._lock = Lock()

    def get_or_compute(
        self, key: EmbeddingKey, compute: Callable[[], Value], size_of: Callable[[Value], int]
    ) -> Value:
        """The value of ``key``; computed, outside the lock, when it is not here."""
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
                return self._entries[key][0]
        value = compute()
        with self._lock:
            if key in self._entries:  # another thread was faster
                self._nbytes -= self._entries.pop(key)[1]
            self._entries[key] = (value, size_of(value))
            self._nbytes += self._entries[key][1]
            while self._nbytes > self.max_bytes and len(self._entries) > 1:
                self._nbytes -= self._entries.popitem(last=False)[1][1]
        return value

    def clear(self) -> None:
        """Let go of every value."""
        with self._lock:
            self._entries.clear()
            self._nbytes = 0

    @property
    def nbytes(self) -> int:
        """Bytes held; may be asked for while another thread computes."""
        return self._nbytes

    def __contains__(self, key: EmbeddingKey) -> bool:
        with self._lock:
            return key in self._entries

    def __len__(self) -> int:
        return len(self._entries)
