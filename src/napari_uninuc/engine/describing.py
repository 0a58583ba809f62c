"""What nuclei look like, one row each: embedding, shape, stain, and who lies beside."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.shapes import (
    N_NEIGHBOURS,
    Places,
    measure_neighbours,
    measure_shapes,
    measure_texture,
    middles_of,
)
from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.embedding import TileEmbedding
from napari_uninuc.engine.owners import field_of
from napari_uninuc.engine.pooling import cells_of, pooled_over
from napari_uninuc.engine.torch_engine import TorchEngine

__all__ = ["DESCRIPTION_VERSION", "describe_nuclei"]

DESCRIPTION_VERSION = 2
"""Counts changes of what columns mean: classifiers of another one are refused."""

_RIM_PX = 5
_WINDOWS = ((-2, 24), (-1, 48), (-1, 96))
"""Square windows around a nucleus: which level, from the coarsest, and half a side, input px."""
_UNKNOWN_MPP = 0.25


@torch.inference_mode()
def describe_nuclei(
    engine: TorchEngine,
    tile: Tile,
    masks: Sequence[InstanceMask],
    earlier: npt.NDArray[np.float32] | None = None,
) -> npt.NDArray[np.float32]:
    """Describe all nuclei of a tile.

    Means of every level of the embedding inside, of those that are not the finest in a ring around,
    and of coarse ones in windows of 12, 24 and 48 um; then `measure_texture`, `measure_shapes` and
    `measure_neighbours`. Each nucleus is looked up in the field that owns its middle; of
    immunohistochemistry in the view that is not restained.

    Parameters
    ----------
    masks : px of the tile, with at least one pixel inside it each
    earlier : (N, D) what was found of the same masks before; NaN in rows of those that are new.
        Only these are looked at, but neighbours are measured of all

    Returns
    -------
    rows : (N, D) float32; D depends on the model alone. (0, 0) for no mask
    """
    if not masks:
        return np.zeros((0, 0), np.float32)
    middles = middles_of(masks)
    mpp = tile.mpp or engine.card.mpp or _UNKNOWN_MPP
    beside = measure_neighbours(middles * mpp)
    if earlier is None:
        return np.concatenate([_by_themselves(engine, tile, masks, middles), beside], axis=1)
    rows, new = earlier.copy(), np.isnan(earlier).any(axis=1)
    rows[:, -N_NEIGHBOURS:] = beside
    if new.any():
        chosen = [masks[k] for k in np.flatnonzero(new).tolist()]
        rows[new, :-N_NEIGHBOURS] = _by_themselves(engine, tile, chosen, middles[new])
    return rows


def _by_themselves(
    engine: TorchEngine,
    tile: Tile,
    masks: Sequence[InstanceMask],
    middles: npt.NDArray[np.float64],
) -> npt.NDArray[np.float32]:
    """Columns that do not depend on who else is there, (N, D'); N of 1 or more."""
    inside = Places.inside(masks, tile.shape)
    around = Places.around(masks, tile.shape, max(1, round(_RIM_PX / engine.scale_of(tile))))
    mpp = tile.mpp or engine.card.mpp or _UNKNOWN_MPP
    texture = measure_texture(tile.rgb, inside, mpp)
    shapes = measure_shapes(tile.rgb, inside, around, mpp)
    centres = np.stack([inside.mean(inside.yx[:, 0]), inside.mean(inside.yx[:, 1])], axis=1)
    fields = engine.fields(tile)
    owned: dict[int, list[int]] = defaultdict(list)
    for index, (y, x) in enumerate(middles.tolist()):
        owned[field_of(fields, (y, x)).index].append(index)
    seen: dict[int, npt.NDArray[np.float32]] = {}
    for field in fields:
        if field.index in owned:
            chosen = np.array(owned[field.index])
            found = _seen(engine.embed(tile, field), inside, around, centres, chosen)
            seen |= dict(zip(chosen.tolist(), found, strict=True))
    pooled = np.stack([seen[k] for k in range(len(masks))])
    return np.concatenate([pooled, texture, shapes], axis=1)


def _levels(embedding: TileEmbedding) -> list[Tensor]:
    """Levels (1, C, h, w), the finest first."""
    parts = embedding.embedding
    coarse = parts.detection or (parts.maps.middle, parts.maps.coarse)
    return [parts.maps.fine, *coarse]


def _seen(
    embedding: TileEmbedding,
    inside: Places,
    around: Places,
    centres: npt.NDArray[np.float64],
    chosen: npt.NDArray[np.int64],
) -> npt.NDArray[np.float32]:
    """What a field's embedding holds of the ``chosen`` nuclei, (n, D)."""
    levels, columns = _levels(embedding), []
    frame = embedding.frame
    for level in levels:
        columns.append(pooled_over(level, cells_of(inside, chosen, embedding, level)))
    for level in levels[1:-1]:
        columns.append(pooled_over(level, cells_of(around, chosen, embedding, level)))
    middles = frame.points_to_input(centres[chosen]) + 0.5
    for which, reach in _WINDOWS:
        columns.append(_windowed(levels[which], middles, reach, frame.input_hw))
    return np.concatenate(columns, axis=1)


def _windowed(
    level: Tensor, middles: npt.NDArray[np.float64], reach: float, input_hw: tuple[int, int]
) -> npt.NDArray[np.float32]:
    """Mean of the cells within ``reach`` input px of each middle (n, 2) along both axes, (n, C)."""
    height, width = level.shape[2:]
    step = np.array(input_hw) / (height, width)
    size = np.array([height, width])
    low = np.floor((middles - reach) / step).clip(0, size - 1).astype(np.int64)
    high = np.ceil((middles + reach) / step).clip(1, size).astype(np.int64)
    high = np.maximum(high, low + 1)
    sums = torch.zeros((level.shape[1], height + 1, width + 1), dtype=torch.float64)
    sums[:, 1:, 1:] = level[0].double().cpu().cumsum(1).cumsum(2)
    table = sums.numpy()
    (y0, x0), (y1, x1) = low.T, high.T
    total = table[:, y1, x1] - table[:, y0, x1] - table[:, y1, x0] + table[:, y0, x0]
    means: npt.NDArray[np.float32] = (total / ((y1 - y0) * (x1 - x0))).T.astype(np.float32)
    return means
