"""Picture files into tiles."""

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from napari_uninuc.core.tile import Tile
from napari_uninuc.errors import ImageError, UniNucError
from napari_uninuc.io.resolution import mpp_of_dpi
from napari_uninuc.io.sources import (
    DECODING_ERRORS,
    is_tiff,
    reason_of,
    require_file,
    require_sides,
)
from napari_uninuc.io.tiff import read_tiff

__all__ = ["read_image", "read_with_pillow"]

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
        Missing, empty, damaged, cut short, not a picture, a stack of planes, too large, or
        with pixels `to_rgb8` refuses.
    """
    source = Path(path)
    require_file(source, ImageError)
    try:
        pixels, stored_mpp = _pixels_and_mpp(source)
        return Tile.from_array(pixels, stored_mpp if mpp is None else mpp, name=source.name)
    except OSError as problem:
        raise ImageError(f"{source}: cannot be read ({problem.strerror}); check it") from None
    except ImageError as problem:
        if str(problem).startswith(str(source)):
            raise
        raise ImageError(f"{source}: {problem}") from None


def _pixels_and_mpp(path: Path) -> tuple[npt.NDArray[Any], float | None]:
    if not is_tiff(path):
        return read_with_pillow(path, ImageError, as_seen=True)
    plane = read_tiff(path, ImageError)
    if plane.as_stored:
        return plane.pixels, plane.mpp
    return read_with_pillow(path, ImageError, as_seen=True)[0], plane.mpp


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
