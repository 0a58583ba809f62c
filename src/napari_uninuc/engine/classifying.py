"""A source of classes at work: nuclei that were found get the classes that it tells."""

from collections.abc import Generator
from dataclasses import replace

from napari_uninuc.core.geometry import Field
from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.annotator import TorchAnnotator
from napari_uninuc.engine.class_sources import ClassSource
from napari_uninuc.engine.classing import found_classed
from napari_uninuc.engine.protocol import FoundNucleus
from napari_uninuc.network.card import ModelCard

__all__ = ["ClassifyingAnnotator"]


class ClassifyingAnnotator(TorchAnnotator):
    """A `TorchAnnotator` whose automatic nuclei have the classes of a source."""

    source: ClassSource

    @classmethod
    def around(cls, annotator: TorchAnnotator, source: ClassSource) -> "ClassifyingAnnotator":
        """Take over an annotator's engine."""
        made = cls(annotator.engine, annotator.notice)
        made.source = source
        return made

    @property
    def card(self) -> ModelCard:
        """The model's, with the classes of the source."""
        return replace(self.engine.card, classes=self.source.palette.names)

    def segment_field(self, tile: Tile, field: Field, score_threshold: float) -> list[FoundNucleus]:
        """Find the nuclei of a field; see `Annotator`."""
        found = super().segment_field(tile, field, score_threshold)
        return found_classed(tile, found, self.source)

    def segment_steps(
        self, tile: Tile, field: Field, score_threshold: float
    ) -> Generator[None, None, list[FoundNucleus]]:
        """Find the nuclei of a field step by step; see `Annotator`."""
        found = yield from super().segment_steps(tile, field, score_threshold)
        return found_classed(tile, found, self.source)
