"""Immunohistochemistry shown to a model that was taught on H&E: brown is painted pale pink."""

from collections import OrderedDict
from threading import Lock

import numpy as np
import numpy.typing as npt
from skimage.color import rgb_from_hed

from napari_uninuc.core.tile import Tile

__all__ = ["StainViews", "is_brown", "is_immunohistochemistry", "restained"]

_RGB_FROM_HED = np.asarray(rgb_from_hed, dtype=np.float32)  # Ruifrok and Johnston 2001
_HED_FROM_RGB = np.linalg.inv(_RGB_FROM_HED).astype(np.float32)
_SAMPLE = 50_000
_ROWS = 256
"""Rows converted at once: bounds memory."""
_LEAST_BROWN = 0.02
_LEAST_SHARE = 0.95
"""Of 246 H&E pictures (five data sets) one lies above, the sample tile with 0.998 far above."""
_EOSIN_PER_DAB = 0.15
"""Pale enough for blue nuclei to be seen through it."""
_REMEMBERED_BYTES = 2**26
"""Of restained pictures beside the last one."""


def is_immunohistochemistry(tile: Tile) -> bool:
    """Whether a tile is stained brown: what its slide says or, without one, its pixels."""
    return is_brown(tile.rgb.reshape(-1, 3)) if tile.brown is None else tile.brown


def is_brown(pixels: npt.NDArray[np.uint8]) -> bool:
    """Whether tissue is stained brown (DAB) and not pink (eosin).

    Parameters
    ----------
    pixels : (N, 3) RGB; a sample of them is looked at
    """
    haematoxylin, eosin, dab = _amounts(pixels[:: max(1, len(pixels) // _SAMPLE)]).T
    brown = (dab > 0.1) & (dab > 2 * np.clip(eosin, 0, None)) & (dab > 0.8 * haematoxylin)
    pink = (eosin > 0.06) & (eosin > dab)
    shares = float(brown.mean()), float(pink.mean())
    return shares[0] > _LEAST_BROWN and shares[0] > _LEAST_SHARE * sum(shares)


def restained(tile: Tile) -> Tile:
    """Paint a tile's DAB as a little eosin; haematoxylin and eosin stay.

    Brown nuclei become pale by this: look for them in the tile itself.
    """
    rgb = np.empty_like(tile.rgb)
    for start in range(0, len(rgb), _ROWS):
        amounts = _amounts(tile.rgb[start : start + _ROWS])
        amounts = np.clip(amounts, 0, None)
        amounts[..., 1] += _EOSIN_PER_DAB * amounts[..., 2]
        amounts[..., 2] = 0
        painted = np.power(np.float32(10), -(amounts @ _RGB_FROM_HED)) * 255
        rgb[start : start + _ROWS] = np.rint(painted.clip(0, 255)).astype(np.uint8)
    return Tile.from_array(rgb, tile.mpp, tile.origin_yx_slide, tile.name)


class StainViews:
    """What of a tile the model is shown; remembers the views of the last tiles.

    Several people may work at a picture each, by turns: none makes the other's be painted again.
    """

    def __init__(self) -> None:
        self._views: OrderedDict[tuple[object, ...], tuple[Tile, ...]] = OrderedDict()
        self._lock = Lock()

    def of(self, tile: Tile) -> tuple[Tile, ...]:
        """The tile itself and, where it is immunohistochemistry, the tile restained."""
        key = (tile.digest, tile.brown, tile.mpp, tile.origin_yx_slide, tile.name)
        with self._lock:
            others = self._views.get(key)
        if others is None:
            others = (restained(tile),) if is_immunohistochemistry(tile) else ()
        with self._lock:
            self._views[key] = others
            self._views.move_to_end(key)
            while len(self._views) > 1 and self._nbytes() > _REMEMBERED_BYTES:
                self._views.popitem(last=False)
        return (tile, *others)

    def _nbytes(self) -> int:
        """Bytes held, as if no tile and its key took less than 64 kB: bounds their number."""
        views = self._views.values()
        return sum(2**16 + sum(each.rgb.nbytes for each in others) for others in views)


def _amounts(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Amounts of haematoxylin, eosin and DAB, (..., 3) float32; may be below 0."""
    density = -np.log10(np.clip(rgb.astype(np.float32) / 255, 1 / 255, 1))
    amounts: npt.NDArray[np.float32] = density @ _HED_FROM_RGB
    return amounts
