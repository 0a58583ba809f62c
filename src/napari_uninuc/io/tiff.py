"""TIFF and OME-TIFF: the first plane in, label images out."""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
import tifffile

from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.errors import UniNucError
from napari_uninuc.io.resolution import mpp_of_tiff
from napari_uninuc.io.sources import DECODING_ERRORS, reason_of, require_packed, require_sides
from napari_uninuc.io.targets import replacing
from napari_uninuc.io.tiff_colours import TiffColours, colours_of
from napari_uninuc.io.tiff_level import SegmentGrid, main_series, require_whole

__all__ = [
    "TiffPlane",
    "longer_axes",
    "origin_of_ours",
    "read_tiff",
    "tiff_holds_our_labels",
    "write_ome_tiff",
    "write_tiff",
]

_TILE_SIDE = 256
_LARGEST_TOP = 2048
"""Longest side, px, of a label image without smaller levels, and of the smallest level."""

_BIG = 2**32 - 2**26
"""Bytes before compression from which offsets of 64 bits are needed. Deflate adds a thousandth
to what it cannot pack, and a label image has some thousand strips or tiles."""

_BIG_PYRAMID = 3 * 2**30  # levels add a third

_MAX_PLANES = 10**7
_NAMESPACE = "napari-uninuc"
_ORIGIN = ("origin_y_slide", "origin_x_slide")
_CHANNEL_AXES = "SCQ"  # samples, channels, and tifffile's "unknown"


@dataclass(frozen=True, slots=True, eq=False)
class TiffPlane:
    """The first plane of a TIFF.

    Attributes
    ----------
    pixels : (H, W) or (H, W, C), type as stored
    mpp : micrometres per px, or None where the file does not say so plausibly
    colours : what the numbers mean, if they are a picture
    grids : of each page that was read: which tiles were never stored, and are 0 in `pixels`
    origin_yx_slide : first pixel on the slide, px, where `write_ome_tiff` said it; None where
        the file is not of ours
    """

    pixels: npt.NDArray[Any]
    mpp: float | None
    colours: TiffColours
    grids: tuple[SegmentGrid, ...]
    origin_yx_slide: tuple[int, int] | None = None


def read_tiff(path: Path, error: type[UniNucError]) -> TiffPlane:
    """Read the first picture of a TIFF at full resolution.

    Parameters
    ----------
    path : an existing file
    error : raised, in one line, for whatever is wrong with it

    Raises
    ------
    error
        Damaged, cut short, a stack of planes, or a side above `MAX_SIDE`.
    """
    try:
        with tifffile.TiffFile(path, _multifile=False) as tif:  # opens no file that this one names
            _require_few_planes(path, tif.ome_metadata or "", error)
            level = main_series(tif).levels[0]
            axes, shape = longer_axes(level)
            require_sides(path, _sides(path, axes, shape, error), error)
            require_whole(path, level, error)
            largest = max(math.prod(level.keyframe.chunks) * level.dtype.itemsize, level.nbytes)
            require_packed(path, largest, error)
            pixels = level.asarray().reshape(shape)
            return TiffPlane(
                _channels_last(pixels, axes),
                mpp_of_tiff(tif),
                colours_of(tif, level),
                tuple(SegmentGrid.of(page) for page in level.pages if page is not None),
                None if tif.ome_metadata is None else origin_of_ours(tif.ome_metadata),
            )
    except UniNucError:
        raise
    except DECODING_ERRORS as problem:
        reason = reason_of(problem)
        raise error(f"{path}: expected a readable TIFF, got {reason}; save it again") from None


def longer_axes(level: Any) -> tuple[str, tuple[int, ...]]:
    """Axes and their lengths, without those of one px; Y and X always stay.

    By hand: whether tifffile does so by itself changed (get_axes is gone since 2026.5).
    """
    axes = [
        (axis, size)
        for axis, size in zip(level.axes, level.shape, strict=True)
        if size != 1 or axis in "YX"
    ]
    return "".join(axis for axis, _ in axes), tuple(size for _, size in axes)


