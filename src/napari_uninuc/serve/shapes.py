"""Nuclei as the features that QuPath's SAM extension reads: along the corners of their pixels."""

from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt

from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.segmentation import FOUND_COLUMNS, Segmentation
from napari_uninuc.io.geojson import ID, features_of
from napari_uninuc.serve.scale import Scale

__all__ = ["LIKENESS", "feature_of_prompt", "features_of_nuclei"]

LIKENESS = "UniNuc: likeness"
PIXEL_SIZE = "UniNuc: pixel size"
MODEL = "UniNuc: model"
"""Metadata, which QuPath keeps; ``sam_model``, which the protocol has, it does not."""

_NO_SPACE = UUID(int=0)  # ids are left out: QuPath gives its own


def feature_of_prompt(mask: InstanceMask, model: str, scale: Scale) -> list[dict[str, Any]]:
    """Make the one feature of a prompt, an annotation without class; none of an empty mask."""
    if not mask.area:
        return []
    labels = mask.mask.astype(np.int32)
    crop = Segmentation.from_labels(labels)
    (feature,) = features_of(crop, _NO_SPACE, scale.stated, mask.origin_yx, "annotation")
    del feature["properties"]["classification"]
    return [_for_qupath(feature, mask.predicted_iou, model, scale)]


def features_of_nuclei(
    nuclei: Segmentation,
    model: str,
    scale: Scale,
    likeness: npt.NDArray[np.float64] | None = None,
) -> list[dict[str, Any]]:
    """Make a detection of every nucleus, with class, score and measurements.

    Parameters
    ----------
    likeness : (nuclei,) of each row of the table, where there are examples
    """
    places = {int(id_): row for row, id_ in enumerate(nuclei.table["id"])}
    ious = nuclei.table["predicted_iou"].to_numpy(np.float64)
    features = []
    for feature in features_of(nuclei, _NO_SPACE, scale.stated):
        row = places[int(feature["properties"]["measurements"][ID])]
        if likeness is not None:
            feature["properties"]["measurements"][LIKENESS] = round(float(likeness[row]), 4)
        features.append(_for_qupath(feature, float(ious[row]), model, scale))
    return features


def _for_qupath(
    feature: dict[str, Any], quality: float, model: str, scale: Scale
) -> dict[str, Any]:
    """Take away what only a file needs, and add what samapi answers; never `object_idx`."""
    del feature["id"]
    properties = feature["properties"]
    for name in (ID, *FOUND_COLUMNS):  # boxes would not move along to where the crop lies
        properties["measurements"].pop(name, None)
    properties["metadata"] = {PIXEL_SIZE: str(scale), MODEL: model}
    return feature | {
        "properties": properties
        | {"label": "nucleus", "quality": round(quality, 4), "sam_model": model}
    }
