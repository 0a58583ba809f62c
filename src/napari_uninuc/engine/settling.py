"""Nuclei of all fields become one picture; whoever outlines a picture settles it here."""

from collections.abc import Mapping, Sequence

import numpy as np

from napari_uninuc.core.instances import resolved
from napari_uninuc.core.segmentation import FOUND_COLUMNS, Segmentation
from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.protocol import FoundNucleus
from napari_uninuc.engine.settings import SegmentSettings, fewest_px

__all__ = ["settled"]


def settled(
    found: Sequence[FoundNucleus],
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
    found : in all fields of `tile`, px of the tile; may overlap
    class_names : name of each class id
    model_mpp : micrometres per px of the model, which a tile without a scale is taken to have
    timings : seconds by step
    min_area_um2 : smaller nuclei are dropped; None takes `SegmentSettings`' default

    Returns
    -------
    segmentation : its table has columns more: predicted_iou, and `FOUND_COLUMNS`
    """
    defaults = SegmentSettings()
    area = defaults.min_area_um2 if min_area_um2 is None else min_area_um2
    kept = list(
        resolved(
            [each.mask for each in found],
            tile.shape,
            defaults.max_overlap,
            fewest_px(area, tile.mpp or model_mpp),
        )
    )
    result = Segmentation.from_instances(
        [mask for _, mask in kept], tile.shape, class_names, timings
    )
    rows = result.table["id"].to_numpy() - 1
    ious = np.array([mask.predicted_iou for _, mask in kept], np.float64)
    result.table["predicted_iou"] = ious[rows]
    boxes = np.array([found[place].box_yxyx for place, _ in kept], np.float64).reshape(-1, 4)
    for name, side in zip(FOUND_COLUMNS, boxes[rows].T, strict=True):
        result.table[name] = side
    return result
