"""Which picture of a TIFF is meant, whether it is whole, and which of its tiles are there."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from xml.etree import ElementTree

import tifffile

from napari_uninuc.errors import ImageError, UniNucError

__all__ = [
    "LeicaScan",
    "SegmentGrid",
    "leica_scans",
    "main_series",
    "require_whole",
]

Box = tuple[int, int, int, int]

_SAME_SCALE = 1.02
"""Scans of one slide are of one scale; the macro picture beside them is a hundredfold coarser."""


@dataclass(frozen=True, slots=True)
class LeicaScan:
    """One image of a Leica SCN that is no macro picture.

    Attributes
    ----------
    place : among the images of the file
    nm_per_px_xy : at full resolution
    """

    place: int
    nm_per_px_xy: tuple[float, float]


def leica_scans(tif: tifffile.TiffFile) -> list[LeicaScan]:
    """List the scans of a Leica SCN, finest scale only; none in other files."""
    if not tif.is_scn:
        return []
    root = ElementTree.fromstring(tif.pages.first.description)
    images = [
        LeicaScan(place, scale)
        for place, scale in enumerate(_leica_scales(root))
        if scale is not None
    ]
    finest = min((each.nm_per_px_xy[0] for each in images), default=0.0)
    return [each for each in images if each.nm_per_px_xy[0] <= finest * _SAME_SCALE]


def _leica_scales(root: Any) -> Iterator[tuple[float, float] | None]:
    """Nanometres per px of each image, in the file's order; None where it does not say."""
    for image in root.iter():
        if not image.tag.endswith("}image"):
            continue
        nodes = {node.tag.rpartition("}")[2]: node for node in image}
        sizes = [node for node in nodes.get("pixels", ()) if node.tag.endswith("}dimension")]
        try:
            view = [float(nodes["view"].attrib[f"size{axis}"]) for axis in "XY"]
            px = [max(float(node.attrib[f"size{axis}"]) for node in sizes) for axis in "XY"]
            yield view[0] / px[0], view[1] / px[1]
        except (KeyError, ValueError, ZeroDivisionError):
            yield None


def main_series(tif: tifffile.TiffFile) -> Any:
    """Choose the picture that a file is about: its first, save where a macro picture leads.

    Raises
    ------
    ImageError
        A Leica SCN of several scans, whose places openslide knows.
    """
    scans = leica_scans(tif)
    if len(scans) > 1:
        raise ImageError(
            f"{tif.filename}: expected one scan, got a slide of {len(scans)}, which openslide puts "
            "together; outline it by `uninuc slide`, which needs "
            "pip install 'napari-uninuc[slides]'"
        )
    return tif.series[scans[0].place if scans else 0]


def require_whole(path: Path, level: Any, error: type[UniNucError]) -> None:
    """Raise `error` for a file cut short: decoders fill missing strips without a word."""
    size = path.stat().st_size
    for page in level.pages:
        if page is None:
            continue
        ends = (a + b for a, b in zip(page.dataoffsets, page.databytecounts, strict=True))
        if max(ends, default=0) > size:
            raise error(f"{path}: the file is cut short at {size} bytes; fetch it again")


@dataclass(frozen=True, slots=True)
class SegmentGrid:
    """How the tiles or strips of a page share out its px.

    Attributes
    ----------
    shape : (H, W) of the page, px
    side_yx : of a segment, px; the last ones may reach past the page
    planes : 1 where a segment holds all samples of its px, else the number of samples
    missing : indices of the segments that were never stored
    """

    shape: tuple[int, int]
    side_yx: tuple[int, int]
    planes: int
    missing: frozenset[int]

    @classmethod
    def of(cls, page: Any) -> Self:
        """Look at a page, or at a frame that has only offsets of its own."""
        keyframe = page.keyframe
        height, width = keyframe.imagelength, keyframe.imagewidth
        side = (
            (keyframe.tilelength, keyframe.tilewidth)
            if keyframe.is_tiled
            else (min(keyframe.rowsperstrip, height), width)
        )
        stored = enumerate(zip(page.dataoffsets, page.databytecounts, strict=True))
        missing = frozenset(index for index, (offset, count) in stored if not (offset and count))
        planes = 1 if keyframe.planarconfig == 1 else keyframe.samplesperpixel
        return cls((height, width), side, planes, missing)

    @property
    def counts_yx(self) -> tuple[int, int]:
        """Segments down and across."""
        down, across = (
            math.ceil(a / max(b, 1)) for a, b in zip(self.shape, self.side_yx, strict=True)
        )
        return down, across

    def indices(self, box_yxyx: Box) -> Iterator[int]:
        """Segments that hold px of a box, of all planes."""
        (y0, x0, y1, x1), (height, width) = box_yxyx, self.side_yx
        down, across = self.counts_yx
        for plane in range(self.planes):
            for row in range(y0 // height, -(-y1 // height)):
                for column in range(x0 // width, -(-x1 // width)):
                    yield (plane * down + row) * across + column

    def box(self, index: int) -> Box:
        """Px of a segment, inside the page."""
        (down, across), (height, width) = self.counts_yx, self.side_yx
        row, column = divmod(index % (down * across), across)
        bottom, right = (row + 1) * height, (column + 1) * width
        return row * height, column * width, min(bottom, self.shape[0]), min(right, self.shape[1])
