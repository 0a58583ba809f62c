"""Immunohistochemistry shown to a model that was taught on H&E: brown is painted pale pink."""

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock

import numpy as np
import numpy.typing as npt
from skimage.color import rgb_from_hed

from napari_uninuc.core.geometry import Field
from napari_uninuc.core.instances import InstanceMask, paint_masks
from napari_uninuc.core.tile import Tile

__all__ = [
    "StainViews",
    "is_brown",
    "is_immunohistochemistry",
    "marks_nuclei",
    "may_be_brown",
    "restained",
]

_RGB_FROM_HED = np.asarray(rgb_from_hed, dtype=np.float32)  # Ruifrok and Johnston 2001
_HED_FROM_RGB = np.linalg.inv(_RGB_FROM_HED).astype(np.float32)
_SAMPLE = 50_000
_ROWS = 256
"""Rows converted at once: bounds memory."""
_LEAST_BROWN = 0.02
_LEAST_SHARE = 0.95
_BLUE_PER_GREEN, _LEAST_DAB = 1.2, 0.13
"""Share of brown px that take so much more blue light than green: 0.20 to 0.84 on EpCAM and the
sample tile, at most 0.09 on NuInsSeg."""
_EOSIN_PER_DAB = 0.15
"""Pale enough for blue nuclei to be seen through it."""
_RING_UM = 2.0
_USUAL_MPP = 0.25
_BROWNER_INSIDE = 1.6
"""Painted nuclei have 3 to 22; painted membranes at most 1.1, EpCAM never trained on 0.8 to 1.4."""
_REMEMBERED_BYTES = 2**26
"""Of restained pictures beside the last one."""


def is_immunohistochemistry(tile: Tile) -> bool:
    """Whether a tile is stained brown: what its slide says or, without one, its pixels."""
    return is_brown(tile.rgb.reshape(-1, 3)) if tile.brown is None else tile.brown


def is_brown(pixels: npt.NDArray[np.uint8]) -> bool:
    """Whether tissue is stained brown (DAB), and not pink or orange (eosin).

    Nuclei of a pale brown, blue below it, may be taken for orange; `may_be_brown` finds them.

    Parameters
    ----------
    pixels : (N, 3) RGB; a sample of them is looked at
    """
    density = _density(_sampled(pixels))
    brown, mostly = _browner_than_pink(density)
    if not mostly:
        return False
    _red, green, blue = density[brown].T
    return float((blue > _BLUE_PER_GREEN * green).mean()) > _LEAST_DAB


def may_be_brown(pixels: npt.NDArray[np.uint8]) -> bool:
    """Whether tissue unmixes into DAB and not into eosin.

    The orange H&E of some laboratories does too: 500 of 543 pictures of NuInsSeg.

    Parameters
    ----------
    pixels : (N, 3) RGB; a sample of them is looked at
    """
    return _browner_than_pink(_density(_sampled(pixels)))[1]


def _sampled(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return pixels[:: max(1, len(pixels) // _SAMPLE)]


def _browner_than_pink(density: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.bool_], bool]:
    """Which of (N, 3) optical densities are brown, and whether hardly any are pink beside them."""
    haematoxylin, eosin, dab = (density @ _HED_FROM_RGB).T
    brown = (dab > 0.1) & (dab > 2 * np.clip(eosin, 0, None)) & (dab > 0.8 * haematoxylin)
    pink = (eosin > 0.06) & (eosin > dab)
    shares = float(brown.mean()), float(pink.mean())
    return brown, shares[0] > _LEAST_BROWN and shares[0] > _LEAST_SHARE * sum(shares)


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


def marks_nuclei(tile: Tile, field: Field, masks: Sequence[InstanceMask]) -> bool:
    """Whether nuclei are brown, as of Ki-67 or a receptor, and not what lies around them.

    Compared are the outlines and what is left of their boxes with 2 um around: nuclei have 1.6
    times as much DAB or more.

    Parameters
    ----------
    masks : nuclei of a field, px of the tile, as the model finds them in the picture as it is;
        without any, nothing is marked
    """
    if not masks:
        return False
    y0, x0, y1, x1 = field.outer_yxyx
    pixels = tile.rgb[y0:y1, x0:x1]
    shape = pixels.shape[:2]
    inside = paint_masks([mask.shifted(-y0, -x0) for mask in masks], shape) > 0
    near = np.zeros(shape, np.bool_)
    reach = round(_RING_UM / (tile.mpp or _USUAL_MPP))
    for mask in masks:
        top, left, bottom, right = mask.box_yxyx
        rows = slice(max(top - y0 - reach, 0), max(bottom - y0 + reach, 0))
        near[rows, max(left - x0 - reach, 0) : max(right - x0 + reach, 0)] = True
    around = near & ~inside
    if not inside.any() or not around.any():
        return False
    brown = [np.clip(_amounts(pixels[where])[:, 2], 0, None).mean() for where in (inside, around)]
    return bool(brown[0] > _BROWNER_INSIDE * brown[1])


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
    amounts: npt.NDArray[np.float32] = _density(rgb) @ _HED_FROM_RGB
    return amounts


def _density(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Optical density of red, green and blue, (..., 3) float32, not below 0."""
    density: npt.NDArray[np.float32] = -np.log10(np.clip(rgb.astype(np.float32) / 255, 1 / 255, 1))
    return density
