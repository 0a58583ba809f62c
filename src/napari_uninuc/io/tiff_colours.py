"""What the samples of a TIFF mean: one rule for pictures and slides, whoever reads them."""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Any
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
import tifffile

from napari_uninuc.core.tile import over_white, to_uint8

__all__ = ["Alpha", "TiffColours", "colours_of"]

_GREY, _RGB, _YCBCR = 1, 2, 6
_DECODED_TO_RGB = {6, 7, 33007, 34892}
"""Compressions whose decoder turns YCbCr into RGB: the kinds of JPEG."""
_IS_YCBCR = {33003: True, 33005: False}
"""Aperio's two kinds of JPEG 2000, whatever the tag says (openslide issue 772)."""

_CHANNEL_AXES = "CQ"
_COLOUR_NAME = re.compile(r"r|g|b|red|green|blue|(c|ch|channel|image)?[ :_-]*[\d:_ -]*")
_MOST_HALF_SEEN = 0.1
"""Share of px that a true alpha shows neither wholly nor not at all: smooth rims."""

_FROM_YCBCR = np.array([[1, 0, 1.402], [1, -0.344136, -0.714136], [1, 1.772, 0]], np.float32)
"""ITU-R BT.601, full range, as TIFF 6.0 (section 21) and JFIF have it."""


class Alpha(Enum):
    """What the sample behind the colours is."""

    NONE = "none"
    STRAIGHT = "straight"
    PREMULTIPLIED = "premultiplied"
    UNSAID = "unsaid"
    """Alpha, unless it is 0 throughout over colours: some writers only fill up to four."""


