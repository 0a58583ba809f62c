"""Arrays as text: little endian, deflated, base64; never unpacked beyond what they should hold."""

import base64
import binascii
import math
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_uninuc.errors import PromptError

__all__ = ["pack", "unpack"]


def pack(array: npt.NDArray[Any]) -> str:
    """Write an array, to the last bit; its shape and type are told beside it."""
    raw = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
    return base64.b64encode(zlib.compress(raw, 1)).decode("ascii")


def unpack(packed: str, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Read what `pack` wrote.

    Raises
    ------
    PromptError
        Damaged, or more or less than an array of that shape.
    """
    stored = np.dtype(dtype).newbyteorder("<")
    nbytes = stored.itemsize * math.prod(shape)
    unpacker = zlib.decompressobj()
    try:
        raw = unpacker.decompress(base64.b64decode(packed, validate=True), nbytes + 1)
    except (binascii.Error, zlib.error, ValueError):
        raise PromptError("expected packed numbers, got damaged ones; send them again") from None
    if len(raw) != nbytes or not unpacker.eof:
        raise PromptError(f"expected {nbytes} bytes of numbers, got others; send them again")
    return np.frombuffer(raw, stored).astype(dtype).reshape(shape)
