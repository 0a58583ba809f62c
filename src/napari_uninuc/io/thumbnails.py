"""Small pictures of nuclei with their outlines, to stand in a page."""

import base64
import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

__all__ = ["outlined_png"]

_ENLARGED = 3

Colour = tuple[int, int, int]


def outlined_png(
    rgb: npt.NDArray[np.uint8], outlines: Sequence[tuple[npt.NDArray[np.int32], Colour]]
) -> str:
    """Draw outlines into a crop, enlarged three times: PNG in base64.

    Parameters
    ----------
    rgb : (h, w, 3) uint8
    outlines : (h, w) ids with their colour, red, green and blue; later ones on top
    """
    drawn = rgb.repeat(_ENLARGED, axis=0).repeat(_ENLARGED, axis=1)
    for ids, colour in outlines:
        drawn[_border(ids.repeat(_ENLARGED, axis=0).repeat(_ENLARGED, axis=1))] = colour
    stream = io.BytesIO()
    Image.fromarray(drawn).save(stream, format="PNG")
    return base64.b64encode(stream.getvalue()).decode("ascii")


def _border(ids: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    """Mark the pixels of nuclei that share an edge with anything else, (h, w)."""
    padded = np.pad(ids, 1, mode="edge")
    inner = padded[1:-1, 1:-1]
    sides = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    border: npt.NDArray[np.bool_] = np.any([side != inner for side in sides], axis=0)
    return border & (inner > 0)
