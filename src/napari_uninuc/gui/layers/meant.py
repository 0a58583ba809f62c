"""Which picture a person means: what is seen on top, and of that what was just opened."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from napari.layers import Image, Layer

from napari_uninuc.gui.layers.placement import unit_factors

__all__ = ["Covers", "hides", "is_shown", "meant_picture", "put_above", "put_below"]

Covers = Callable[[Image, Image], bool]
"""Whether the first, which lies above, hides the second."""

_LETS_THROUGH = {"additive", "multiplicative", "minimum"}


def is_shown(layer: Layer) -> bool:
    """Whether a layer is drawn at all."""
    return bool(layer.visible) and layer.opacity > 0


def hides(upper: Image, lower: Image) -> bool:
    """Whether an image that lies above another hides it, or a part of it.

    A map laid over a picture, half transparent or added to its colours, does not.
    """
    opaque = upper.opacity >= 1 and str(upper.blending) not in _LETS_THROUGH
    return is_shown(upper) and opaque and _meet(upper, lower)


def meant_picture(
    layers: Sequence[Layer], at: Image | None, opened: Image | None, covers: Covers = hides
) -> Image | None:
    """Choose the picture that a person means now.

    Parameters
    ----------
    layers : of the viewer, the last drawn on top
    at : the picture meant before
    opened : one that came since then. It is meant, unless it is a map laid over the one before
    covers : tells which pictures hide which

    Returns
    -------
    picture : None where no picture is seen
    """
    seen = [layer for layer in layers if isinstance(layer, Image) and is_shown(layer)]
    if opened in seen and (at not in seen or covers(opened, at) or not _meet(opened, at)):
        return opened
    if at in seen:
        above = [each for each in seen[seen.index(at) + 1 :] if covers(each, at)]
        return above[-1] if above else at
    solid = [each for each in seen if hides(each, each)]
    return next(reversed(solid or seen), None)


def put_below(layers: Any, chosen: Sequence[Layer], place: Layer) -> None:
    """Move layers just below another, in the order they have."""
    moved = sorted(layers.index(each) for each in chosen if each in layers)
    if moved:
        layers.move_multiple(moved, layers.index(place))


def put_above(layers: Any, chosen: Sequence[Layer], place: Layer) -> None:
    """Move layers just above another, in the order they have, if one of them lies below it."""
    at = layers.index(place)
    if any(layers.index(each) < at for each in chosen):
        layers.move_multiple(sorted(map(layers.index, chosen)), at + 1)


def _meet(first: Image, second: Image) -> bool:
    """Whether two pictures share a part of the canvas; those that cannot be compared do."""
    factors = unit_factors(first.units[-2:], second.units[-2:])
    one = np.asarray(first.extent.world)[:, -2:] * (1.0 if factors is None else factors)
    other = np.asarray(second.extent.world)[:, -2:]
    return bool(np.all(np.minimum(one[1], other[1]) > np.maximum(one[0], other[0])))
