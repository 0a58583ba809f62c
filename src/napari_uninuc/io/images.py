"""Picture files into tiles."""

import math
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
from PIL import Image

from napari_uninuc.core.tile import CAMERA_BITS, Tile, bits_of, to_rgb8
from napari_uninuc.errors import ImageError, UniNucError
from napari_uninuc.io.resolution import mpp_of_dpi
from napari_uninuc.io.sources import (
    DECODING_ERRORS,
    is_tiff,
    missing_notice,
    reason_of,
    require_file,
    require_sides,
)
from napari_uninuc.io.tiff import TiffPlane, read_tiff
from napari_uninuc.io.tiff_level import SegmentGrid

__all__ = ["read_image", "read_image_with_notice", "read_with_pillow"]

_DARK = 40
"""Median of a picture's brightest colour below which it is no stained tissue in white light: of 171
pictures of public data sets none is below 71."""
_DARK_STEP = 4  # px

_MODES_AS_STORED = {"1", "L", "LA", "RGB", "RGBA", "I", "F", "I;16", "I;16L", "I;16B", "I;16N"}


def read_image(path: str | os.PathLike[str], mpp: float | None = None) -> Tile:
    """Read a picture file as it is stored: first frame, no rotation by EXIF, no resampling.

    Parameters
    ----------
    path : PNG, JPEG, BMP, WebP, GIF, TIFF, OME-TIFF or Aperio SVS (full resolution); anything
        else Pillow knows
    mpp : micrometres per px; wins over what the file says

    Returns
    -------
    tile : `mpp` as given, else from the file where plausible (0.05 to 5), else None;
        `name` is the file's name

    Raises
    ------
    ImageError
        Missing, empty, damaged, cut short, not a picture, a stack of planes, fluorescence, too
        large, or with pixels `to_rgb8` refuses.

    Examples
    --------
    >>> from PIL import Image
    >>> from skimage import data
    >>> from napari_uninuc.io.images import read_image
    >>> picture = data.immunohistochemistry()[200:328, 100:228]
    >>> Image.fromarray(picture).save("tissue.png")
    >>> tile = read_image("tissue.png", mpp=0.25)
    >>> tile.shape, str(tile.rgb.dtype), tile.mpp, tile.name
    ((128, 128), 'uint8', 0.25, 'tissue.png')

    A TIFF says by itself how large its pixels are:

    >>> import tifffile
    >>> per_cm = {"resolution": (40_000, 40_000), "resolutionunit": "CENTIMETER"}
    >>> tifffile.imwrite("tissue.tif", picture, **per_cm)
    >>> read_image("tissue.tif").mpp
    0.25
    """
    return read_image_with_notice(path, mpp)[0]


def read_image_with_notice(
    path: str | os.PathLike[str], mpp: float | None = None
) -> tuple[Tile, str]:
    """Do `read_image`, and say in one line what a person should know of the file.

    Returns
    -------
    tile : as `read_image` gives it
    notice : tiles that were never stored and are white now, a range of values that was
        guessed, or that it is dark as fluorescence is; empty where there is nothing to say

    Raises
    ------
    ImageError
        As `read_image`.

    Examples
    --------
    A camera of 12 bits, whose values are stored in 16:

    >>> import tifffile
    >>> from skimage import data
    >>> from napari_uninuc.io.images import read_image_with_notice
    >>> picture = data.immunohistochemistry()[200:328, 100:228]
    >>> tifffile.imwrite("camera.tif", picture.astype("uint16") * 16)
    >>> tile, notice = read_image_with_notice("camera.tif")
    >>> str(tile.rgb.dtype), notice
    ('uint8', 'camera.tif: values reach ... and are taken for 12 bits, of which 4095 is white')
    """
    source = Path(path)
    require_file(source, ImageError)
    try:
        pixels, stored_mpp, notice = _read(source)
        tile = Tile.from_array(pixels, stored_mpp if mpp is None else mpp, name=source.name)
        return tile, "; ".join(filter(None, (notice, _darkness(source, tile.rgb))))
    except OSError as problem:
        raise ImageError(f"{source}: cannot be read ({problem.strerror}); check it") from None
    except ImageError as problem:
        if str(problem).startswith(str(source)):
            raise
        raise ImageError(f"{source}: {problem}") from None


def _read(path: Path) -> tuple[npt.NDArray[np.uint8], float | None, str]:
    """Colours, um per px and notice of a file."""
    if not is_tiff(path):
        pixels, mpp = read_with_pillow(path, ImageError, as_seen=True)
        return to_rgb8(pixels), mpp, _guessed_range(path, pixels)
    plane = read_tiff(path, ImageError)
    _require_colours(plane)
    if plane.colours.readable:
        rgb = plane.colours.rgb(plane.pixels)
        said = "" if plane.colours.bits else _guessed_range(path, plane.pixels)
    else:
        rgb, said = to_rgb8(read_with_pillow(path, ImageError, as_seen=True)[0]), ""
    missing = missing_notice(path, "tiles", [_missing_of(plane.grids)])
    return _with_glass(rgb, plane.grids), plane.mpp, "; ".join(filter(None, (missing, said)))


