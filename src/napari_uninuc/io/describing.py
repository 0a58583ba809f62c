"""What a file of pixels says of each nucleus, put into the table."""

from pathlib import Path

import numpy as np
import pandas as pd

from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.errors import LabelsError
from napari_uninuc.io.ome_zarr_labels import StoredLabels
from napari_uninuc.io.painting import palette_of
from napari_uninuc.io.stated import DEFAULT_CLASS, checked_score, checked_status, clean_name

__all__ = ["described"]


def described(source: Path, segmentation: Segmentation, stored: StoredLabels) -> Segmentation:
    """Add what a file says of each id: class, score, status and colours.

    Parameters
    ----------
    source : the file, for the error
    segmentation : of its pixels

    Raises
    ------
    LabelsError
        A score that is none.
    """
    if not stored.properties and not stored.rgb and not stored.classes:
        return segmentation
    table = segmentation.table.copy()
    known = [stored.properties.get(label, {}) for label in table["id"].tolist()]
    try:
        table["score"] = np.array([checked_score(each.get("score")) for each in known], np.float64)
    except LabelsError as problem:
        raise LabelsError(f"{source}: {problem}") from None
    names = [clean_name(each.get("class") or "") or DEFAULT_CLASS for each in known]
    table["class"] = pd.Series(names, dtype=str)
    if any("status" in each for each in known):
        statuses = [checked_status(each.get("status")) for each in known]
        table["status"] = pd.Series(statuses, dtype=str)
    colours = {name: colour or "" for name, colour in stored.classes if name}
    for label, name in zip(table["id"].tolist(), names, strict=True):
        if label in stored.rgb:
            colours[name] = colours.get(name) or stored.rgb[label]
    return Segmentation(segmentation.labels, table, {}, palette_of(colours))
