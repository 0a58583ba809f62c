"""One picture of tissue: its pixels, their size in micrometres and their place on the slide."""

import hashlib
import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from napari_uninuc.core.place import SlidePlace
from napari_uninuc.errors import ImageError

__all__ = ["CAMERA_BITS", "Tile", "bits_of", "over_white", "to_rgb8", "to_uint8"]

_UINT8_MAX = 255
_UINT16_MAX = 65535

CAMERA_BITS = (8, 10, 12, 14, 16)
"""Depths in which cameras give whole numbers."""


def bits_of(pixels: npt.NDArray[Any]) -> int:
    """Tell the least of `CAMERA_BITS` that holds every value.

    Parameters
    ----------
    pixels : any shape, whole numbers in 0..65535
    """
    highest = int(pixels.max(initial=0))
    return next((bits for bits in CAMERA_BITS if highest < 2**bits), CAMERA_BITS[-1])


def to_rgb8(array: npt.ArrayLike, bits: int | None = None) -> npt.NDArray[np.uint8]:
    """Turn any usual picture array into 8-bit RGB.

    Parameters
    ----------
    array : (H, W), (H, W, 1) grey, (H, W, 2) grey + alpha, (H, W, 3) RGB or (H, W, 4) RGBA
        bool, integer or float. The range is read from the values: floats up to 1 are
        0..1; anything up to 255 is 8-bit; integers above are of the least of 10, 12, 14 or 16
        bits that holds them all, for many cameras give 12 bits in 16 (issue 16). Transparent
        pixels become white, which is what glass looks like.
    bits : of whole numbers, where the file says so: white is ``2**bits - 1``. Fewer than the
        values need are not believed; None reads them from the values

    Returns
    -------
    rgb : (H, W, 3) uint8, 0..255
        May share memory with `array`. Nothing is stretched within its range: a dark picture
        stays dark.

    Raises
    ------
    ImageError
        No pixels, wrong number of axes or channels, a type that is not numeric, NaN,
        infinite or negative values, or values above the ranges named.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_uninuc.core.tile import to_rgb8
    >>> to_rgb8(np.array([[0.0, 0.5, 1.0]]))[..., 0].tolist()
    [[0, 128, 255]]
    >>> to_rgb8(np.array([[0, 2048, 4095]], np.uint16))[..., 0].tolist()
    [[0, 128, 255]]
    """
    scaled = to_uint8(array, bits)
    channels = scaled.shape[-1]
    colours = scaled if channels in (1, 3) else over_white(scaled)
    return colours if colours.shape[-1] == 3 else np.repeat(colours, 3, axis=-1)


def _require_picture(pixels: npt.NDArray[Any]) -> None:
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[-1] not in (1, 2, 3, 4)):
        raise ImageError(
            f"image must be (H, W) or (H, W, C) with 1 to 4 channels last, got {pixels.shape}; "
            "move the channels to the last axis and pass one plane"
        )
    if 0 in pixels.shape:
        raise ImageError(f"image must have at least one pixel, got {pixels.shape}; pass a picture")
    if pixels.dtype.kind not in "buif":
        raise ImageError(
            f"image must be boolean, integer or float, got {pixels.dtype}; convert it to uint8"
        )


def to_uint8(array: npt.ArrayLike, bits: int | None = None) -> npt.NDArray[np.uint8]:
    """Scale a picture as `to_rgb8` does, and leave its channels: (H, W, C) uint8."""
    pixels = np.asarray(array)
    _require_picture(pixels)
    if pixels.ndim == 2:
        return _scaled(pixels, bits)[..., None]
    if pixels.dtype == np.uint8 or pixels.shape[-1] in (1, 3):
        return _scaled(pixels, bits)
    # Opaque is all a type can hold, whatever the depth of the colours.
    parts = _scaled(pixels[..., :-1], bits), _scaled(pixels[..., -1:], None)
    together: npt.NDArray[np.uint8] = np.concatenate(parts, axis=-1)
    return together


