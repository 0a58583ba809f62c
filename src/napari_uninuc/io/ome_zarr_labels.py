"""Label images out of OME-Zarr (NGFF 0.1 to 0.5), ours and others'."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from napari_uninuc.errors import LabelsError
from napari_uninuc.io.colours import hex_of
from napari_uninuc.io.ngff import Placement, placement_of
from napari_uninuc.io.sources import DECODING_ERRORS, reason_of, require_sides
from napari_uninuc.io.stated import clean_name
from napari_uninuc.io.zarr_chunks import require_bounded_chunks

__all__ = [
    "MAX_ATTRIBUTES_BYTES",
    "MAX_CHUNK_BYTES",
    "OUR_CLASSES",
    "OUR_NAME",
    "LabelPyramid",
    "StoredLabels",
    "is_zarr",
    "open_zarr_labels",
    "read_zarr_labels",
    "read_zarr_picture",
    "zarr_holds_our_labels",
]

MAX_CHUNK_BYTES = 2**30
"""Largest chunk after decompression; a chunk is decoded whole."""

MAX_ATTRIBUTES_BYTES = 2**28
"""Largest metadata file of a group; that of 100,000 nuclei has about 2**24."""

OUR_NAME = "nuclei"
"""Of the label image in what we write."""

OUR_CLASSES = "uninuc_classes"
"""Attribute of the label image in what we write: name and colour of every class, used or not."""

_MARKS = (".zgroup", ".zattrs", "zarr.json")


@dataclass(frozen=True, slots=True, eq=False)
class StoredLabels:
    """A label image as a file holds it.

    Attributes
    ----------
    pixels : (H, W) as stored, full resolution
    mpp : micrometres per px; None where the file names no plausible one
    properties : what is said of each id, by id: "class", "score" and whatever else; may be empty
    rgb : colour ``#rrggbb`` of each id that has one
    origin_yx_slide : first pixel on the slide, px; (0, 0) where the file does not say
    notice : what was not understood, one line; empty where all was
    classes : name and ``#rrggbb`` (or None) of each class that is known beforehand
    """

    pixels: npt.NDArray[Any]
    mpp: float | None
    properties: Mapping[int, Mapping[str, Any]]
    rgb: Mapping[int, str]
    origin_yx_slide: tuple[int, int] = (0, 0)
    notice: str = ""
    classes: Sequence[tuple[str, str | None]] = ()


@dataclass(frozen=True, slots=True, eq=False)
class LabelPyramid:
    """The levels of a label image, of which nothing has been read.

    Attributes
    ----------
    levels : zarr arrays of one plane, finest first
    placement : axes, scale and place of the finest
    said : what "image-label" holds; may be empty
    classes : as of `StoredLabels`
    """

    levels: tuple[Any, ...]
    placement: Placement
    said: Mapping[str, Any]
    classes: Sequence[tuple[str, str | None]] = ()

    def plane(self, level: Any) -> Any:
        """Take the one plane (H, W) of an array or of what behaves like one."""
        y, x = self.placement.y_axis, self.placement.x_axis
        plane = level[tuple(slice(None) if axis in (y, x) else 0 for axis in range(level.ndim))]
        return plane if y < x else plane.T


def is_zarr(path: Path) -> bool:
    """Tell by what lies in it whether a folder is a zarr group."""
    return path.is_dir() and any((path / mark).is_file() for mark in _MARKS)


def zarr_holds_our_labels(path: Path) -> bool:
    """Tell quickly whether a zarr folder is a label image named as ours, or has one beneath it."""
    try:
        if not is_zarr(path):
            return False
        if is_zarr(path / "labels" / OUR_NAME):
            return True
        require_plain_tree(path)
        metadata = _metadata(zarr.open_group(str(path), mode="r"))
        return "image-label" in metadata and metadata["multiscales"][0].get("name") == OUR_NAME
    except (LabelsError, *DECODING_ERRORS):
        return False


def read_zarr_picture(path: Path) -> npt.NDArray[np.uint8] | None:
    """Read the RGB picture of an OME-Zarr of ours; None where it holds labels alone.

    Returns
    -------
    rgb : (H, W, 3) uint8, full resolution

    Raises
    ------
    LabelsError
        Damaged or too large.
    """
    try:
        require_plain_tree(path)
        root = zarr.open_group(str(path), mode="r")
        array = root["0"] if "image-label" not in _metadata(root) and "0" in root else None
        if not isinstance(array, zarr.Array) or array.ndim != 3 or array.dtype != np.uint8:
            return None
        if array.shape[0] != 3:
            return None
        _require_sizes(path, array)
        return np.moveaxis(np.asarray(array[...]), 0, -1)
    except LabelsError:
        raise
    except DECODING_ERRORS as problem:
        reason = reason_of(problem)
        raise LabelsError(f"{path}: expected a readable picture, got {reason}") from None


def read_zarr_labels(path: Path) -> StoredLabels:
    """Read a label image at full resolution.

    Raises
    ------
    LabelsError
        As `open_zarr_labels`, too large, or damaged.
    """
    try:
        return _read(path, open_zarr_labels(path))
    except LabelsError:
        raise
    except DECODING_ERRORS as problem:
        raise _unreadable(path, problem) from None


def open_zarr_labels(path: Path, *, beneath: bool = True) -> LabelPyramid:
    """Open a label image: the group itself, or the one beneath ``labels`` of an image.

    A group that was named need not say "image-label", which many programs leave out.

    Parameters
    ----------
    beneath : False takes the group itself only

    Raises
    ------
    LabelsError
        Damaged, no label image in it, more than one, or more than one plane.
    """
    try:
        require_plain_tree(path)
        root = _first_series(_opened(path))
        group = _label_group(path, root) if beneath else root
        metadata = _metadata(group)
        multiscale = metadata["multiscales"][0]
        named = [_inner(path, each["path"]) for each in multiscale["datasets"]]
        levels = [_as_array(path, group[name]) for name in named]
        placement = placement_of(multiscale, levels[0].ndim)
        _require_one_plane(path, levels, placement)
        said, listed = metadata.get("image-label") or {}, metadata.get(OUR_CLASSES) or []
        classes = [(clean_name(each["name"]), hex_of(each["color"])) for each in listed]
        return LabelPyramid(tuple(levels), placement, said, classes)
    except LabelsError:
        raise
    except DECODING_ERRORS as problem:
        raise _unreadable(path, problem) from None


def _unreadable(path: Path, problem: BaseException) -> LabelsError:
    reason = f"no {problem}" if isinstance(problem, KeyError) else reason_of(problem)
    return LabelsError(f"{path}: expected a readable OME-Zarr, got {reason}; write it again")


def require_plain_tree(path: Path) -> None:
    """Refuse a folder that holds pipes, devices, links that lead out of it, or endless metadata.

    Costs a look at every name, of which a large picture has some thousands.

    Raises
    ------
    LabelsError
        So it does.
    """
    root = os.path.realpath(path)
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            inner = os.path.join(folder, name)
            if os.path.islink(inner) and not os.path.realpath(inner).startswith(root + os.sep):
                kind = "a link that leads out of it"
            elif not (os.path.isfile(inner) or os.path.isdir(inner)):
                kind = "a broken link, a pipe or a device"
            elif name in _MARKS and os.path.getsize(inner) > MAX_ATTRIBUTES_BYTES:
                raise LabelsError(  # it is parsed whole
                    f"{inner}: expected metadata of at most {MAX_ATTRIBUTES_BYTES} bytes, got "
                    f"{os.path.getsize(inner)}; write it again"
                )
            else:
                continue
            raise LabelsError(
                f"{path}: expected files and folders inside the folder, got {kind} at "
                f"{os.path.relpath(inner, root)[:200]!r}; put the file itself there"
            )


def _opened(path: Path) -> zarr.Group:
    root = zarr.open(str(path), mode="r")
    if isinstance(root, zarr.Array):
        raise LabelsError(
            f"{path}: expected the folder of a label image, got an array {root.shape} of it; name "
            "the folder above"
        )
    return _as_group(root)


def _first_series(root: zarr.Group) -> zarr.Group:
    """Go to the first picture of a folder as bioformats2raw lays it out."""
    metadata = _metadata(root)
    several = "bioformats2raw.layout" in metadata and "multiscales" not in metadata
    return _as_group(root["0"]) if several and "0" in root else root


def _label_group(path: Path, root: zarr.Group) -> zarr.Group:
    metadata = _metadata(root)
    if "image-label" in metadata or ("multiscales" in metadata and "labels" not in root):
        return root
    names: list[Any] = []
    above = root if "labels" in metadata else root.get("labels")
    if above is not None:
        listed = _metadata(above).get("labels")
        names = [*_as_group(above).group_keys()] if listed is None else listed
    if len(names) != 1:
        found = ", ".join(f"labels/{name}" for name in names)[:200] or "none"
        raise LabelsError(
            f"{path}: expected one label image, got {found}; name a folder that is one"
        )
    return _as_group(_as_group(above)[_inner(path, names[0])])


def _inner(path: Path, name: Any) -> str:
    """Refuse a name that leads out of the folder."""
    parts = str(name).replace("\\", "/").split("/")
    if any(part in ("", ".", "..") or ":" in part for part in parts):
        raise LabelsError(
            f"{path}: expected names inside the folder, got {str(name)[:80]!r}; write it again"
        )
    return str(name)


def _read(path: Path, pyramid: LabelPyramid) -> StoredLabels:
    finest, said = pyramid.levels[0], pyramid.said
    _require_sizes(path, finest, (pyramid.placement.y_axis, pyramid.placement.x_axis))
    by_id = {int(each["label-value"]): each for each in said.get("properties") or []}
    colours = {
        int(each["label-value"]): hex_of(each.get("rgba")) for each in said.get("colors") or []
    }
    return StoredLabels(
        np.asarray(pyramid.plane(finest)),
        pyramid.placement.mpp,
        by_id,
        {label: colour for label, colour in colours.items() if colour is not None},
        pyramid.placement.origin_yx,
        pyramid.placement.notice,
        pyramid.classes,
    )


def _as_array(path: Path, level: Any) -> zarr.Array[Any]:
    if not isinstance(level, zarr.Array) or level.ndim < 2 or level.dtype.kind not in "buif":
        raise LabelsError(
            f"{path}: expected a label image, arrays of whole numbers with axes y and x, got "
            f"{str(level)[:200]}; name a folder that is one"
        )
    return level


def _require_one_plane(path: Path, levels: list[zarr.Array[Any]], placement: Placement) -> None:
    for level in levels:
        others = set(range(level.ndim)) - {placement.y_axis, placement.x_axis}
        if level.ndim != levels[0].ndim or any(level.shape[axis] != 1 for axis in others):
            raise LabelsError(
                f"{path}: labels must be one plane (H, W), got an array of {level.shape}; pass "
                "one plane"
            )


def _require_sizes(path: Path, array: zarr.Array[Any], yx_axes: tuple[int, int] = (-2, -1)) -> None:
    y, x = yx_axes
    require_sides(path, (array.shape[y], array.shape[x]), LabelsError)
    if 0 in array.shape:
        raise LabelsError(f"{path}: expected at least one pixel, got {array.shape}; write it again")
    if math.prod(array.chunks) * array.dtype.itemsize > MAX_CHUNK_BYTES:
        raise LabelsError(
            f"{path}: expected chunks of at most {MAX_CHUNK_BYTES} bytes, got {array.chunks}; "
            "write it again in smaller ones"
        )
    require_bounded_chunks(path, array)


def _metadata(node: Any) -> dict[str, Any]:
    """NGFF 0.5 keeps its metadata under "ome", 0.4 at the top."""
    attributes: dict[str, Any] = _as_group(node).attrs.asdict()
    inner = attributes.get("ome")
    return inner if isinstance(inner, dict) else attributes


def _as_group(node: Any) -> zarr.Group:
    if not isinstance(node, zarr.Group):
        raise TypeError("an array where a group should be")
    return node
