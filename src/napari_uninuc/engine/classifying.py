"""A saved classifier at work: nuclei that were found get the classes a person has taught."""

from collections.abc import Generator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from napari_uninuc.core.classifier import Taught
from napari_uninuc.core.geometry import Field
from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.segmentation import CLASS_BY, CLASS_PROBABILITY, Segmentation
from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.annotator import TorchAnnotator
from napari_uninuc.engine.describing import describe_nuclei
from napari_uninuc.engine.protocol import FoundNucleus
from napari_uninuc.engine.torch_engine import TorchEngine
from napari_uninuc.network.card import ModelCard

__all__ = ["ClassifyingAnnotator", "classes_of", "classified"]


def classes_of(
    engine: TorchEngine, tile: Tile, masks: Sequence[InstanceMask], taught: Taught
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """Class id and its probability for each of all nuclei of a tile, (N,) both."""
    if not masks:
        return np.zeros(0, np.intp), np.zeros(0)
    likely = taught.classifier.probabilities(describe_nuclei(engine, tile, masks))
    return likely.argmax(axis=1), likely.max(axis=1)


def classified(
    engine: TorchEngine, tile: Tile, nuclei: Segmentation, taught: Taught
) -> Segmentation:
    """Give nuclei of a tile the classes that were taught.

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
    ids, likely = classes_of(engine, tile, masks, taught)
    names = np.array(taught.palette.names, dtype=object)[ids]
    table["class"], table[CLASS_PROBABILITY] = names.astype(str), likely
    table[CLASS_BY] = "examples"
    return replace(nuclei, table=table, classes=taught.palette)


class ClassifyingAnnotator(TorchAnnotator):
    """A `TorchAnnotator` whose automatic nuclei have the classes that were taught.

    Nuclei are described with those of the same field beside them: at its border they have fewer
    neighbours than on a picture that is seen whole.
    """

    taught: Taught

    @classmethod
    def around(cls, annotator: TorchAnnotator, taught: Taught) -> "ClassifyingAnnotator":
        """Take over an annotator's engine."""
        made = cls(annotator.engine, annotator.notice)
        made.taught = taught
        return made

    @property
    def card(self) -> ModelCard:
        """The model's, with the classes that were taught."""
        return replace(self.engine.card, classes=self.taught.palette.names)

    def segment_field(self, tile: Tile, field: Field, score_threshold: float) -> list[FoundNucleus]:
        """Find the nuclei of a field; see `Annotator`."""
        return self._with_classes(tile, super().segment_field(tile, field, score_threshold))

    def segment_steps(
        self, tile: Tile, field: Field, score_threshold: float
    ) -> Generator[None, None, list[FoundNucleus]]:
        """Find the nuclei of a field step by step; see `Annotator`."""
        found = yield from super().segment_steps(tile, field, score_threshold)
        return self._with_classes(tile, found)

    def _with_classes(self, tile: Tile, found: list[FoundNucleus]) -> list[FoundNucleus]:
        masks = [nucleus.mask for nucleus in found]
        ids, _ = self._where_it_fits(lambda e: classes_of(e, tile, masks, self.taught))
        return [
            nucleus._replace(mask=replace(nucleus.mask, class_id=int(class_id)))
            for nucleus, class_id in zip(found, ids, strict=True)
        ]