def _scaled(pixels: npt.NDArray[Any], bits: int | None) -> npt.NDArray[np.uint8]:
    """Scale values of any numeric type to 0..255, by the range they are found in."""
    if pixels.dtype == np.uint8 and bits in (None, 8):
        return pixels
    if pixels.dtype.kind == "b":
        return pixels.astype(np.uint8) * np.uint8(_UINT8_MAX)
    lowest, highest = pixels.min(), pixels.max()
    if not (np.isfinite(lowest) and np.isfinite(highest)):
        raise ImageError("image must hold finite values, got NaN or infinity; fill them first")
    limit = _UINT8_MAX if pixels.dtype.kind == "f" else _UINT16_MAX
    if lowest < 0 or highest > limit:
        raise ImageError(
            f"{pixels.dtype} image must lie in 0..{limit}, got {lowest}..{highest}; "
            "rescale it to 0..255"
        )
    if pixels.dtype.kind == "f":
        gain = _UINT8_MAX if highest <= 1 else 1
        return np.rint(pixels.astype(np.float32) * gain).astype(np.uint8)
    said = 0 if bits is None or highest >= 2**bits else bits
    white = 2 ** (said or bits_of(pixels)) - 1
    if white == _UINT8_MAX:
        return pixels.astype(np.uint8)
    spread: npt.NDArray[np.uint32] = pixels.astype(np.uint32) * np.uint32(_UINT8_MAX)
    return ((spread + np.uint32(white // 2)) // np.uint32(white)).astype(np.uint8)


def over_white(
    pixels: npt.NDArray[np.uint8], *, premultiplied: bool = False
) -> npt.NDArray[np.uint8]:
    """Lay pixels with transparency over white, the colour of glass.

    Parameters
    ----------
    pixels : (H, W, C + 1), alpha last
    premultiplied : colours were multiplied by alpha when they were stored

    Returns
    -------
    colours : (H, W, C); may share memory with `pixels`
    """
    colours, alpha = pixels[..., :-1], pixels[..., -1:]
    if (alpha == _UINT8_MAX).all():
        return colours
    weight = alpha.astype(np.uint16)
    if premultiplied:
        lit: npt.NDArray[np.uint16] = np.minimum(colours + (_UINT8_MAX - weight), _UINT8_MAX)
        return lit.astype(np.uint8)
    mixed = colours * weight + np.uint16(_UINT8_MAX) * (_UINT8_MAX - weight)  # at most 255 * 255
    return ((mixed + np.uint16(_UINT8_MAX // 2)) // np.uint16(_UINT8_MAX)).astype(np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class Tile:
    """A frozen picture of tissue; the one owner of pixels, scale and place.

    Attributes
    ----------
    rgb : (H, W, 3) uint8, read-only
    mpp : micrometres per pixel, or None where unknown
    origin_yx_slide : (y, x) of the first pixel, in pixels of the slide at this scale
    name : for people and file names; may be empty
    digest : hex blake2b of shape and pixels; equal pictures have equal digests
    place : where on which slide it was cut; None where it was cut from none that is known
    brown : whether its slide is immunohistochemistry (DAB); None where only the tile can tell

    Examples
    --------
    >>> import numpy as np
    >>> from napari_uninuc import Tile
    >>> grey = np.full((40, 60), 230, np.uint8)
    >>> tile = Tile.from_array(grey, mpp=0.25, origin_yx_slide=(100, 200), name="glass")
    >>> tile.shape, tile.rgb.shape, tile.rgb.flags.writeable
    ((40, 60), (40, 60, 3), False)
    >>> tile.digest == Tile.from_array(grey).digest
    True
    """

    rgb: npt.NDArray[np.uint8]
    mpp: float | None
    origin_yx_slide: tuple[int, int]
    name: str
    digest: str
    place: SlidePlace | None = None
    brown: bool | None = None

    @classmethod
    def from_array(
        cls,
        array: npt.ArrayLike,
        mpp: float | None = None,
        origin_yx_slide: tuple[int, int] = (0, 0),
        name: str = "",
    ) -> Self:
        """Make a tile of any array `to_rgb8` accepts; the pixels are copied.

        Parameters
        ----------
        array : (H, W), (H, W, 1 to 4), see `to_rgb8`
        mpp : micrometres per px, above 0; None where unknown
        origin_yx_slide : (y, x) of the first px, in px of the slide at this scale
        name : for people and file names

        Raises
        ------
        ImageError
            As `to_rgb8`, or `mpp` not a finite number above 0.
        """
        if mpp is not None and not (math.isfinite(mpp) and mpp > 0):
            raise ImageError(
                f"mpp must be micrometres per pixel above 0, got {mpp}; pass None if unknown"
            )
        rgb = np.array(to_rgb8(array), dtype=np.uint8, order="C", copy=True)
        rgb.flags.writeable = False
        y, x = origin_yx_slide
        return cls(rgb, None if mpp is None else float(mpp), (int(y), int(x)), name, _digest(rgb))

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) in pixels."""
        return self.rgb.shape[0], self.rgb.shape[1]

    @property
    def downsample(self) -> float:
        """Px of the slide at full resolution per px of the tile; 1 where no slide is known."""
        return 1.0 if self.place is None else self.place.downsample


def _digest(rgb: npt.NDArray[np.uint8]) -> str:
    hasher = hashlib.blake2b(repr(rgb.shape).encode(), digest_size=16)
    hasher.update(rgb.data)
    return hasher.hexdigest()
