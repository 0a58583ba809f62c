"""A saved classifier at work: nuclei that were found get the classes a person has taught."""

from collections.abc import Generator
from dataclasses import replace

from napari_uninuc.core.classifier import Taught
from napari_uninuc.core.geometry import Field
from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.annotator import TorchAnnotator
from napari_uninuc.engine.classing import found_classed
from napari_uninuc.engine.protocol import FoundNucleus
from napari_uninuc.network.card import ModelCard

__all__ = ["ClassifyingAnnotator"]


class ClassifyingAnnotator(TorchAnnotator):
    """A `TorchAnnotator` whose automatic nuclei have the classes that were taught."""

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
        found = super().segment_field(tile, field, score_threshold)
        return found_classed(self.describe, tile, found, self.taught)

    def segment_steps(
        self, tile: Tile, field: Field, score_threshold: float
    ) -> Generator[None, None, list[FoundNucleus]]:
        """Find the nuclei of a field step by step; see `Annotator`."""
        found = yield from super().segment_steps(tile, field, score_threshold)
        return found_classed(self.describe, tile, found, self.taught)
