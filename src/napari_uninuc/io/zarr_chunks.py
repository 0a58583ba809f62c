"""What the chunks of a zarr array announce, looked at before anybody unpacks them."""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zarr
from zarr.storage import LocalStore

from napari_uninuc.errors import LabelsError

__all__ = ["require_bounded_chunks"]

_SPARE = 2**16
_BLOSC, _ZSTD, _DEFLATE, _LZ4 = "blosc", "zstd", ("zlib", "gzip"), "lz4"
_UNBOUNDED = ("bz2", "lzma")
"""Their files say nothing of their size, and hold ten thousandfold."""

_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


def require_bounded_chunks(path: Path, array: zarr.Array[Any]) -> None:
    """Refuse chunks that would unpack to more than a chunk of this array.

    Costs a look at the head of each chunk, and unpacking where the codec is Deflate. Shards
    and chunks of codecs from elsewhere are not looked into.

    Parameters
    ----------
    path : the folder that errors name
    array : in a local store

    Raises
    ------
    LabelsError
        One is larger, or packed by bz2 or lzma.
    """
    codecs = _codecs(array)
    refused = [name for name in codecs if name in _UNBOUNDED]
    if refused:
        raise LabelsError(
            f"{path}: expected chunks packed by blosc, zstd, gzip, zlib or lz4, got {refused[0]}; "
            "write it again with one of these"
        )
    limit = math.prod(array.chunks) * array.dtype.itemsize + _SPARE
    store = array.store_path.store
    folder = store.root if isinstance(store, LocalStore) else path
    for file in _chunk_files(folder / array.path):
        if codecs and _announced(file, codecs[-1], limit) > limit:
            raise LabelsError(
                f"{path}: expected chunks of at most {limit} bytes, got a larger or damaged one in "
                f"{file.name[:80]!r}; write it again"
            )


def _codecs(array: zarr.Array[Any]) -> list[str]:
    """Name the codecs from pixels to bytes, in the order in which they pack."""
    stored = json.loads(json.dumps(array.metadata.to_dict(), default=str))
    if "codecs" in stored:
        names = [str(each.get("name")) for each in stored["codecs"] if each]
        return [name.removeprefix("numcodecs.") for name in names if name != "crc32c"]
    packed = [*(stored.get("filters") or []), stored.get("compressor")]
    return [str(each["id"]) for each in packed if each]


def _chunk_files(folder: Path) -> Iterator[Path]:
    for inner, _, names in os.walk(folder):
        yield from (Path(inner) / n for n in names if not n.startswith(".") and n != "zarr.json")


def _announced(file: Path, codec: str, limit: int) -> int:
    """Bytes that a chunk unpacks to, as far as its head tells; above `limit` where damaged."""
    with file.open("rb") as stream:
        if codec in _DEFLATE:
            return len(zlib.decompressobj(47).decompress(stream.read(limit + 1), limit + 1))
        head = stream.read(18)
    if codec == _BLOSC:
        # Its decoder believes the packed size it reads, and reads past the end of the file.
        packed = int.from_bytes(head[12:16], "little")
        whole = 16 <= packed <= file.stat().st_size
        return int.from_bytes(head[4:8], "little") if whole else limit + 1
    if codec == _LZ4:
        return int.from_bytes(head[:4], "little")
    return _zstd_size(head) if codec == _ZSTD and head[:4] == _ZSTD_MAGIC else 0


def _zstd_size(head: bytes) -> int:
    """Content size of a Zstandard frame (RFC 8878, section 3.1.1.1); 0 where it says none."""
    if len(head) < 5:
        return 0
    alone = head[4] >> 5 & 1
    size = (alone, 2, 4, 8)[head[4] >> 6]
    begin = 5 + (1 - alone) + (0, 1, 2, 4)[head[4] & 3]
    return int.from_bytes(head[begin : begin + size], "little") + (256 if size == 2 else 0)
