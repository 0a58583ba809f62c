"""What the embedding holds under a nucleus, pooled to one row: like nuclei have like rows."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_uninuc.core.instances import InstanceMask, cut_to_picture
from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.embedding import TileEmbedding
from napari_uninuc.engine.owners import field_of
from napari_uninuc.engine.torch_engine import TorchEngine

__all__ = ["pooled_features"]

_MOST_PIXELS = 512
"""Of one nucleus, evenly taken from all of its pixels."""

Places = npt.NDArray[np.float64]


@torch.inference_mode()
def pooled_features(
    engine: TorchEngine, tile: Tile, masks: Sequence[InstanceMask]
) -> npt.NDArray[np.float32]:
    """Mean of every level of the embedding over each mask.

    Each nucleus is looked up in the field that owns the middle of its mask; of
    immunohistochemistry in the view that is not restained.

    Parameters
    ----------
    masks : px of the tile, with at least one pixel inside it each

    Returns
    -------
    features : (N, C) float32; coarse, middle and fine level side by side
    """
    fields = engine.fields(tile)
    owned: dict[int, list[int]] = defaultdict(list)
    places = [_places_of(mask, tile.shape) for mask in masks]
    for index, each in enumerate(places):
        y, x = each.mean(axis=0).tolist()
        owned[field_of(fields, (y, x)).index].append(index)
    rows: list[npt.NDArray[np.float32] | None] = [None] * len(masks)
    for field in fields:
        if field.index in owned:
            embedding = engine.embed(tile, field)
            for index in owned[field.index]:
                rows[index] = _pooled(embedding, places[index])
    found = [row for row in rows if row is not None]
    return np.stack(found) if found else np.zeros((0, 0), np.float32)


def _places_of(mask: InstanceMask, shape: tuple[int, int]) -> Places:
    """Some pixels of a mask, (n, 2) y, x, px of the tile."""
    (rows, columns), inside = cut_to_picture(mask, shape)
    places = np.add(np.argwhere(inside), (rows.start, columns.start))
    some: Places = places[:: max(1, len(places) // _MOST_PIXELS)].astype(np.float64)
    return some


def _pooled(embedding: TileEmbedding, places_yx: Places) -> npt.NDArray[np.float32]:
    frame, maps = embedding.frame, embedding.embedding.maps
    centres = frame.points_to_input(places_yx) + 0.5  # input px, from the corner of the first
    levels = [_mean_at(level, centres, frame.input_hw) for level in maps[:3]]
    pooled: npt.NDArray[np.float32] = torch.cat(levels).float().cpu().numpy()
    return pooled


def _mean_at(level: Tensor, centres_yx: Places, input_hw: tuple[int, int]) -> Tensor:
    """Mean of the cells (1, C, h, w) that hold the places, (C,)."""
    shape = np.array(level.shape[2:])
    cells = np.floor(centres_yx * shape / input_hw).clip(0, shape - 1).astype(np.int64)
    y, x = torch.from_numpy(cells.T.copy()).to(level.device)
    return level[0][:, y, x].mean(dim=1)
