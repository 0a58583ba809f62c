"""Classes that a person has taught, given to nuclei that were found; no torch here."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from napari_uninuc.core.classifier import Taught
from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.segmentation import CLASS_BY, CLASS_PROBABILITY, Segmentation
from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.protocol import FoundNucleus

__all__ = ["Describe", "classed", "found_classed"]

Describe = Callable[[Tile, Sequence[InstanceMask]], npt.NDArray[np.float32]]
"""`engine.protocol.Describer.describe`."""


def classed(describe: Describe, tile: Tile, nuclei: Segmentation, taught: Taught) -> Segmentation:
    """Give all nuclei of a tile the classes that were taught.

    Returns
    -------
    nuclei : with the columns `CLASS_PROBABILITY`, how likely the class is, and `CLASS_BY`
    """
    table = nuclei.table.reset_index(drop=True)
    boxes = table[["y0", "x0", "y1", "x1"]].to_numpy().tolist()
    masks = [
        InstanceMask((y0, x0), nuclei.labels[y0:y1, x0:x1] == id_, 1.0, 0, 1.0)
        for id_, (y0, x0, y1, x1) in zip(table["id"].tolist(), boxes, strict=True)
    ]
    ids, likely = _classes_of(describe, tile, masks, taught)
    names = np.array(taught.palette.names, dtype=object)[ids]
    table["class"], table[CLASS_PROBABILITY] = names.astype(str), likely
    table[CLASS_BY] = "examples"
    return replace(nuclei, table=table, classes=taught.palette)


def found_classed(
    describe: Describe, tile: Tile, found: Sequence[FoundNucleus], taught: Taught
) -> list[FoundNucleus]:
    """Give the nuclei of one field their class ids.

    They are described with those of the same field beside them: at its border they have fewer
    neighbours than on a picture that is seen whole.
    """
    ids, _ = _classes_of(describe, tile, [nucleus.mask for nucleus in found], taught)
    return [
        nucleus._replace(mask=replace(nucleus.mask, class_id=int(class_id)))
        for nucleus, class_id in zip(found, ids, strict=True)
    ]


def _classes_of(
    describe: Describe, tile: Tile, masks: Sequence[InstanceMask], taught: Taught
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """Class id and its probability for each of all nuclei of a tile, (N,) both."""
    if not masks:
        return np.zeros(0, np.intp), np.zeros(0)
    likely = taught.classifier.probabilities(describe(tile, masks))
    return likely.argmax(axis=1), likely.max(axis=1)
