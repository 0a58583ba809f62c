"""Colours of classes between ``#rrggbb`` and the numbers that file formats want."""

import re
from typing import Any

from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.segmentation import Segmentation

__all__ = ["GREY", "hex_of", "rgb_by_class", "rgb_of"]

_HEX = re.compile("#[0-9a-fA-F]{6}")

GREY = (128, 128, 128)
"""Of a class whose colour cannot be read."""


def rgb_of(colour: str) -> tuple[int, int, int]:
    """Turn ``#rrggbb`` into red, green, blue in 0..255; grey where it is not of that form."""
    if not _HEX.fullmatch(colour):
        return GREY
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def hex_of(colour: Any) -> str | None:
    """Turn a colour of a file into ``#rrggbb``; None where it is none.

    Parameters
    ----------
    colour : three or four whole numbers in 0..255, red first; or one number as Java packs
        them, which QuPath wrote before version 0.4
    """
    if isinstance(colour, int) and not isinstance(colour, bool):
        return f"#{colour & 0xFFFFFF:06x}"
    if not isinstance(colour, list | tuple) or len(colour) not in (3, 4):
        return None
    parts = colour[:3]
    if not all(isinstance(part, int) and 0 <= part <= 255 for part in parts):
        return None
    return "#" + "".join(f"{part:02x}" for part in parts)


def rgb_by_class(segmentation: Segmentation) -> dict[str, tuple[int, int, int]]:
    """Colour of each class of a segmentation, in the order of its palette."""
    palette: ClassPalette = segmentation.palette
    return {each.name: rgb_of(each.colour) for each in palette.classes}
