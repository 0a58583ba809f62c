"""OME-Zarr (NGFF 0.4 or 0.5): the label image, beneath its picture where there is one.

Written with zarr alone: the metadata is a few plain values, and writing them here keeps the
label list free of duplicates and both pyramids at the same number of levels, as NGFF demands.
"""

import math
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import zarr

from napari_uninuc.core.segmentation import CLASS_PROBABILITY, Segmentation
from napari_uninuc.core.tile import Tile
from napari_uninuc.errors import OutputError
from napari_uninuc.io.colours import GREY, rgb_by_class
from napari_uninuc.io.ome_zarr_labels import OUR_CLASSES, OUR_NAME
from napari_uninuc.io.targets import replacing

__all__ = ["SMALLEST_LEVEL", "class_list", "image_label", "multiscales", "write_ome_zarr"]

_CHUNK_SIDE = 512
SMALLEST_LEVEL = 256
"""Longest side, px, at which the pyramid stops."""

_COLOURS = {"Red": "FF0000", "Green": "00FF00", "Blue": "0000FF"}


def write_ome_zarr(
    segmentation: Segmentation,
    path: Path,
    mpp: float | None = None,
    tile: Tile | None = None,
    version: Literal["0.4", "0.5"] = "0.4",
    origin_yx_slide: tuple[int, int] | None = None,
) -> None:
    """Write the segmentation as OME-Zarr, with colour, class, score and status of every id.

    Parameters
    ----------
    segmentation : labels are stored as int32
    path : the folder; an earlier OME-Zarr there is replaced whole or not at all
    mpp : micrometres per px; None writes a scale of 1 without a unit
    tile : the picture. With it, the folder is the RGB image and the labels are its
        ``labels/nuclei``; without it the folder itself is the label image
    version : of NGFF; 0.4 is zarr v2, which most programs read, 0.5 is zarr v3
    origin_yx_slide : first pixel on the slide, px; None takes the tile's, else (0, 0). The
        translation of picture and labels

    Raises
    ------
    OutputError
        The picture's shape is not that of the labels, or the folder cannot be written.

    Examples
    --------
    >>> from pathlib import Path
    >>> import zarr
    >>> from napari_uninuc import Segmentation
    >>> from napari_uninuc.io.ome_zarr import write_ome_zarr
    >>> from napari_uninuc.testing import make_tile
    >>> tissue = make_tile((64, 64), n_nuclei=3)
    >>> nuclei = Segmentation.from_labels(tissue.labels)

    >>> write_ome_zarr(nuclei, Path("tissue.ome.zarr"), mpp=0.25, tile=tissue.tile)
    >>> group = zarr.open_group("tissue.ome.zarr", mode="r")
    >>> group["0"].shape, group["labels/nuclei/0"].shape, str(group["labels/nuclei/0"].dtype)
    ((3, 64, 64), (64, 64), 'int32')
    """
    if tile is not None and tile.shape != segmentation.labels.shape:
        raise OutputError(
            f"{path}: picture and labels must have one shape, got {tile.shape} and "
            f"{segmentation.labels.shape}; pass the picture that was segmented"
        )
    origin = origin_yx_slide
    if origin is None:
        origin = (0, 0) if tile is None else tile.origin_yx_slide
    with replacing(path, folder=True) as part:
        root = zarr.open_group(str(part), mode="w", zarr_format=2 if version == "0.4" else 3)
        if tile is None:
            attributes = _write_labels(root, segmentation, mpp, origin, version, None)
        else:
            attributes = _write_image(root, tile, mpp, origin, version)
            labels = root.create_group("labels")
            _set_attributes(labels, {"labels": [OUR_NAME]}, version)
            group = labels.create_group(OUR_NAME)
            nested = _write_labels(group, segmentation, mpp, origin, version, "../../")
            _set_attributes(group, nested, version)
        _set_attributes(root, attributes, version)


def _write_image(
    group: zarr.Group,
    tile: Tile,
    mpp: float | None,
    origin_yx: tuple[int, int],
    version: str,
) -> dict[str, Any]:
    levels = [np.moveaxis(tile.rgb, -1, 0)]  # (3, H, W)
    while max(levels[-1].shape) > SMALLEST_LEVEL:
        levels.append(_halved_by_mean(levels[-1]))
    _write_levels(group, levels, "cyx", version)
    channels = [
        {
            "label": name,
            "color": colour,
            "active": True,
            "window": {"min": 0, "max": 255, "start": 0, "end": 255},
        }
        for name, colour in _COLOURS.items()
    ]
    name = tile.name or "image"
    scales = multiscales(name, "cyx", len(levels), mpp, origin_yx, version)
    return {"multiscales": scales, "omero": {"channels": channels, "rdefs": {"model": "color"}}}