def _require_colours(plane: TiffPlane) -> None:
    """Refuse channels that are no colours: the fourth of them is no transparency."""
    markers = plane.colours.markers
    if not markers and plane.colours.readable and plane.colours.hides_a_marker(plane.pixels):
        markers = "4 channels of which none is transparency"
    if markers:
        raise ImageError(
            f"expected a picture of stained tissue in red, green and blue, got {markers}; "
            "fluorescence cannot be read: save one channel, or the picture as RGB"
        )


def _missing_of(grids: Sequence[SegmentGrid]) -> tuple[int, int]:
    """Segments missing, and all."""
    missing = sum(len(grid.missing) for grid in grids)
    return missing, sum(math.prod(grid.counts_yx) * grid.planes for grid in grids)


def _with_glass(rgb: npt.NDArray[np.uint8], grids: Sequence[SegmentGrid]) -> npt.NDArray[np.uint8]:
    """Make white what was never stored."""
    boxes = {grid.box(index) for grid in grids for index in grid.missing}
    if boxes and not rgb.flags.writeable:
        rgb = rgb.copy()
    for y0, x0, y1, x1 in boxes:
        rgb[y0:y1, x0:x1] = 255
    return rgb


def _guessed_range(path: Path, pixels: npt.NDArray[Any]) -> str:
    """Say that values were taken for those of a camera of fewer bits than are stored."""
    if pixels.dtype.kind not in "ui" or pixels.dtype.itemsize < 2 or pixels.min(initial=0) < 0:
        return ""
    colours = pixels[..., :-1] if pixels.ndim == 3 and pixels.shape[-1] in (2, 4) else pixels
    bits = bits_of(colours)
    if bits in (CAMERA_BITS[0], CAMERA_BITS[-1]):
        return ""
    return (
        f"{path}: values reach {int(colours.max())} in {8 * pixels.dtype.itemsize} bits and are "
        f"taken for {bits} bits, of which {2**bits - 1} is white"
    )


def _darkness(path: Path, rgb: npt.NDArray[np.uint8]) -> str:
    """Say that a picture is as dark as fluorescence is; one of a single colour says nothing."""
    seen = rgb[::_DARK_STEP, ::_DARK_STEP].max(axis=-1)
    if np.median(seen) >= _DARK or seen.min() == seen.max():
        return ""
    return (
        f"{path}: dark, as fluorescence is and stained tissue is not; nuclei are hardly found in "
        "such a picture"
    )


def read_with_pillow(
    path: Path, error: type[UniNucError], *, as_seen: bool
) -> tuple[npt.NDArray[Any], float | None]:
    """Read the first frame of a file with Pillow.

    Parameters
    ----------
    path : an existing file
    error : raised, in one line, for whatever is wrong with it
    as_seen : turn palettes and inks into colours; else their numbers are kept

    Returns
    -------
    pixels : (H, W) or (H, W, C), type as Pillow stores it
    mpp : micrometres per px, or None

    Raises
    ------
    error
        Not a picture, damaged, cut short, or larger than Pillow holds safe (89 Mpx).
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                require_sides(path, (image.height, image.width), error)
                if as_seen and _is_deep_colour(image):
                    return _deep_colours(path), mpp_of_dpi(image.info.get("dpi"))
                image.load()
                pixels = np.asarray(_as_seen(image) if as_seen else image)
                return pixels, mpp_of_dpi(image.info.get("dpi"))
    except UniNucError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise error(
            f"{path}: too large for this format, at most {Image.MAX_IMAGE_PIXELS} px; "
            "save it as a TIFF, or cut out a region"
        ) from None
    except DECODING_ERRORS as problem:
        reason = reason_of(problem)
        raise error(f"{path}: expected a readable picture, got {reason}; save it again") from None


def _as_seen(image: Image.Image) -> Image.Image:
    """Convert palettes, inks and other colour spaces to RGB, with alpha where there is any."""
    if image.mode in _MODES_AS_STORED and "transparency" not in image.info:
        return image
    if image.mode.startswith(("I", "F")):
        return image
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _is_deep_colour(image: Image.Image) -> bool:
    """Whether it is a PNG of 16 bits a colour, of which Pillow gives the upper 8 only."""
    raw = str(getattr(image, "tile", ""))
    return (
        image.format == "PNG"
        and ";16" in raw
        and "transparency" not in image.info
        and (image.mode in ("RGB", "RGBA", "LA"))
    )


def _deep_colours(path: Path) -> npt.NDArray[np.uint16]:
    """Decode a PNG at its full depth."""
    return np.asarray(imagecodecs.png_decode(path.read_bytes()))
