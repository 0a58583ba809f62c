"""How a field looks, in a few numbers, and how like that is to the fields of a learnt state."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_uninuc.core.extents import slices
from napari_uninuc.engine.embedding import TileEmbedding

__all__ = ["Appearance", "appearance_of", "likeness"]

_LIKE, _UNLIKE = 0.40, 0.65
"""Distances up to which a field looks like another, and from which it does not. Between pictures of
one organ of NuInsSeg, or of one block of EpCAM, the median lies at 0.18 to 0.43; between those and
MoNuSeg at 0.48 to 0.75 (docs/learn.md)."""
_EVERY = 4
"""Of the picture's rows and columns one in so many is looked at."""


@dataclass(frozen=True, slots=True, eq=False)
class Appearance:
    """How fields look, one a row.

    Attributes
    ----------
    features : (K, 2 C) float32, mean and deviation of each channel of the coarsest features
    colours : (K, 6) float32, mean and deviation of red, green and blue, 0 to 255
    """

    features: npt.NDArray[np.float32]
    colours: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.features)

    @classmethod
    def joined(cls, several: "Sequence[Appearance]") -> "Appearance":
        """One row after the other, of one model; at least one."""
        return cls(
            np.concatenate([each.features for each in several]),
            np.concatenate([each.colours for each in several]),
        )


def appearance_of(embedding: TileEmbedding) -> Appearance:
    """How one field looks: a single row."""
    coarse = embedding.embedding.maps.coarse[0].float().flatten(1)  # (C, h w)
    spread, mean = coarse.std(dim=1, correction=0), coarse.mean(dim=1)
    features = np.concatenate([mean.cpu().numpy(), spread.cpu().numpy()])
    (y, x), (height, width) = embedding.frame.origin_yx, embedding.frame.shape_hw
    field = embedding.tile.rgb[slices((y, x, y + height, x + width))]
    pixels = field[::_EVERY, ::_EVERY].reshape(-1, 3).astype(np.float32)
    colours = np.concatenate([pixels.mean(axis=0), pixels.std(axis=0)])
    return Appearance(features[None].astype(np.float32), colours[None].astype(np.float32))


def likeness(one: Appearance, taught: Appearance) -> float:
    """How like a field looks to the most similar of others: 0 not at all, 1 as they are."""
    apart = np.hypot(
        _distance(one.features, taught.features), _distance(one.colours, taught.colours)
    )
    share = (_UNLIKE - float(apart.min())) / (_UNLIKE - _LIKE)
    return min(1.0, max(0.0, share))


def _distance(
    one: npt.NDArray[np.float32], others: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64]:
    """Distance of a row (1, D) from rows (K, D), as a share of their mean length: (K,)."""
    apart = np.linalg.norm(others.astype(np.float64) - one, axis=1)
    length = (np.linalg.norm(one) + np.linalg.norm(others.astype(np.float64), axis=1)) / 2
    distances: npt.NDArray[np.float64] = apart / np.maximum(length, 1e-9)
    return distances
