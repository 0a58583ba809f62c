"""What the manifest names: sample data and writers. Loaded by napari on first use."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.datasets.sample import immunohistochemistry_tile
from napari_uninuc.io.formats import write_segmentation

__all__ = ["open_sample", "write_labels_layer"]

_ID_COLUMNS = ("id", "index", "label")


def open_sample() -> list[tuple[npt.NDArray[np.uint8], dict[str, Any], str]]:
    """Open scikit-image's immunohistochemistry tile as one RGB image layer.

    Returns
    -------
    layers : one layer data tuple, pixels (512, 512, 3) uint8
    """
    tile = immunohistochemistry_tile()
    return [(tile.rgb, {"name": tile.name, "rgb": True}, "image")]


def write_labels_layer(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write one labels layer in the format the path's suffix names.

    Parameters
    ----------
    path : where to; its suffix is a key of `napari_uninuc.io.formats.FORMATS`
    data : (H, W) integers, 0 background
    meta : the layer's attributes. A scale in micrometres becomes the file's; the feature
        columns class and score are kept where a column id, index or label names the nucleus

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
    segmentation = Segmentation.from_labels(np.asarray(data))
    features = meta.get("features")
    if features is not None and not features.empty:
        segmentation = _with_features(segmentation, features)
    return [str(write_segmentation(segmentation, path, mpp=_layer_mpp(meta)))]


def _with_features(segmentation: Segmentation, features: pd.DataFrame) -> Segmentation:
    key = next((name for name in _ID_COLUMNS if name in features.columns), None)
    if key is None:
        return segmentation
    rows = features.drop_duplicates(key).set_index(key)
    table = segmentation.table.copy()
    if "class" in rows.columns:
        table["class"] = table["id"].map(rows["class"]).fillna(table["class"]).astype(str)
    if "score" in rows.columns:
        table["score"] = pd.to_numeric(table["id"].map(rows["score"]), errors="coerce")
    return Segmentation(segmentation.labels, table, segmentation.timings)


def _layer_mpp(meta: dict[str, Any]) -> float | None:
    """Read micrometres per px from a layer's scale, None unless it says micrometres."""
    scale = [float(value) for value in meta.get("scale", ())]
    units = [str(unit) for unit in meta.get("units") or ()]
    if len(scale) != 2 or units != ["micrometer"] * 2 or not math.isclose(*scale):
        return None
    return scale[0] if scale[0] > 0 else None
