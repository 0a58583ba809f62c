"""Label images out of OME-Zarr (NGFF 0.4 or 0.5), ours and others'."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from napari_uninuc.errors import LabelsError
from napari_uninuc.io.colours import hex_of
from napari_uninuc.io.filling import MAX_COORDINATE
from napari_uninuc.io.resolution import mpp_of_scale
from napari_uninuc.io.sources import DECODING_ERRORS, reason_of, require_sides
from napari_uninuc.io.zarr_chunks import require_bounded_chunks

__all__ = [
    "MAX_ATTRIBUTES_BYTES",
    "MAX_CHUNK_BYTES",
    "OUR_NAME",
    "StoredLabels",
    "is_zarr",
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
    """

    pixels: npt.NDArray[Any]
    mpp: float | None
    properties: Mapping[int, Mapping[str, Any]]
    rgb: Mapping[int, str]
    origin_yx_slide: tuple[int, int] = (0, 0)


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
    """Read a label image: the group itself, or the one beneath ``labels`` of an image.

    Raises
    ------
    LabelsError
        Damaged, no label image in it, more than one, or more than one plane.
    """
    try:
        require_plain_tree(path)
        _require_small_texts(path)
        root = zarr.open_group(str(path), mode="r")
        group = _label_group(path, root)
        return _read(path, group, _metadata(group))
    except LabelsError:
        raise
    except DECODING_ERRORS as problem:
        reason = reason_of(problem)
        raise LabelsError(
            f"{path}: expected a readable OME-Zarr, got {reason}; write it again"
        ) from None


def require_plain_tree(path: Path) -> None:
    """Refuse a folder that holds pipes, devices, or links that lead out of it.

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
            else:
                continue
            raise LabelsError(
                f"{path}: expected files and folders inside the folder, got {kind} at "
                f"{os.path.relpath(inner, root)[:200]!r}; put the file itself there"
            )


def _require_small_texts(path: Path) -> None:
    """Refuse metadata that would fill the memory: it is parsed whole."""
    inner = [path / "labels", *(path / "labels").glob("*")]
    for text in (folder / mark for folder in (path, *inner) for mark in _MARKS):
        if text.is_file() and text.stat().st_size > MAX_ATTRIBUTES_BYTES:
            raise LabelsError(
                f"{text}: expected metadata of at most {MAX_ATTRIBUTES_BYTES} bytes, got "
                f"{text.stat().st_size}; write it again"
            )


def _label_group(path: Path, root: zarr.Group) -> zarr.Group:
    if "image-label" in _metadata(root):
        return root
    names = _metadata(root["labels"]).get("labels", []) if "labels" in root else []
    if len(names) != 1:
        found = ", ".join(f"labels/{name}" for name in names)[:200] or "none"
        raise LabelsError(
            f"{path}: expected one label image, got {found}; name a folder that is one"
        )
    return _as_group(root[f"labels/{_inner(path, names[0])}"])


def _inner(path: Path, name: Any) -> str:
    """Refuse a name that leads out of the folder."""
    parts = str(name).replace("\\", "/").split("/")
    if any(part in ("", ".", "..") or ":" in part for part in parts):
        raise LabelsError(
            f"{path}: expected names inside the folder, got {str(name)[:80]!r}; write it again"
        )
    return str(name)


def _read(path: Path, group: zarr.Group, metadata: Mapping[str, Any]) -> StoredLabels:
    scales = metadata["multiscales"][0]
    level = scales["datasets"][0]
    array = group[_inner(path, level["path"])]
    if not isinstance(array, zarr.Array) or any(side != 1 for side in array.shape[:-2]):
        raise LabelsError(f"{path}: labels must be one plane (H, W), got {array}; pass one plane")
    height, width = array.shape[-2:]
    _require_sizes(path, array)
    pixels = np.asarray(array[...]).reshape(height, width)
    said = metadata.get("image-label", {})
    by_id = {int(each["label-value"]): each for each in said.get("properties") or []}
    colours = {
        int(each["label-value"]): hex_of(each.get("rgba")) for each in said.get("colors") or []
    }
    return StoredLabels(
        pixels,
        _mpp(scales["axes"], level),
        by_id,
        {label: colour for label, colour in colours.items() if colour is not None},
        _origin(level),
    )


def _require_sizes(path: Path, array: zarr.Array[Any]) -> None:
    require_sides(path, (array.shape[-2], array.shape[-1]), LabelsError)
    if 0 in array.shape:
        raise LabelsError(f"{path}: expected at least one pixel, got {array.shape}; write it again")
    if math.prod(array.chunks) * array.dtype.itemsize > MAX_CHUNK_BYTES:
        raise LabelsError(
            f"{path}: expected chunks of at most {MAX_CHUNK_BYTES} bytes, got {array.chunks}; "
            "write it again in smaller ones"
        )
    require_bounded_chunks(path, array)


def _origin(level: Mapping[str, Any]) -> tuple[int, int]:
    """Divide translation by scale: the first pixel on the slide, px."""
    found = {each["type"]: each for each in level["coordinateTransformations"]}
    if "translation" not in found or "scale" not in found:
        return 0, 0
    offsets, steps = found["translation"]["translation"][-2:], found["scale"]["scale"][-2:]
    y, x = (float(offset) / float(step) for offset, step in zip(offsets, steps, strict=True))
    return (round(y), round(x)) if abs(y) <= MAX_COORDINATE >= abs(x) else (0, 0)


def _mpp(axes: list[dict[str, Any]], level: Mapping[str, Any]) -> float | None:
    units = {axis.get("unit") for axis in axes[-2:]}
    steps = [t["scale"] for t in level["coordinateTransformations"] if t["type"] == "scale"]
    unit = units.pop()
    if units or unit is None or not steps:
        return None
    return mpp_of_scale((float(steps[0][-2]), float(steps[0][-1])), str(unit))


def _metadata(node: Any) -> dict[str, Any]:
    """NGFF 0.5 keeps its metadata under "ome", 0.4 at the top."""
    attributes: dict[str, Any] = _as_group(node).attrs.asdict()
    inner = attributes.get("ome")
    return inner if isinstance(inner, dict) else attributes


def _as_group(node: Any) -> zarr.Group:
    if not isinstance(node, zarr.Group):
        raise TypeError("an array where a group should be")
    return node