@dataclass(frozen=True, slots=True)
class TiffColours:
    """How a picture of stained tissue is stored.

    Attributes
    ----------
    readable : False where it is for Pillow to turn into colours: a palette, inks, white as zero,
        chroma stored coarsely outside JPEG
    ycbcr : luma and chroma, to be turned into colours
    alpha : what lies behind the colours
    bits : of whole numbers, where the file says so; else None
    markers : names of channels that are no colours, or how many there are; empty for colours
    """

    readable: bool = True
    ycbcr: bool = False
    alpha: Alpha = Alpha.NONE
    bits: int | None = None
    markers: str = ""

    def rgb(self, pixels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Turn stored samples into colours.

        Parameters
        ----------
        pixels : (H, W) or (H, W, S), type as stored

        Returns
        -------
        rgb : (H, W, 3) uint8; may share memory with `pixels`

        Raises
        ------
        ImageError
            As `to_rgb8`.
        """
        samples = to_uint8(pixels, self.bits)
        colours = samples[..., :3] if samples.shape[-1] > 2 else samples[..., :1]
        if self.ycbcr:
            colours = _rgb_of_ycbcr(colours)
        if self.alpha is not Alpha.NONE and not self._is_filled_up(samples):
            colours = over_white(
                np.concatenate([colours, samples[..., -1:]], axis=-1),
                premultiplied=self.alpha is Alpha.PREMULTIPLIED,
            )
        return colours if colours.shape[-1] == 3 else np.repeat(colours, 3, axis=-1)

    def _is_filled_up(self, samples: npt.NDArray[np.uint8]) -> bool:
        """Whether the sample behind the colours only fills up, for all that is seen here."""
        return self.alpha is Alpha.UNSAID and not samples[..., -1].any() and bool(samples.any())

    def hides_a_marker(self, pixels: npt.NDArray[Any]) -> bool:
        """Whether what is called alpha is a picture of its own, as in fluorescence.

        Programs call the fourth of any four channels alpha. A true one shows nearly every px
        wholly or not at all.

        Parameters
        ----------
        pixels : (H, W, C) as stored, alpha last where there is any
        """
        if self.alpha is Alpha.NONE:
            return False
        alpha = to_uint8(pixels, self.bits)[..., -1]
        half_seen = np.count_nonzero((alpha > 0) & (alpha < 255))
        return bool(half_seen > _MOST_HALF_SEEN * alpha.size)


def colours_of(tif: tifffile.TiffFile, level: Any) -> TiffColours:
    """Tell what is stored in a level of the main picture of an open TIFF."""
    page, (described, names) = level.keyframe, _description_of(tif)
    bits, alpha = _bits_of(page, described), _alpha_of(page)
    photometric, packed = int(page.photometric), int(page.compression)
    if photometric == _YCBCR and packed not in {*_DECODED_TO_RGB, *_IS_YCBCR}:
        coarse = tuple(page.subsampling or (1, 1)) != (1, 1)
        return TiffColours(readable=not coarse, ycbcr=True, alpha=alpha, bits=bits)
    if photometric not in (_GREY, _RGB, _YCBCR):
        return TiffColours(readable=False, bits=bits)
    ycbcr = _IS_YCBCR.get(packed, False) and page.samplesperpixel >= 3
    return TiffColours(True, ycbcr, alpha, bits, _markers_of(page, level, names))


def _alpha_of(page: Any) -> Alpha:
    """Read what the file says of the sample behind one (grey) or three colours."""
    colours = 1 if int(page.photometric) == _GREY else 3
    if page.samplesperpixel != colours + 1:
        return Alpha.NONE
    kind = int(page.extrasamples[0]) if page.extrasamples else 0
    said = {1: Alpha.PREMULTIPLIED, 2: Alpha.STRAIGHT}
    return said.get(kind, Alpha.UNSAID if colours == 3 else Alpha.NONE)


def _markers_of(page: Any, level: Any, names: list[str]) -> str:
    """Name channels that are no colours; empty where they are red, green and blue, or grey."""
    sizes = dict(zip(level.get_axes(squeeze=True), level.get_shape(squeeze=True), strict=True))
    apart = next((sizes[axis] for axis in _CHANNEL_AXES if axis in sizes), 1)
    grey = int(page.photometric) == _GREY
    samples = page.samplesperpixel if grey else 1
    count = max(apart, samples)
    named = len(names) == max(count, page.samplesperpixel) > 1
    if named and not all(_COLOUR_NAME.fullmatch(name.strip().lower()) for name in names):
        return ", ".join(names)[:200]
    with_alpha = grey and samples == 2 and _alpha_of(page) is not Alpha.NONE
    return "" if count in (1, 3) or with_alpha else f"{count} channels"


def _bits_of(page: Any, pixels: Any) -> int | None:
    """Bits that count, where they are fewer than those stored."""
    stored = int(page.bitspersample)
    if page.dtype is None or page.dtype.kind != "u":
        return None
    if stored % 8:
        return stored
    said = str(pixels.get("SignificantBits", "")) if pixels is not None else ""
    return int(said) if said.isdecimal() and 0 < int(said) < stored else None


def _description_of(tif: tifffile.TiffFile) -> tuple[Any, list[str]]:
    """Element Pixels of the first picture in OME-XML, and the names of its channels."""
    try:
        root = ElementTree.fromstring(tif.ome_metadata or "")
    except (ElementTree.ParseError, ValueError):
        return None, []
    first = next((node for node in root.iter() if node.tag.endswith("}Pixels")), None)
    if first is None:
        return None, []
    channels = [node for node in first if node.tag.endswith("}Channel")]
    return first, [each.get("Name") or each.get("Fluor") or "" for each in channels]


def _rgb_of_ycbcr(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Turn (H, W, 3) luma and chroma into colours, some rows at a time."""
    rgb = np.empty_like(pixels)
    for top in range(0, len(pixels), 256):
        part = pixels[top : top + 256].astype(np.float32) - np.array([0, 128, 128], np.float32)
        rgb[top : top + 256] = np.clip(np.rint(part @ _FROM_YCBCR.T), 0, 255)
    return rgb