def _sides(
    path: Path, axes: str, shape: tuple[int, ...], error: type[UniNucError]
) -> tuple[int, int]:
    """Return (H, W), or raise `error` where the file holds more than one plane."""
    sizes = dict(zip(axes, shape, strict=True))
    height, width = sizes.pop("Y", 1), sizes.pop("X", 1)
    channels = [axis for axis in sizes if axis == "S" or (axis in "CQ" and sizes[axis] in (3, 4))]
    if len(sizes) > 1 or len(channels) != len(sizes):
        raise error(
            f"{path}: expected one plane of 1 to 4 channels, got axes {axes} of {shape}; "
            "save one plane"
        )
    return height, width


def _require_few_planes(path: Path, description: str, error: type[UniNucError]) -> None:
    """Refuse OME-XML that announces more planes than anybody has: tifffile makes a list of them."""
    sizes = dict.fromkeys(("SizeC", "SizeZ", "SizeT", "IFD", "PlaneCount"), 1)
    for name, digits in re.findall(r"\b(\w+)\s*=\s*[\"'](\d+)[\"']", description):
        if name.replace("First", "Size") in sizes:
            known = name.replace("First", "Size")
            sizes[known] = max(sizes[known], int(digits[:20]))
    if math.prod(sizes.values()) > _MAX_PLANES:
        raise error(f"{path}: expected one plane, got OME-XML of {_MAX_PLANES} or more; save one")


def _channels_last(pixels: npt.NDArray[Any], axes: str) -> npt.NDArray[Any]:
    for axis in _CHANNEL_AXES:
        if axis in axes and axes.index(axis) == 0:
            return np.moveaxis(pixels, 0, -1)
    # Squeezing also drops a side of one pixel.
    missing = [index for index, axis in enumerate("YX") if axis not in axes]
    return np.expand_dims(pixels, missing) if missing else pixels


def origin_of_ours(description: str) -> tuple[int, int] | None:
    """Read the first pixel (y, x) on the slide, px, out of OME-XML; None in others' files."""
    try:
        root = ElementTree.fromstring(description)
    except (ElementTree.ParseError, ValueError):
        return None
    for node in root.iter():
        if node.tag.endswith("}MapAnnotation") and node.get("Namespace") == _NAMESPACE:
            said = {each.get("K"): each.text or "" for each in node.iter() if each.get("K")}
            found = [said.get(key, "") for key in _ORIGIN]
            if all(re.fullmatch(r"-?\d{1,9}", text) for text in found):
                return int(found[0]), int(found[1])
    return None


def tiff_holds_our_labels(path: Path) -> bool:
    """Tell by its first page whether a file was written by `write_ome_tiff`."""
    try:
        with tifffile.TiffFile(path, _multifile=False) as tif:  # opens no file that this one names
            description = tif.pages.first.description
    except DECODING_ERRORS:
        return False
    return _NAMESPACE in description and origin_of_ours(description) is not None


def write_tiff(segmentation: Segmentation, path: Path, mpp: float | None = None) -> None:
    """Write the label image as ImageJ itself opens it: one plane in strips, Deflate.

    ImageJ 1.53 refuses tiles and BigTIFF, and passes over a predictor without a word, which
    would scramble the ids.

    Parameters
    ----------
    segmentation : its labels are stored as uint16 where they fit, else as uint32, which ImageJ
        turns into floats: exact up to 16,777,216
    path : replaced whole or not at all; folders above it are made
    mpp : micrometres per px for the resolution tags; None writes none

    Raises
    ------
    OutputError
        The file cannot be written.

    Examples
    --------
    >>> from pathlib import Path
    >>> import tifffile
    >>> from napari_uninuc import Segmentation
    >>> from napari_uninuc.io.tiff import write_tiff
    >>> from napari_uninuc.testing import make_tile
    >>> tissue = make_tile((64, 64), n_nuclei=3)
    >>> nuclei = Segmentation.from_labels(tissue.labels)

    >>> write_tiff(nuclei, Path("nuclei.tif"), mpp=0.25)
    >>> labels = tifffile.imread("nuclei.tif")
    >>> labels.shape, str(labels.dtype), int(labels.max())
    ((64, 64), 'uint16', 3)
    """
    pixels = segmentation.narrow_labels(np.uint32)
    with (
        replacing(path) as part,
        tifffile.TiffWriter(part, bigtiff=pixels.nbytes > _BIG) as writer,
    ):
        writer.write(pixels, metadata=None, predictor=None, **_layout(mpp))


