"""A contact sheet: a piece of each of a few pictures with the outlines of its labels."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from napari_uninuc.cli.overlay import draw_outlines
from napari_uninuc.core.tile import Tile
from napari_uninuc.io.targets import replacing

__all__ = ["PIECES", "piece_of", "write_sheet"]

PIECES = 12
"""Most pictures on a sheet."""

_COLUMNS = 4
_SIDE = 160  # px of the picture: a dozen nuclei across at 40x
_SCALE = 2
_GAP = 8


def piece_of(tile: Tile, labels: np.ndarray) -> np.ndarray:
    """Cut a square where the nuclei are and draw them, twice as large.

    Parameters
    ----------
    tile : (H, W)
    labels : (H, W) int32

    Returns
    -------
    rgb : (320, 320, 3) uint8; white beside a smaller picture
    """
    inside = np.argwhere(labels)
    middle = inside[len(inside) // 2] if len(inside) else np.array(tile.shape) // 2
    y, x = np.maximum(0, np.minimum(middle - _SIDE // 2, np.array(tile.shape) - _SIDE)).tolist()
    cut = np.s_[y : y + _SIDE, x : x + _SIDE]
    drawn = draw_outlines(Tile.from_array(tile.rgb[cut]), labels[cut], _SCALE)
    piece = np.full((_SIDE * _SCALE, _SIDE * _SCALE, 3), 255, dtype=np.uint8)
    piece[: drawn.shape[0], : drawn.shape[1]] = drawn
    return piece


def write_sheet(pieces: Sequence[np.ndarray], path: Path) -> None:
    """Write pieces side by side as PNG, whole or not at all.

    Parameters
    ----------
    pieces : (320, 320, 3) uint8 each
    path : replaced if there

    Raises
    ------
    OutputError
        It cannot be written.
    """
    step = _SIDE * _SCALE + _GAP
    columns = min(_COLUMNS, max(1, len(pieces)))
    rows = max(1, -(-len(pieces) // columns))
    sheet = np.full((rows * step - _GAP, columns * step - _GAP, 3), 255, dtype=np.uint8)
    for k, piece in enumerate(pieces):
        y, x = k // columns * step, k % columns * step
        sheet[y : y + piece.shape[0], x : x + piece.shape[1]] = piece
    with replacing(path) as part:
        Image.fromarray(sheet).save(part, format="PNG")
