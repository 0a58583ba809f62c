"""Micrometres per pixel, out of whatever a picture file says about its scale."""

import math
import re
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

import tifffile

__all__ = ["PLAUSIBLE_MPP", "mpp_of_dpi", "mpp_of_scale", "mpp_of_tiff"]

PLAUSIBLE_MPP = (0.05, 5.0)
"""Below lies no light microscope, above no nucleus; 72 dpi is 353."""

_LARGEST_MISMATCH = 0.02
"""Relative; pixels further from square than this have no one mpp."""

_UM_PER_UNIT = {
    "nm": 1e-3,
    "um": 1.0,
    "µm": 1.0,  # micro sign
    "\u03bcm": 1.0,  # Greek mu
    "\\u00b5m": 1.0,  # as ImageJ writes it
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "nanometer": 1e-3,  # NGFF spells units out
    "angstrom": 1e-4,
    "picometer": 1e-6,
    "millimeter": 1e3,
    "mm": 1e3,
    "centimeter": 1e4,
    "cm": 1e4,
    "meter": 1e6,
    "m": 1e6,
    "inch": 25_400.0,
}

_RESOLUTION_UNITS = {2: 25_400.0, 3: 10_000.0}
"""TIFF ResolutionUnit: inch, centimetre; in um."""


def mpp_of_dpi(dpi: tuple[float, float] | None) -> float | None:
    """Turn (x, y) dots per inch into um per px; None where missing or implausible."""
    if dpi is None:
        return None
    return _agreed(*(_inverse(float(value), _UM_PER_UNIT["inch"]) for value in dpi))


def mpp_of_scale(step_yx: tuple[float, float], unit: str) -> float | None:
    """Turn the (y, x) size of a pixel in ``unit`` into um per px; None where implausible."""
    um = _UM_PER_UNIT.get(unit.lower())
    return None if um is None else _agreed(step_yx[1] * um, step_yx[0] * um)


def mpp_of_tiff(tif: tifffile.TiffFile) -> float | None:
    """Find um per px of the first picture of an open TIFF.

    Asked in turn: OME PhysicalSize, the description of an Aperio scanner, ImageJ's unit, the
    resolution tags. The first plausible answer (0.05 to 5, square pixels) counts; else None.
    """
    page = tif.series[0].levels[0].keyframe
    answers = (_of_ome(tif), _of_aperio(page.description), _of_imagej(tif, page), _of_tags(page))
    return next((answer for answer in answers if answer is not None), None)


def _of_ome(tif: tifffile.TiffFile) -> float | None:
    if not tif.ome_metadata:
        return None
    try:
        root = ElementTree.fromstring(tif.ome_metadata)
    except ElementTree.ParseError:
        return None
    pixels = next((node for node in root.iter() if node.tag.endswith("}Pixels")), None)
    if pixels is None:
        return None
    return _agreed(*(_ome_size(pixels.attrib, axis) for axis in "XY"))


def _ome_size(attributes: Mapping[str, str], axis: str) -> float | None:
    unit = _UM_PER_UNIT.get(attributes.get(f"PhysicalSize{axis}Unit", "µm"))
    size = _number(attributes.get(f"PhysicalSize{axis}"))
    return None if unit is None or size is None else size * unit


def _of_aperio(description: str) -> float | None:
    found = re.search(r"\bMPP\s*=\s*([0-9.]+)", description)
    if found is None or not description.startswith("Aperio"):
        return None
    size = _number(found.group(1))
    return _agreed(size, size)


def _of_imagej(tif: tifffile.TiffFile, page: Any) -> float | None:
    name = str((tif.imagej_metadata or {}).get("unit", "")).lower()
    unit = _UM_PER_UNIT.get(name)
    return None if unit is None else _of_ratios(page, unit)


def _of_tags(page: Any) -> float | None:
    unit = _RESOLUTION_UNITS.get(int(page.tags.valueof(296, default=2)))
    return None if unit is None else _of_ratios(page, unit)


def _of_ratios(page: Any, um_per_unit: float) -> float | None:
    """Read XResolution and YResolution, px per unit."""
    ratios = [page.tags.valueof(code) for code in (282, 283)]
    if any(not isinstance(ratio, tuple) or not ratio[1] for ratio in ratios):
        return None
    return _agreed(*(_inverse(ratio[0] / ratio[1], um_per_unit) for ratio in ratios))


def _inverse(px_per_unit: float, um_per_unit: float) -> float | None:
    return um_per_unit / px_per_unit if px_per_unit > 0 else None


def _agreed(x: float | None, y: float | None) -> float | None:
    """Return one mpp where both axes have the same plausible one."""
    low, high = PLAUSIBLE_MPP
    if x is None or y is None or not math.isclose(x, y, rel_tol=_LARGEST_MISMATCH):
        return None
    return float(x) if low <= x <= high else None


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None
