"""Nuclei of all fields become one picture; whoever outlines a picture settles it here."""

from collections.abc import Mapping, Sequence

import numpy as np

from napari_uninuc.core.instances import InstanceMask, resolve_overlaps
from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.settings import SegmentSettings, fewest_px

__all__ = ["settled"]


def settled(
    instances: Sequence[InstanceMask],
    tile: Tile,
    class_names: Sequence[str],
    model_mpp: float | None,
    timings: Mapping[str, float],
    *,
    min_area_um2: float | None = None,
) -> Segmentation:
    """Give every pixel to one nucleus, drop doubles and the tiniest, and number what is left.

    Parameters
    ----------
    instances : of all fields of `tile`, px of the tile; may overlap
    class_names : name of each class id
    model_mpp : micrometres per px of the model, which a tile without a scale is taken to have
    timings : seconds by step
    min_area_um2 : smaller nuclei are dropped; None takes `SegmentSettings`' default

    Returns
    -------
    segmentation : its table has a column more, predicted_iou
    """
    defaults = SegmentSettings()
    area = defaults.min_area_um2 if min_area_um2 is None else min_area_um2
    kept = resolve_overlaps(
        instances,
        tile.shape,
        max_overlap=defaults.max_overlap,
        min_area=fewest_px(area, tile.mpp or model_mpp),
    )
    result = Segmentation.from_instances(kept, tile.shape, class_names, timings)
    ious = np.array([mask.predicted_iou for mask in kept], np.float64)
    result.table["predicted_iou"] = ious[result.table["id"].to_numpy() - 1]
    return result
