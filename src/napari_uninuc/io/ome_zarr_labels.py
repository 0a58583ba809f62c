"""Label images out of OME-Zarr (NGFF 0.4 or 0.5), ours and others'."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from napari_uninuc.errors import LabelsError
from napari_uninuc.io.resolution import mpp_of_scale
from napari_uninuc.io.sources import DECODING_ERRORS, require_sides

__all__ = ["StoredLabels", "is_zarr", "read_zarr_labels"]

_MARKS = (".zgroup", ".zattrs", "zarr.json")


@dataclass(frozen=True, slots=True, eq=False)
class StoredLabels:
    """A label image as a file holds it.

    Attributes
    ----------
    pixels : (H, W) as stored, full resolution
    mpp : micrometres per px; None where the file names no plausible one
    properties : what is said of each id, by id: "class", "score" and whatever else; may be empty
    """

    pixels: npt.NDArray[Any]
    mpp: float | None
    properties: Mapping[int, Mapping[str, Any]]


def is_zarr(path: Path) -> bool:
    """Tell by what lies in it whether a folder is a zarr group."""
    return path.is_dir() and any((path / mark).is_file() for mark in _MARKS)


def read_zarr_labels(path: Path) -> StoredLabels:
    """Read a label image: the group itself, or the one beneath ``labels`` of an image.

    Raises
    ------
    LabelsError
        Damaged, no label image in it, more than one, or more than one plane.
    """
    try:
        root = zarr.open_group(str(path), mode="r")
        group = _label_group(path, root)
        return _read(path, group, _metadata(group))
    except LabelsError:
        raise
    except (AttributeError, *DECODING_ERRORS) as problem:
        reason = " ".join(str(problem).split()) or type(problem).__name__
        raise LabelsError(
            f"{path}: expected a readable OME-Zarr, got {reason}; write it again"
        ) from None


def _label_group(path: Path, root: zarr.Group) -> zarr.Group:
    if "image-label" in _metadata(root):
        return root
    names = _metadata(root["labels"]).get("labels", []) if "labels" in root else []
    if len(names) != 1:
        found = ", ".join(f"labels/{name}" for name in names) or "none"
        raise LabelsError(
            f"{path}: expected one label image, got {found}; name a folder that is one"
        )
    return _as_group(root[f"labels/{names[0]}"])


def _read(path: Path, group: zarr.Group, metadata: Mapping[str, Any]) -> StoredLabels:
    scales = metadata["multiscales"][0]
    level = scales["datasets"][0]
    array = group[level["path"]]
    if not isinstance(array, zarr.Array) or any(side != 1 for side in array.shape[:-2]):
        raise LabelsError(f"{path}: labels must be one plane (H, W), got {array}; pass one plane")
    height, width = array.shape[-2:]
    require_sides(path, (height, width), LabelsError)
    pixels = np.asarray(array[...]).reshape(height, width)
    properties = metadata.get("image-label", {}).get("properties", [])
    by_id = {int(each["label-value"]): each for each in properties}
    return StoredLabels(pixels, _mpp(scales["axes"], level), by_id)


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
