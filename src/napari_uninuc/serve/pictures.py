"""Pictures in requests: decoded within bounds, kept by digest, handed out as tiles."""

import base64
import binascii
import hashlib
import io
import warnings
from collections import OrderedDict
from dataclasses import replace
from threading import Lock

import numpy as np
import numpy.typing as npt
from PIL import Image

from napari_uninuc.core.tile import Tile
from napari_uninuc.errors import ImageError
from napari_uninuc.io.sources import DECODING_ERRORS
from napari_uninuc.serve.refusals import Refusal
from napari_uninuc.wire.constants import PICTURE_PX

__all__ = ["Shelf", "decode_picture", "unpack_base64"]

_FORMATS = ("PNG", "JPEG")
_SHELF_BYTES = 2**29
_MODES_AS_STORED = ("L", "RGB", "RGBA")


def decode_picture(content: bytes, most_px: int = PICTURE_PX) -> Tile:
    """Decode a PNG or JPEG of at most `most_px` into a tile without scale.

    Raises
    ------
    Refusal
        413 for a larger one, 422 for anything that is no such picture.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
                if image.width * image.height > most_px:
                    raise Refusal(
                        413,
                        f"a picture may have {most_px} px, got {image.width} x {image.height}; "
                        "show a smaller part, or zoom out",
                    )
                return Tile.from_array(_pixels(image))
    except Image.DecompressionBombError:
        raise Refusal(413, f"a picture may have {most_px} px, got far more") from None
    except (*DECODING_ERRORS, ImageError):
        raise Refusal(422, "expected a PNG or JPEG picture, got something else or damage") from None


def _pixels(image: Image.Image) -> npt.NDArray[np.uint8]:
    """As it is seen, 8 bits; transparency is kept, for a tile to lay over white."""
    if image.mode not in _MODES_AS_STORED or "transparency" in image.info:
        if image.mode.startswith(("I", "F")):
            raise Refusal(422, "expected 8 bits a colour, got more; send RGB")
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    return np.asarray(image)


def unpack_base64(text: bytes) -> bytes:
    """Undo base64.

    Raises
    ------
    Refusal
        422: anything else.
    """
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Refusal(422, "b64img: expected base64 of a PNG, got something else") from None


class Shelf:
    """Pictures by digest, within a bound of bytes; least recently used first out.

    Parameters
    ----------
    max_bytes : of pixels; the newest picture always stays
    """

    def __init__(self, max_bytes: int = _SHELF_BYTES) -> None:
        self._max_bytes = max_bytes
        self._tiles: OrderedDict[str, Tile] = OrderedDict()
        self._digests: OrderedDict[bytes, str] = OrderedDict()
        self._lock = Lock()

    def of_base64(self, text: bytes) -> Tile:
        """Give the picture of a request; one that was sent before is not decoded again.

        Raises
        ------
        Refusal
            As `decode_picture`.
        """
        sent = hashlib.blake2b(text, digest_size=32).digest()
        with self._lock:
            known = self._get(self._digests.get(sent, ""))
        if known is not None:
            return known
        tile = self.put(decode_picture(unpack_base64(text)))
        with self._lock:
            self._digests[sent] = tile.digest
            while len(self._digests) > 4 * max(16, len(self._tiles)):
                self._digests.popitem(last=False)
        return tile

    def put(self, tile: Tile) -> Tile:
        """Keep a picture; gives the one that is kept, which may be an earlier one like it."""
        with self._lock:
            known = self._get(tile.digest)
            if known is not None:
                return known
            self._tiles[tile.digest] = tile
            while len(self._tiles) > 1 and self._nbytes() > self._max_bytes:
                self._tiles.popitem(last=False)
        return tile

    def view(self, tile: Tile, mpp: float | None, brown: bool | None = None) -> Tile:
        """Give the same pixels at a scale: the same value for the same question, not copied."""
        return replace(tile, mpp=mpp, brown=brown)

    def get(self, digest: str) -> Tile | None:
        """Give a picture by its digest, None where it is not here (any more)."""
        with self._lock:
            return self._get(digest)

    def _get(self, digest: str) -> Tile | None:
        if digest in self._tiles:
            self._tiles.move_to_end(digest)
        return self._tiles.get(digest)

    def _nbytes(self) -> int:
        return sum(tile.rgb.nbytes for tile in self._tiles.values())

    def __len__(self) -> int:
        return len(self._tiles)
