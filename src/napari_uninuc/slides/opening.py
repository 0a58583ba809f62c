"""One door to every slide format."""

import os
from contextlib import suppress
from pathlib import Path
from typing import cast

from napari_uninuc.errors import ImageError
from napari_uninuc.io.resolution import PLAUSIBLE_MPP
from napari_uninuc.io.sources import is_tiff, require_file
from napari_uninuc.slides.protocol import Slide
from napari_uninuc.slides.tiff_slide import TiffSlide, look_at_vendor_tiff
from napari_uninuc.slides.vendor_slide import VendorSlide, vendor_of
from napari_uninuc.slides.zarr_slide import ZarrSlide, is_zarr

__all__ = ["AnySlide", "is_slide", "look_at_slide", "open_slide", "require_mpp"]

AnySlide = TiffSlide | VendorSlide | ZarrSlide
"""A slide of which the scale may be missing: then its `mpp` is None."""

_ALIKE = {"aperio", "hamamatsu", "leica"}
"""Vendors whose tiles lie where tifffile finds them, so that it can stand in for openslide."""

_STOP_AT_GAPS = {"leica"}
"""Of them, those where openslide fails at a tile that is missing, and at all after it."""

_LARGEST_PICTURE = 6000 * 6000
"""Px of a picture without coarser levels that is still no slide."""


def open_slide(path: str | os.PathLike[str], mpp: float | None = None) -> Slide:
    """Open a slide; nothing but its directory is read.

    Parameters
    ----------
    path : a pyramidal TIFF or OME-TIFF, an OME-Zarr folder, or a scanner's file (SVS, NDPI,
        MRXS, SCN, DICOM and what else openslide knows; SVS, NDPI and SCN mostly without it too)
    mpp : micrometres per px at full resolution, 0.05 to 5; wins over what the file says

    Raises
    ------
    ImageError
        Missing, damaged, cut short, not 8-bit RGB, or without a plausible scale (0.05 to 5)
        where `mpp` gives none; or an `mpp` that is not plausible.

    Examples
    --------
    >>> import tifffile
    >>> from napari_uninuc.slides.opening import open_slide
    >>> from napari_uninuc.testing import make_tile
    >>> pixels = make_tile((512, 512)).tile.rgb
    >>> with tifffile.TiffWriter("slide.tif") as file:
    ...     file.write(pixels, tile=(256, 256), subifds=1, photometric="rgb")
    ...     file.write(pixels[::2, ::2], tile=(256, 256), subfiletype=1, photometric="rgb")
    >>> slide = open_slide("slide.tif", mpp=0.25)
    >>> [level.shape for level in slide.levels], slide.mpp
    ([(512, 512), (256, 256)], 0.25)
    >>> slide.read(0, (100, 200, 164, 264)).shape
    (64, 64, 3)
    >>> slide.close()
    """
    source = Path(path)
    if mpp is not None:
        require_mpp(mpp, source.name)
    slide = look_at_slide(source)
    if mpp is not None:
        slide.mpp = mpp
    elif slide.mpp is None:
        slide.close()
        raise ImageError(
            f"{source}: expected micrometres per pixel between 0.05 and 5 in the file, got none; "
            "pass them by --mpp (0.25 is a 40x scan)"
        )
    return cast(Slide, slide)


def require_mpp(mpp: float, name: str) -> None:
    """Raise ImageError where the px of no slide can be so large; NaN is refused too."""
    finest, coarsest = PLAUSIBLE_MPP
    if not finest <= mpp <= coarsest:
        raise ImageError(
            f"{name}: a slide's pixels must be between {finest:g} and {coarsest:g} um, "
            f"got {mpp:g}; 0.25 is a 40x scan"
        )


def is_slide(path: Path) -> bool:
    """Tell by its directory whether a file is a slide that can be opened, and not a picture.

    A slide has several levels, is a scanner's own format, or is too large for one picture.
    """
    try:
        if path.is_file() and vendor_of(path) is not None:
            return True
        slide = look_at_slide(path)
    except ImageError:
        return False
    height, width = slide.levels[0].shape
    slide.close()
    return len(slide.levels) > 1 or height * width > _LARGEST_PICTURE


def look_at_slide(path: Path) -> AnySlide:
    """Open a slide whose scale may be missing; nothing but its directory is read.

    Raises
    ------
    ImageError
        As `open_slide`, save for the scale.
    """
    if path.is_dir() and is_zarr(path):
        return ZarrSlide(path)
    require_file(path, ImageError, "slide")
    vendor = vendor_of(path)
    if vendor is not None:
        return _vendor_slide(path, vendor)
    if is_tiff(path):
        return TiffSlide(path)
    raise ImageError(
        f"{path}: expected a slide (TIFF, OME-TIFF, OME-Zarr, SVS, NDPI, MRXS, SCN, DICOM), got "
        "something else; scanners' own formats need pip install 'napari-uninuc[slides]'"
    )


def _vendor_slide(path: Path, vendor: str) -> VendorSlide | TiffSlide:
    """Open by openslide; by tifffile what openslide refuses, where it reads the same from it."""
    if not is_tiff(path):
        return VendorSlide(path)
    mpp, notice = look_at_vendor_tiff(path, vendor)

    def by_openslide() -> VendorSlide:
        return VendorSlide(path, mpp, notice)

    def by_tifffile() -> TiffSlide:
        return TiffSlide(path)

    fails_later = bool(notice) and vendor in _STOP_AT_GAPS
    first, second = (by_tifffile, by_openslide) if fails_later else (by_openslide, by_tifffile)
    try:
        return first()
    except ImageError:
        if vendor in _ALIKE:
            with suppress(ImageError):
                return second()
        raise
