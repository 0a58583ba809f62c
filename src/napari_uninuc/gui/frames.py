"""On which of the pictures shown a file of outlines lies that says nothing of its picture."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import napari
import numpy as np
from napari.layers import Image

from napari_uninuc.core.tile import Tile
from napari_uninuc.errors import LabelsError
from napari_uninuc.gui.layers.pictures import MAX_PIXELS, extent_of
from napari_uninuc.gui.layers.placement import Placement
from napari_uninuc.gui.workbench import Workbench
from napari_uninuc.io.json_kind import Extent, Kind, unstated_extent
from napari_uninuc.io.outline_formats import OutlineFormat, extent_of_outlines

__all__ = ["Frame", "counts_from_slide", "frame_of_outlines", "frame_of_shape", "name_shown"]

_BEYOND_PX = 16
"""How far outlines of a picture may reach past its edge."""

_MOST_PX = 2**28


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """Where outlines are to be read, and where they then lie.

    Attributes
    ----------
    shape : (H, W) px to be read
    origin_yx_file : the first of them, in px of the file
    placement : of that pixel among the layers; None where no picture is shown
    words : of which picture they are, for the person
    """

    shape: tuple[int, int]
    origin_yx_file: tuple[int, int]
    placement: Placement | None
    words: str


def counts_from_slide(kind: Kind | OutlineFormat) -> bool:
    """Whether px of such a file count from the first of the slide, not of the picture."""
    return kind.in_slide_px if isinstance(kind, OutlineFormat) else kind == "geojson"


def frame_of_outlines(path: Path, kind: Kind | OutlineFormat) -> Frame | None:
    """Choose the picture on which all outlines of a file lie.

    Parameters
    ----------
    path : of the file
    kind : what it is, as `kind_of_json` or `outline_format_of` tell

    Returns
    -------
    frame : the picture worked at, or the one on top, where the outlines are on it; else as large
        as the outlines, placed as the picture on top is. None where the file says how large its
        picture is

    Raises
    ------
    LabelsError
        Not readable, no outlines, or spread over more than fits a labels layer.
    """
    if isinstance(kind, OutlineFormat):
        extent = extent_of_outlines(kind, path)
    else:
        extent = unstated_extent(path, kind)
    if extent is None:
        return None
    on_slide = counts_from_slide(kind)
    shown = list(_shown()) if on_slide else [each.whole() for each in _shown()]
    for each in shown:
        if each.holds(extent):
            return each.frame()
    origin, shape = _around(extent, from_first=not on_slide)
    if math.prod(shape) > _MOST_PX:
        raise LabelsError(
            f"{path}: expected outlines of a picture or of a region, got some that lie on "
            f"{shape[0]} x {shape[1]} px; open that region first, and then this file"
        )
    plain = next((each for each in shown if each.is_plain), None)
    words = "as large as the outlines, for no picture is shown that holds them all"
    return Frame(shape, origin, None if plain is None else plain.placement(origin), words)


def frame_of_shape(shape: tuple[int, int]) -> Frame | None:
    """Choose the picture of that size: the one worked at, or the first from the top."""
    for each in _shown():
        if each.shape == shape:
            return each.whole().frame()
    return None


def name_shown() -> str | None:
    """Name of the picture worked at, or on top, by which a file about several knows it."""
    return next((each.name for each in _shown()), None)


def _around(extent: Extent, *, from_first: bool) -> tuple[tuple[int, int], tuple[int, int]]:
    """Whole px around outlines: from the first of the picture on, unless that is far away."""
    y0, x0, y1, x1 = extent
    top, left, bottom, right = math.floor(y0), math.floor(x0), math.ceil(y1), math.ceil(x1)
    near = min(top, left) >= 0 and max(bottom, 1) * max(right, 1) <= MAX_PIXELS
    if near or from_first:
        top = left = 0
    return (top, left), (max(bottom - top, 1), max(right - left, 1))


@dataclass(frozen=True, slots=True, eq=False)
class _Shown:
    """A picture, or the region of a slide, that is shown.

    Attributes
    ----------
    is_plain : px of the file are px of `layer`; not of a region, whose files count from the slide
    """

    name: str
    shape: tuple[int, int]
    origin_yx_file: tuple[int, int]
    layer: Any
    is_plain: bool

    def holds(self, extent: Extent) -> bool:
        """Whether outlines are of this picture; of a slide's, whether some are on the region."""
        (oy, ox), (height, width) = self.origin_yx_file, self.shape
        y0, x0, y1, x1 = extent
        if height * width > MAX_PIXELS:
            return False
        if not self.is_plain:
            return y0 < oy + height and x0 < ox + width and y1 > oy and x1 > ox
        inside = min(y0 - oy, x0 - ox) >= -_BEYOND_PX
        return inside and y1 <= oy + height + _BEYOND_PX and x1 <= ox + width + _BEYOND_PX

    def whole(self) -> Self:
        """The same, for a file that counts from the first px of its picture."""
        return replace(self, origin_yx_file=(0, 0), is_plain=True)

    def frame(self) -> Frame:
        origin = self.origin_yx_file
        return Frame(self.shape, origin, self.placement(origin), f"on {self.name}")

    def placement(self, origin_yx_file: tuple[int, int]) -> Placement:
        """Where that px of the file lies among the layers."""
        y, x = np.subtract(origin_yx_file, self.origin_yx_file)
        return Placement.of(self.layer, (float(y), float(x)))


def _shown() -> Iterator[_Shown]:
    """The picture worked at, then all that are visible, from the top."""
    viewer = napari.current_viewer()
    if viewer is None:
        return
    bench = _workbench(viewer)
    if bench is not None and bench.desk is not None:
        desk = bench.desk
        yield from _of_tile(desk.session.tile, desk.bridge.nuclei)
    for layer in reversed(viewer.layers):
        if isinstance(layer, Image) and layer.visible and layer.ndim > 1:
            desk_of_layer = None if bench is None else bench.desk_of(layer)
            if desk_of_layer is not None and desk_of_layer.session.tile.place is not None:
                yield from _of_tile(desk_of_layer.session.tile, layer)
            else:
                yield _Shown(layer.name, extent_of(layer), (0, 0), layer, is_plain=True)


def _of_tile(tile: Tile, layer: Any) -> Iterator[_Shown]:
    if tile.downsample == 1:  # outlines are px of full resolution
        yield _Shown(tile.name, tile.shape, tile.origin_yx_slide, layer, tile.place is None)


def _workbench(viewer: Any) -> Workbench | None:
    window = getattr(viewer, "window", None)
    for widget in getattr(window, "dock_widgets", {}).values():
        bench = getattr(widget, "workbench", None)
        if isinstance(bench, Workbench):
            return bench
    return None
