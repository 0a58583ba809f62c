"""Means of maps of a field under nuclei, exact to the pixel of the picture."""

import numpy as np
import numpy.typing as npt
from scipy import sparse
from torch import Tensor

from napari_uninuc.core.shapes import Places
from napari_uninuc.engine.embedding import TileEmbedding

__all__ = ["cells_of", "pooled_over"]


def cells_of(
    places: Places, chosen: npt.NDArray[np.int64], embedding: TileEmbedding, level: Tensor
) -> sparse.csr_array:
    """How much of each nucleus lies in each cell of a level, (n, h w); rows sum to 1."""
    rank = np.full(places.count, -1)
    rank[chosen] = np.arange(len(chosen))
    kept = rank[places.owner] >= 0
    centres = embedding.frame.points_to_input(places.yx[kept]) + 0.5
    shape = np.array(level.shape[2:])
    cells = np.floor(centres * shape / embedding.frame.input_hw).clip(0, shape - 1).astype(np.int64)
    flat, row = cells[:, 0] * shape[1] + cells[:, 1], rank[places.owner[kept]]
    share = 1 / np.bincount(row, minlength=len(chosen))[row]
    size = (len(chosen), int(shape.prod()))
    return sparse.csr_array((share.astype(np.float32), (row, flat)), shape=size)


def pooled_over(level: Tensor, share: sparse.csr_array) -> npt.NDArray[np.float32]:
    """Mean of a level (1, C, h, w) under each of the nuclei of `cells_of`, (n, C)."""
    flat = level[0].flatten(1).T.float().cpu().numpy()  # (h w, C)
    pooled: npt.NDArray[np.float32] = share @ np.ascontiguousarray(flat)
    return pooled