def _write_labels(
    group: zarr.Group,
    segmentation: Segmentation,
    mpp: float | None,
    origin_yx: tuple[int, int],
    version: str,
    image: str | None,
) -> dict[str, Any]:
    levels = [segmentation.labels]
    while max(levels[-1].shape) > SMALLEST_LEVEL:
        levels.append(levels[-1][::2, ::2])
    _write_levels(group, levels, "yx", version)
    label: dict[str, Any] = {"version": version} if version == "0.4" else {}
    label |= image_label(segmentation)
    if image is not None:
        label["source"] = {"image": image}
    scales = multiscales(OUR_NAME, "yx", len(levels), mpp, origin_yx, version)
    return {"multiscales": scales, "image-label": label, OUR_CLASSES: class_list(segmentation)}


def image_label(segmentation: Segmentation) -> dict[str, Any]:
    """Describe every id as "image-label" of NGFF does: its colour, class, score and status."""
    properties = _properties(segmentation)
    if not properties:  # NGFF wants at least one, or none of the key
        return {}
    return {"colors": _colours(segmentation), "properties": properties}


def class_list(segmentation: Segmentation) -> list[dict[str, Any]]:
    """List name and colour of every class, for `OUR_CLASSES`: ids tell only of those in use."""
    return [{"name": n, "color": list(rgb)} for n, rgb in rgb_by_class(segmentation).items()]


def _halved_by_mean(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Average 2 x 2 blocks of a (3, H, W) image; an odd side repeats its last pixel."""
    _, height, width = image.shape
    even = np.pad(image, ((0, 0), (0, height % 2), (0, width % 2)), mode="edge").astype(np.uint16)
    rows = even[:, ::2] + even[:, 1::2]
    total: npt.NDArray[np.uint16] = rows[:, :, ::2] + rows[:, :, 1::2]
    return ((total + np.uint16(2)) // np.uint16(4)).astype(np.uint8)


def _write_levels(
    group: zarr.Group, levels: list[npt.NDArray[Any]], axes: str, version: str
) -> None:
    for index, level in enumerate(levels):
        chunks = tuple(min(side, _CHUNK_SIDE) for side in level.shape)
        layout: dict[str, Any] = {"dimension_names": list(axes)}
        if version == "0.4":
            layout = {"chunk_key_encoding": {"name": "v2", "separator": "/"}}
        array = group.create_array(
            str(index), shape=level.shape, dtype=level.dtype, chunks=chunks, fill_value=0, **layout
        )
        array[...] = level


def multiscales(
    name: str,
    axes: str,
    count: int,
    mpp: float | None,
    origin_yx: tuple[int, int],
    version: str,
) -> list[dict[str, Any]]:
    """Describe a pyramid whose level i is 2**i times coarser in y and x.

    Parameters
    ----------
    axes : yx or cyx
    count : number of levels
    mpp : micrometres per px of level 0; None writes a scale of 1 without a unit
    origin_yx : first pixel on the slide, px
    version : of NGFF, 0.4 or 0.5

    Returns
    -------
    multiscales : the NGFF attribute of that name
    """
    unit = {} if mpp is None else {"unit": "micrometer"}
    step = 1.0 if mpp is None else mpp
    spatial = [{"name": axis, "type": "space", **unit} for axis in "yx"]
    leading = [{"name": "c", "type": "channel"}] if axes == "cyx" else []
    ones, zeros = [1.0] * len(leading), [0.0] * len(leading)
    offset = [value * step for value in origin_yx]
    datasets = []
    for index in range(count):
        scale = [*ones, step * 2**index, step * 2**index]
        transforms: list[dict[str, Any]] = [{"type": "scale", "scale": scale}]
        if any(offset):
            transforms.append({"type": "translation", "translation": [*zeros, *offset]})
        datasets.append({"path": str(index), "coordinateTransformations": transforms})
    written = {"version": version} if version == "0.4" else {}
    return [{"name": name, "axes": [*leading, *spatial], "datasets": datasets, **written}]


def _properties(segmentation: Segmentation) -> list[dict[str, Any]]:
    table = segmentation.table
    statuses = table["status"] if "status" in table.columns else [""] * len(table)
    likely = table.get(CLASS_PROBABILITY, [math.nan] * len(table))
    return [
        {"label-value": int(label), "class": str(name)}
        | ({"score": round(float(score), 6)} if math.isfinite(score) else {})
        | ({"status": str(status)} if status else {})
        | ({CLASS_PROBABILITY: round(float(sure), 6)} if math.isfinite(sure) else {})
        for label, name, score, sure, status in zip(
            table["id"], table["class"], table["score"], likely, statuses, strict=True
        )
    ]


def _colours(segmentation: Segmentation) -> list[dict[str, Any]]:
    rgb = rgb_by_class(segmentation)
    table = segmentation.table
    return [
        {"label-value": int(label), "rgba": [*rgb.get(str(name), GREY), 255]}
        for label, name in zip(table["id"], table["class"], strict=True)
    ]


def _set_attributes(group: zarr.Group, attributes: dict[str, Any], version: str) -> None:
    if version == "0.5":
        attributes = {"ome": {"version": version, **attributes}}
    group.attrs.update(attributes)