def write_ome_tiff(
    segmentation: Segmentation,
    path: Path,
    mpp: float | None = None,
    origin_yx_slide: tuple[int, int] = (0, 0),
) -> None:
    """Write the label image as a tiled, compressed OME-TIFF named "nuclei".

    A large one is a pyramid of SubIFDs, each level half of the one before, as Bio-Formats
    wants it; a pixel of a level is one of the four it stands for, so no id is made up.

    Parameters
    ----------
    segmentation : its labels are stored as uint16 where they fit, else as int32
    path : replaced whole or not at all; folders above it are made
    mpp : micrometres per px, for PhysicalSizeX and PhysicalSizeY; None writes none
    origin_yx_slide : first pixel on the slide, px; an annotation of the file

    Raises
    ------
    OutputError
        The file cannot be written.

    Examples
    --------
    >>> from pathlib import Path
    >>> import tifffile
    >>> from napari_uninuc import Segmentation
    >>> from napari_uninuc.io.tiff import write_ome_tiff
    >>> from napari_uninuc.testing import make_tile
    >>> tissue = make_tile((64, 64), n_nuclei=3)
    >>> nuclei = Segmentation.from_labels(tissue.labels)

    >>> write_ome_tiff(nuclei, Path("nuclei.ome.tif"), mpp=0.25, origin_yx_slide=(100, 200))
    >>> with tifffile.TiffFile("nuclei.ome.tif") as file:
    ...     file.series[0].name, file.series[0].axes, 'PhysicalSizeX="0.25"' in file.ome_metadata
    ('nuclei', 'YX', True)
    """
    origin = {key: str(int(value)) for key, value in zip(_ORIGIN, origin_yx_slide, strict=True)}
    metadata: dict[str, Any] = {
        "axes": "YX",
        "Name": "nuclei",
        "MapAnnotation": {"Namespace": _NAMESPACE, **origin},
    }
    if mpp is not None:
        metadata |= {f"PhysicalSize{axis}": mpp for axis in "XY"}
        metadata |= {f"PhysicalSize{axis}Unit": "µm" for axis in "XY"}
    _write_pyramid(path, segmentation.narrow_labels(np.int32), mpp, metadata)


def _write_pyramid(
    path: Path, pixels: npt.NDArray[Any], mpp: float | None, ome: dict[str, Any]
) -> None:
    """Write full resolution, and beneath it levels until one is small enough to look at."""
    levels = [pixels]
    while max(levels[-1].shape) > _LARGEST_TOP:
        levels.append(levels[-1][::2, ::2])
    with (
        replacing(path) as part,
        tifffile.TiffWriter(part, bigtiff=pixels.nbytes > _BIG_PYRAMID, ome=True) as writer,
    ):
        for index, level in enumerate(levels):
            step = None if mpp is None else mpp * 2**index
            kind: dict[str, Any] = {"subfiletype": 1} if index else {"subifds": len(levels) - 1}
            writer.write(
                np.ascontiguousarray(level),
                metadata=None if index else ome,
                tile=(_TILE_SIDE, _TILE_SIDE),
                **kind,
                **_layout(step),
            )


def _layout(mpp: float | None) -> dict[str, Any]:
    layout: dict[str, Any] = {"compression": "zlib", "photometric": "minisblack"}
    if mpp is not None:
        px_per_cm = 10_000 / mpp
        layout |= {"resolution": (px_per_cm, px_per_cm), "resolutionunit": "CENTIMETER"}
    return layout
