"""Classes from a source of classes, given to nuclei that were found; no torch here."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.names import NUCLEUS, plain
from napari_uninuc.core.segmentation import CLASS_BY, CLASS_PROBABILITY, Segmentation
from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.class_sources import ClassSource
from napari_uninuc.engine.protocol import FoundNucleus
from napari_uninuc.errors import PromptError

__all__ = ["classed", "found_classed", "meant_of", "only_named"]


def classed(tile: Tile, nuclei: Segmentation, source: ClassSource) -> Segmentation:
    """Give all nuclei of a tile the classes of a source.

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
    ids, likely = _classes_of(tile, masks, source)
    names = np.array(source.palette.names, dtype=object)[ids]
    table["class"], table[CLASS_PROBABILITY] = names.astype(str), likely
    table[CLASS_BY] = source.by
    return replace(nuclei, table=table, classes=source.palette)


def found_classed(
    tile: Tile, found: Sequence[FoundNucleus], source: ClassSource
) -> list[FoundNucleus]:
    """Give the nuclei of one field their class ids.

    They are described with those of the same field beside them: at its border they have fewer
    neighbours than on a picture that is seen whole.
    """
    ids, _ = _classes_of(tile, [nucleus.mask for nucleus in found], source)
    return [
        nucleus._replace(mask=replace(nucleus.mask, class_id=int(class_id)))
        for nucleus, class_id in zip(found, ids, strict=True)
    ]


def meant_of(text: str, names: Sequence[str]) -> str:
    """The name that a text means, see `core.names.plain`.

    Raises
    ------
    PromptError
        It means none of them; says which there are.
    """
    meant = plain(text, (*names, NUCLEUS))
    if meant is None:
        raise PromptError(
            f"expected a name that is known here ({', '.join(names)}), got {text!r}; no other can "
            "be found by name, teach it by a few clicks (docs/classes.md)"
        )
    return meant


def only_named(nuclei: Segmentation, text: str, names: Sequence[str]) -> Segmentation:
    """Keep the nuclei of the class that a text means; of all nuclei, all.

    Parameters
    ----------
    names : classes that the nuclei may have

    Raises
    ------
    PromptError
        As `meant_of`.
    """
    meant = meant_of(text, names)
    if meant not in names:
        return nuclei
    if meant not in nuclei.palette.names:  # there is none, and nothing has told of the class
        nuclei = replace(nuclei, classes=ClassPalette.of_names(tuple(names)))
    return nuclei.only(class_name=meant)


def _classes_of(
    tile: Tile, masks: Sequence[InstanceMask], source: ClassSource
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """Class id and its probability for each of all nuclei of a tile, (N,) both."""
    if not masks:
        return np.zeros(0, np.intp), np.zeros(0)
    likely = source.probabilities(tile, masks)
    return likely.argmax(axis=1), likely.max(axis=1)
