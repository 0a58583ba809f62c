"""What a labels layer says of its nuclei besides their pixels: features, classes, colours."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from napari_uninuc.core.classes import ClassPalette, NucleusClass
from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.gui.layers.colours import NucleusColormap
from napari_uninuc.io.colours import hex_of

__all__ = ["CLASSES_KEY", "segmentation_of"]

_ID_COLUMNS = ("id", "index", "label")
CLASSES_KEY = "uninuc_classes"
"""Of a layer's metadata: class name -> ``#rrggbb``, in the order of the classes."""


def segmentation_of(data: npt.ArrayLike, attributes: Mapping[str, Any]) -> Segmentation:
    """Make a segmentation of a labels layer.

    Parameters
    ----------
    data : (H, W) integers, 0 background
    attributes : of the layer, by name. Of its features class, score and status are kept; a
        column id, index or label names the nucleus, else row i is nucleus i

    Raises
    ------
    LabelsError
        The layer is not one plane of integers.
    """
    bare = Segmentation.from_labels(np.asarray(data))
    features = attributes.get("features")
    if features is not None and not features.empty:
        bare = _with_features(bare, features)
    return Segmentation(bare.labels, bare.table, {}, _classes_of(bare, attributes))


def _with_features(segmentation: Segmentation, features: pd.DataFrame) -> Segmentation:
    key = next((name for name in _ID_COLUMNS if name in features.columns), None)
    if key is None:
        rows = features.reset_index(drop=True)
    else:
        rows = features.drop_duplicates(key).set_index(key)
    table = segmentation.table.copy()
    ids = table["id"]
    if "class" in rows.columns:
        named = ids.map(rows["class"]).astype(object)
        said = named.notna() & (named != "")
        table["class"] = named.where(said, table["class"]).astype(str)
    if "score" in rows.columns:
        table["score"] = pd.to_numeric(ids.map(rows["score"]), errors="coerce").astype(float)
    if "status" in rows.columns:
        table["status"] = ids.map(rows["status"]).fillna("").astype(str)
    return Segmentation(segmentation.labels, table, segmentation.timings)


def _classes_of(segmentation: Segmentation, attributes: Mapping[str, Any]) -> ClassPalette | None:
    """Take colours of classes from what our reader left, else from the layer's colours.

    The layer's count only where it has one colour a class, and not the same for all.
    """
    stored = (attributes.get("metadata") or {}).get(CLASSES_KEY)
    if isinstance(stored, dict):
        listed = {str(name): str(colour) for name, colour in stored.items() if str(name).strip()}
        if listed and all(re.fullmatch("#[0-9a-f]{6}", each) for each in listed.values()):
            return ClassPalette(tuple(NucleusClass(*each) for each in listed.items()))
    colormap: Any = attributes.get("colormap")
    if not hasattr(colormap, "color_dict") or segmentation.table.empty:
        return None
    table = segmentation.table
    # Not `map`: napari's own asks for numba where ids are above 65,536.
    others = colormap.color_dict.get(None, np.zeros(4))
    shown = (
        colormap.map(table["id"].to_numpy())
        if isinstance(colormap, NucleusColormap)
        else np.array([colormap.color_dict.get(id_, others) for id_ in table["id"].tolist()])
    )
    colours = np.rint(255 * shown[:, :3]).astype(int)
    shown_as = zip(table["class"].astype(str), map(tuple, colours.tolist()), strict=True)
    pairs = [(name, hex_of(list(colour))) for name, colour in dict.fromkeys(shown_as)]
    names = [name for name, _ in pairs if name.strip()]
    if len(names) != len(pairs) or len(set(names)) != len(names):
        return None
    return ClassPalette(tuple(NucleusClass(name, str(colour)) for name, colour in pairs))
