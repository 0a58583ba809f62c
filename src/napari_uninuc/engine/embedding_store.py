"""Embeddings on disk: a picture that was opened before needs no encoder.

One file an embedding, named by all it depends on: pixels, field, weights, preprocessing, precision
and whatever else changes a number (`EmbeddingKey`). A file holds the checksum of what follows, then
safetensors. It is written beside and renamed, so that a reader sees all of it or none, and two
processes need no lock: both may write the same file, with the same content. What cannot be read as
it was written is deleted and computed again. A disk that is full, or a folder that is not ours,
means no store; it is logged once and nothing fails.
"""

import hashlib
import logging
import os
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from uuid import uuid4

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from napari_uninuc.engine.cache import EmbeddingKey
from napari_uninuc.network.places import cache_folder

__all__ = ["EmbeddingStore", "StoreState", "default_store"]

_log = logging.getLogger(__name__)
_FORMAT = b"uninuc embedding 1\n"
_DIGEST = 32
_SUFFIX = ".embedding"
_SHARE_OF_FREE = 0.1
_STALE_PART_S = 3600.0
SIZE_VARIABLE = "UNINUC_EMBEDDINGS_GB"
DEFAULT_GB = 2.0

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class StoreState:
    """What is in a store, for people.

    Attributes
    ----------
    folder : may not exist
    count, nbytes : embeddings in it
    limit_bytes : what it may grow to now
    """

    folder: Path
    count: int
    nbytes: int
    limit_bytes: int


def default_store(gigabytes: float | None = None) -> "EmbeddingStore | None":
    """The user's store, or None where it is switched off.

    Parameters
    ----------
    gigabytes : its bound, 0 for none; None takes ``$UNINUC_EMBEDDINGS_GB``, and 2 without. What
        the variable says to switch off, no parameter switches on.
    """
    told = _told_gb()
    bound = min(told, gigabytes) if gigabytes is not None and told == 0 else gigabytes
    bound = told if bound is None else bound
    if not bound > 0:
        return None
    return EmbeddingStore(cache_folder() / "embeddings", int(bound * 1e9))


def _told_gb() -> float:
    text = os.environ.get(SIZE_VARIABLE, "").strip()
    if not text:
        return DEFAULT_GB
    try:
        return max(0.0, float(text))
    except ValueError:
        _log.warning("%s=%r is no number; embeddings are not kept", SIZE_VARIABLE, text)
        return 0.0


class EmbeddingStore:
    """Tensors by key in a private folder; least recently used first out.

    Parameters
    ----------
    folder : made when first written to, readable by its owner alone
    max_bytes : of all files together; never more than a tenth of what is free on the disk
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder, self.max_bytes = folder, max_bytes
        self._works = True

    def read(self, key: EmbeddingKey) -> dict[str, Tensor] | None:
        """The tensors of a key, by name, on the CPU; None where there are none, or not whole.

        Shapes and numbers are those that were written; float32 may come back as bfloat16.
        """
        path = self._path(key)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        tensors = _unpacked(content)
        if tensors is None:
            _log.info("%s: damaged, deleted; it is computed again", path.name)
            with suppress(OSError):
                path.unlink()
            return None
        with suppress(OSError):
            os.utime(path)
        return tensors

    def write(self, key: EmbeddingKey, tensors: Tensors) -> bool:
        """Keep tensors; False where they are not: weights without a name, no room, no right."""
        if not key.weights_sha256 or not self._works:
            return False
        content = _packed(tensors)
        try:
            self._make_folder()
            if not self._make_room(len(content)):
                return self._give_up("no room: a tenth of the free disk is too little")
            self._put(self._path(key), content)
        except OSError as problem:
            return self._give_up(problem.strerror or str(problem))
        return True

    def _give_up(self, reason: str) -> bool:
        """Write nothing from here on; said once, because it is said here only."""
        self._works = False
        _log.warning("embeddings are not kept from here on: %s: %s", self.folder, reason)
        return False

    def state(self) -> StoreState:
        """Count what is there."""
        sizes = [size for _, size, _ in self._entries()]
        return StoreState(self.folder, len(sizes), sum(sizes), self._limit(sum(sizes)))

    def clear(self) -> None:
        """Delete every embedding."""
        for path, _, _ in self._entries():
            with suppress(OSError):
                path.unlink()

    def _path(self, key: EmbeddingKey) -> Path:
        name = hashlib.blake2b(repr(astuple(key)).encode(), digest_size=20).hexdigest()
        return self.folder / f"{name}{_SUFFIX}"

    def _make_folder(self) -> None:
        if not self.folder.is_dir():
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.folder.chmod(0o700)

    def _put(self, target: Path, content: bytes) -> None:
        partial = target.with_name(f".{target.stem}.{uuid4().hex[:12]}.part")
        try:
            handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
            os.replace(partial, target)
        except BaseException:
            with suppress(OSError):
                partial.unlink()
            raise

    def _make_room(self, needed: int) -> bool:
        """Delete the oldest until ``needed`` more bytes are within the bound, if they can be."""
        entries = sorted(self._entries(), key=lambda entry: entry[2])
        held = sum(size for _, size, _ in entries)
        limit = self._limit(held)
        if needed > limit:
            return False
        for path, size, _ in entries:
            if held + needed <= limit:
                break
            with suppress(FileNotFoundError):  # another process was faster
                path.unlink()
            held -= size
        return True

    def _limit(self, held: int) -> int:
        """Bytes the store may have: its bound, and a tenth of what were free without it."""
        place = self.folder
        while not place.exists() and place != place.parent:
            place = place.parent
        try:
            free = shutil.disk_usage(place).free
        except OSError:
            return 0
        return min(self.max_bytes, int((free + held) * _SHARE_OF_FREE), int(free))

    def _entries(self) -> list[tuple[Path, int, float]]:
        """Path, bytes and last use of each embedding; what a crash left half-written is deleted."""
        found = []
        with suppress(OSError):
            for entry in os.scandir(self.folder):
                with suppress(OSError):
                    status = entry.stat()
                    if entry.name.endswith(_SUFFIX):
                        found.append((Path(entry.path), status.st_size, status.st_mtime))
                    elif (
                        entry.name.endswith(".part")
                        and time.time() - status.st_mtime > _STALE_PART_S
                    ):
                        os.unlink(entry.path)
        return found


def _packed(tensors: Tensors) -> bytes:
    """Checksum and tensors; float32 that bfloat16 holds to the last bit is stored as that."""
    slim = {name: _slim(tensor.detach().cpu()) for name, tensor in tensors.items()}
    body = save(slim)
    return _FORMAT + hashlib.blake2b(body, digest_size=_DIGEST).digest() + body


def _slim(tensor: Tensor) -> Tensor:
    tensor = tensor.contiguous()
    if tensor.dtype != torch.float32:
        return tensor
    half = tensor.to(torch.bfloat16)
    return half if torch.equal(half.float(), tensor) else tensor


def _unpacked(content: bytes) -> dict[str, Tensor] | None:
    start = len(_FORMAT) + _DIGEST
    body = content[start:]
    digest = hashlib.blake2b(body, digest_size=_DIGEST).digest()
    if content[:start] != _FORMAT + digest:
        return None
    try:
        return load(body)
    except (SafetensorError, ValueError, KeyError):
        return None
