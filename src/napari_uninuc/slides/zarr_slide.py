"""OME-Zarr pyramids (NGFF 0.1 to 0.5), chunk by chunk."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from zarr.storage import LocalStore

from napari_uninuc.errors import ImageError
from napari_uninuc.io.ngff import placement_of
from napari_uninuc.io.sources import DECODING_ERRORS, missing_notice
from napari_uninuc.slides.protocol import Box, Level, levels_of, require_inside
from napari_uninuc.slides.zarr_gaps import ChunkGaps

__all__ = ["ZarrSlide", "is_zarr"]

_MARKS = (".zgroup", "zarr.json")
_COLOURS = ("FF0000", "00FF00", "0000FF")
_WHITE = 255


def is_zarr(path: Path) -> bool:
    """Tell by its files whether a folder is a zarr group."""
    return any((path / mark).is_file() for mark in _MARKS)


class ZarrSlide:
    """A `Slide` in an OME-Zarr folder.

    Raises
    ------
    ImageError
        No multiscale picture in it, not 8-bit RGB, several planes, or damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.origin_yx = path, (0, 0)
        try:
            multiscale, omero, group = _multiscale(path)
            self._arrays: list[Any] = [group[entry["path"]] for entry in multiscale["datasets"]]
            placement = placement_of(multiscale, self._arrays[0].ndim)
            self._axes = placement.axes
            for array in self._arrays:
                _require_rgb(path, self._axes, array, omero)
            self.levels: tuple[Level, ...] = levels_of([self._sides(a) for a in self._arrays])
            self.mpp: float | None = placement.mpp
            self._gaps = [ChunkGaps.of(a, self._axes, _folder_of(path, a)) for a in self._arrays]
            counts = [each.missing_of_all for each in self._gaps]
            self.notice = missing_notice(path, "chunks", counts)
        except ImageError:
            raise
        except (*DECODING_ERRORS, json.JSONDecodeError) as problem:
            reason = " ".join(str(problem).split()) or type(problem).__name__
            raise ImageError(
                f"{path}: expected an OME-Zarr pyramid, got {reason}; check the folder"
            ) from None

    def read(self, level: int, box_yxyx: Box) -> npt.NDArray[np.uint8]:
        """Read a box (y0, x0, y1, x1) of a level, px of it: (h, w, 3) uint8; see `Slide`."""
        require_inside(self.path, self.levels, level, box_yxyx)
        y0, x0, y1, x1 = box_yxyx
        where = {"y": slice(y0, y1), "x": slice(x0, x1), "c": slice(0, 3)}
        index = tuple(where.get(axis, 0) for axis in self._axes)
        try:
            pixels = np.asarray(self._arrays[level][index])
        except DECODING_ERRORS as problem:
            reason = " ".join(str(problem).split()) or type(problem).__name__
            raise ImageError(
                f"{self.path}: px {box_yxyx} of level {level} cannot be decoded ({reason}); fetch "
                "the folder again"
            ) from None
        kept = [axis for axis in self._axes if axis in where]
        rgb = np.ascontiguousarray(pixels.transpose([kept.index(axis) for axis in "yxc"]))
        for ys, xs in self._gaps[level].boxes(box_yxyx):
            rgb[ys, xs] = _WHITE
        return rgb

    def close(self) -> None:
        """Forget the arrays; zarr keeps no file open."""
        self._arrays = []

    def _sides(self, array: Any) -> tuple[int, int]:
        return int(array.shape[self._axes.index("y")]), int(array.shape[self._axes.index("x")])


def _multiscale(path: Path) -> tuple[Mapping[str, Any], Mapping[str, Any], Any]:
    """First multiscale picture, how its channels are shown, and its group."""
    group: Any = zarr.open_group(str(path), mode="r")
    attributes = dict(group.attrs)
    attributes = attributes.get("ome", attributes)
    if "multiscales" not in attributes and "bioformats2raw.layout" in attributes:
        group = group["0"]
        attributes = dict(group.attrs)
        attributes = attributes.get("ome", attributes)
    if not attributes.get("multiscales") or "image-label" in attributes:
        raise ImageError(
            f"{path}: expected an OME-Zarr picture with multiscales, got a folder without; name "
            "the folder of the picture"
        )
    return attributes["multiscales"][0], attributes.get("omero") or {}, group


def _folder_of(path: Path, array: Any) -> Path:
    """Folder of an array, which lies in the picture's or beneath it."""
    store = array.store_path.store
    root = Path(store.root) if isinstance(store, LocalStore) else path
    return root / str(array.store_path.path)


def _require_rgb(path: Path, axes: Sequence[str], array: Any, omero: Mapping[str, Any]) -> None:
    sizes = dict(zip(axes, array.shape, strict=True))
    channels = omero.get("channels") or []
    colours = tuple(str(each.get("color", "")).lstrip("#").upper() for each in channels[:3])
    planes = [size for axis, size in sizes.items() if axis not in "yxc"]
    is_rgb = array.dtype == np.uint8 and sizes.get("c") == 3 and {"y", "x"} <= set(sizes)
    if not is_rgb or (colours and colours != _COLOURS) or any(size != 1 for size in planes):
        raise ImageError(
            f"{path}: expected an 8-bit RGB slide of stained tissue, got {array.dtype} "
            f"{''.join(axes)} {array.shape}; fluorescence, 16-bit slides and stacks cannot be "
            "read: convert it to 8-bit RGB"
        )
