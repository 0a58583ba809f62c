"""What the manifest names: sample data, readers and writers. Loaded by napari on first use."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from napari_uninuc.datasets.sample import immunohistochemistry_tile
from napari_uninuc.errors import ImageError
from napari_uninuc.gui.frames import (
    Frame,
    counts_from_slide,
    frame_of_outlines,
    frame_of_shape,
    name_shown,
)
from napari_uninuc.gui.layers.colours import class_colormap
from napari_uninuc.gui.layers.layer_tables import CLASSES_KEY, segmentation_of
from napari_uninuc.gui.slides.layer import SCANNER_SUFFIXES, scaled_in_um, slide_layer_data
from napari_uninuc.gui.window.notices import tell, warn
from napari_uninuc.io.formats import write_segmentation
from napari_uninuc.io.images import read_image_with_notice
from napari_uninuc.io.json_kind import Kind, kind_of_json
from napari_uninuc.io.labels import read_segmentation
from napari_uninuc.io.ome_zarr_labels import read_zarr_picture, zarr_holds_our_labels
from napari_uninuc.io.outline_formats import OutlineFormat, outline_format_of
from napari_uninuc.io.stored import StoredSegmentation
from napari_uninuc.io.tiff import tiff_holds_our_labels
from napari_uninuc.slides.label_levels import LabelLevels, is_large_pyramid, label_levels
from napari_uninuc.slides.opening import is_slide, look_at_slide

__all__ = ["open_sample", "read_nuclei_file", "read_slide_file", "write_labels_layer"]

_KINDS: Mapping[str, Kind] = {
    ".geojson": "geojson",
    ".geojson.gz": "geojson",
    ".coco.json": "coco",
}

LayerData = tuple[Any, dict[str, Any], str]


def open_sample() -> list[LayerData]:
    """Open scikit-image's immunohistochemistry tile as one RGB image layer.

    Returns
    -------
    layers : one layer data tuple, pixels (512, 512, 3) uint8
    """
    tile = immunohistochemistry_tile()
    return [(tile.rgb, {"name": tile.name, "rgb": True}, "image")]


# -- files into layers ----------------------------------------------------------------------


def read_nuclei_file(path: str | list[str]) -> Callable[[str], list[LayerData]] | None:
    """Offer to read a file of nuclei; None, quickly, for what is not certain to be one.

    Parameters
    ----------
    path : ``.geojson``, ``.geojson.gz``, ``.coco.json``, and what its beginning tells to be one
        of these in any ``.json``; what `OUTLINE_FORMATS` knows; ``_seg.npy``; ``.ome.tif`` and
        ``.ome.zarr`` only where we wrote them. Other label images are napari's own to open
    """
    if not isinstance(path, str):
        return None
    name = path.rstrip("/\\").lower()
    kind = _kind_of(Path(path), name)
    if kind is not None:
        return lambda chosen: _outlines(Path(chosen), kind)
    if name.endswith("_seg.npy"):
        return _layers
    if name.endswith((".ome.tif", ".ome.tiff")) and tiff_holds_our_labels(Path(path)):
        return _layers
    if not name.endswith(".zarr") or not zarr_holds_our_labels(Path(path)):
        return None
    return _label_pyramid if is_large_pyramid(Path(path)) else _layers


def _kind_of(path: Path, name: str) -> Kind | OutlineFormat | None:
    form = outline_format_of(path)
    if form is not None:
        return form
    told = next((kind for suffix, kind in _KINDS.items() if name.endswith(suffix)), None)
    if told is None and name.endswith((".json", ".json.gz")) and path.is_file():
        return kind_of_json(path)
    return told


def _label_pyramid(path: str) -> list[LayerData]:
    """Show the labels of a whole slide, of which only what is seen is read."""
    stored = label_levels(Path(path))
    described = {"name": Path(path).name, "multiscale": True, **_placed(stored)}
    return [(stored.levels, described, "labels")]


def read_slide_file(path: str | list[str]) -> Callable[[str], list[LayerData]] | None:
    """Offer to open a slide lazily; None for what is none.

    Parameters
    ----------
    path : of a scanner's file, a pyramidal TIFF or an OME-Zarr folder. A TIFF that is a picture
        of its own is offered to be opened as such, since who chose this plugin for TIFF files in
        napari's dialog is not asked again
    """
    if not isinstance(path, str) or read_nuclei_file(path) is not None:
        return None  # nuclei with their picture are nuclei
    source, name = Path(path), path.rstrip("/\\").lower()
    if name.endswith(SCANNER_SUFFIXES) or is_slide(source):
        return lambda chosen: [slide_layer_data(Path(chosen))]
    return _picture if name.endswith((".tif", ".tiff")) and _is_rgb_picture(source) else None


def _is_rgb_picture(path: Path) -> bool:
    try:
        look_at_slide(path).close()
    except ImageError:
        return False
    return True


def _picture(path: str) -> list[LayerData]:
    """Read one picture; raises ImageError as `read_image_with_notice` does."""
    tile, notice = read_image_with_notice(path)
    if notice:
        warn(notice)
    placed = {} if tile.mpp is None else scaled_in_um(tile.mpp)
    return [(tile.rgb, {"name": tile.name, "rgb": True, **placed}, "image")]


def _outlines(source: Path, kind: Kind | OutlineFormat) -> list[LayerData]:
    """Read outlines onto the picture they belong to, and say which that is.

    Raises LabelsError as `read_segmentation` and `frame_of_outlines` do.
    """
    frame = frame_of_outlines(source, kind)
    if frame is None:
        stored = read_segmentation(source, picture=name_shown())
        frame = _frame_of_same_size(stored)
    else:
        origin = frame.origin_yx_file if counts_from_slide(kind) else None
        stored = read_segmentation(source, frame.shape, origin, name_shown())
    _warn(source, stored)
    if frame is not None:
        tell(f"{source.name}: {len(stored.segmentation.table)} nuclei, {frame.words}.")
    if frame is None or frame.placement is None:
        return [_labels_layer(stored, _placed(stored))]
    return [_labels_layer(stored, frame.placement.keywords())]


def _layers(path: str) -> list[LayerData]:
    """Read one file; raises LabelsError as `read_segmentation` does."""
    source = Path(path)
    stored = read_segmentation(source)
    _warn(source, stored)
    frame = None if source.is_dir() else _frame_of_same_size(stored)
    if frame is not None and frame.placement is not None:
        return [_labels_layer(stored, frame.placement.keywords())]
    placed = _placed(stored)
    rgb = read_zarr_picture(source) if source.is_dir() else None
    picture = [] if rgb is None else [(rgb, {"name": source.name, "rgb": True, **placed}, "image")]
    return [*picture, _labels_layer(stored, placed)]


def _frame_of_same_size(stored: StoredSegmentation) -> Frame | None:
    """The picture on which nuclei lie whose file tells neither scale nor place."""
    told = stored.mpp is not None or any(stored.origin_yx_slide)
    return None if told else frame_of_shape(stored.segmentation.labels.shape)


def _warn(source: Path, stored: StoredSegmentation) -> None:
    if stored.notice:
        warn(f"{source.name}: {stored.notice}")


def _labels_layer(stored: StoredSegmentation, placed: dict[str, Any]) -> LayerData:
    table, palette = stored.segmentation.table, stored.segmentation.palette
    features = table.rename(columns={"id": "index"}).drop(columns=["y0", "x0", "y1", "x1"])
    class_ids = table["class"].map({each: k for k, each in enumerate(palette.names)})
    described: dict[str, Any] = {
        "name": "nuclei",
        "features": features,
        "metadata": {CLASSES_KEY: {each.name: each.colour for each in palette.classes}},
        "colormap": class_colormap(
            palette, table["id"].to_numpy(np.int64), class_ids.to_numpy(np.int64)
        ),
    }
    return stored.segmentation.labels, {**described, **placed}, "labels"


def _placed(stored: StoredSegmentation | LabelLevels) -> dict[str, Any]:
    step = 1.0 if stored.mpp is None else stored.mpp
    y, x = stored.origin_yx_slide
    unit = "pixel" if stored.mpp is None else "micrometer"
    return {"scale": (step, step), "translate": (y * step, x * step), "units": (unit, unit)}


# -- layers into files ----------------------------------------------------------------------


def write_labels_layer(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write one labels layer in the format the path's suffix names.

    Parameters
    ----------
    path : where to; its suffix is a key of `napari_uninuc.io.formats.FORMATS`
    data : (H, W) integers, 0 background
    meta : the layer's attributes. A scale in micrometres becomes the file's, the translation
        the place on the slide in whole px; the feature columns class, score and status are
        kept. A column id, index or label names the nucleus, else row i is nucleus i

    Returns
    -------
    paths : the one written

    Raises
    ------
    LabelsError
        The layer is not one plane of integers.
    OutputError
        The file cannot be written.
    """
    segmentation = segmentation_of(data, meta)
    written = write_segmentation(
        segmentation, path, mpp=_layer_mpp(meta), origin_yx_slide=_layer_origin(meta)
    )
    return [str(written)]


def _layer_mpp(meta: dict[str, Any]) -> float | None:
    """Read micrometres per px from a layer's scale, None unless it says micrometres."""
    scale = [float(value) for value in meta.get("scale", ())]
    units = [str(unit) for unit in meta.get("units") or ()]
    if len(scale) != 2 or units != ["micrometer"] * 2 or not math.isclose(*scale):
        return None
    return scale[0] if scale[0] > 0 else None


def _layer_origin(meta: dict[str, Any]) -> tuple[int, int]:
    """Divide a layer's translation by its scale: its first pixel on the slide, whole px."""
    scale = [float(value) for value in meta.get("scale", ())]
    offset = [float(value) for value in meta.get("translate", ())]
    if len(scale) != 2 or len(offset) != 2 or not all(scale):
        return 0, 0
    return round(offset[0] / scale[0]), round(offset[1] / scale[1])
