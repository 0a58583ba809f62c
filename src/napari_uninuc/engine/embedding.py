"""What is computed once for a field of a tile."""

from dataclasses import dataclass

from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.cache import EmbeddingKey
from napari_uninuc.engine.frame import Frame
from napari_uninuc.network.uninuc import Embedding

__all__ = ["TileEmbedding"]


@dataclass(frozen=True, slots=True, eq=False)
class TileEmbedding:
    """All that is computed once for a field: where it lies, and its features on the device.

    Attributes
    ----------
    frame : where the field lies
    embedding : features on the device. Without ``detection`` where a backbone of the detector's own
        makes it: a click needs none
    seconds : what encoding took just now; 0.0 where the features came from a cache
    tile : whose field it is
    key : everything it depends on
    """

    frame: Frame
    embedding: Embedding
    seconds: float
    tile: Tile
    key: EmbeddingKey

    @property
    def nbytes(self) -> int:
        """Bytes of the features."""
        parts = self.embedding
        tensors = [*parts.maps, *parts.detection, parts.auxiliary]
        return sum(tensor.nbytes for tensor in tensors if tensor is not None)
