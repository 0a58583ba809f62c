"""What a dense decoder makes of a field that was encoded."""

from napari_uninuc.engine.embedding import TileEmbedding
from napari_uninuc.network.dense_decoder import DensePixels, levels_of
from napari_uninuc.network.dense_files import StoredDense

__all__ = ["pixels_of"]


def pixels_of(stored: StoredDense, embedding: TileEmbedding) -> DensePixels:
    """What a decoder makes of a field; on the device where the features are."""
    parts = embedding.embedding
    decoder = stored.decoder.to(parts.maps.fine.device)
    return decoder.pixels(levels_of(parts), parts.auxiliary)
