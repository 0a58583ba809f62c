"""What the rest of the program may ask of an engine; no torch here."""

from typing import Any, Protocol

from napari_uninuc.core.detections import Detections
from napari_uninuc.core.geometry import Field
from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.requests import DecodedMasks, PromptBatch

__all__ = ["Engine", "Proposer"]


class Engine(Protocol):
    """Encodes fields of a tile once and answers prompts from the cached embedding."""

    def fields(self, tile: Tile) -> list[Field]:
        """Cover a tile with fields the model can encode."""
        ...

    def embed(self, tile: Tile, field: Field) -> Any:
        """Encode a field, or return its cached embedding."""
        ...

    def decode(
        self, embedding: Any, prompts: PromptBatch, *, candidates: bool = False
    ) -> DecodedMasks:
        """Answer prompts; only the prompt encoder and the mask decoder run."""
        ...


class Proposer(Protocol):
    """Turns an embedding into boxes worth prompting, in px of the tile."""

    def propose(self, embedding: Any) -> Detections:
        """All proposals with their scores, unthresholded, in px of the tile."""
        ...
