"""What was found, as tables and pictures in a folder."""

import csv
import re
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from napari_uninuc.explain.activation import Activated, Activation
from napari_uninuc.explain.perturbation import Importance, Perturbation, Pictured, perturbed
from napari_uninuc.io.targets import replacing

__all__ = ["findings_text", "write_activation_picture", "write_perturbed_pictures", "write_table"]

Rows = Sequence[Importance] | Sequence[Activation]

_FOR, _AGAINST = np.array((215, 48, 39)), np.array((69, 117, 180))
"""Red and blue that every kind of vision tells apart."""


def findings_text(rows: Rows) -> str:
    """Lay a table out in columns for a terminal; empty without rows."""
    if not rows:
        return ""
    header = tuple(field.name.replace("_", " ") for field in fields(rows[0]))
    cells = [tuple(_cell(value) for value in asdict(row).values()) for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in (header, *cells)
    ]
    return "\n".join(lines) + "\n"


def write_table(rows: Rows, path: Path) -> None:
    """Write a table as .csv; OutputError where it cannot be written."""
    with replacing(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([field.name for field in fields(rows[0])] if rows else [])
        writer.writerows([_cell(value) for value in asdict(row).values()] for row in rows)


def write_perturbed_pictures(picture: Pictured, how: Perturbation, folder: Path) -> list[Path]:
    """Write what the classifier was shown, a .png a class of objects: looked at before believed."""
    written = []
    for kind, mask in picture.masks().items():
        path = folder / f"{_plain(picture.name)}-without-{_plain(kind)}.png"
        _write(perturbed(picture.rgb, mask, how, picture.labels > 0), path)
        written.append(path)
    return written


def write_activation_picture(picture: Pictured, found: Activated, folder: Path) -> Path:
    """Write the picture with its objects in red where they speak for its class, blue against."""
    most = float(np.abs(found.map).max()) or 1.0
    strength = np.abs(found.map)[..., None] / most
    colour = np.where(found.map[..., None] > 0, _FOR, _AGAINST)
    share = np.where((picture.labels > 0)[..., None], 0.15 + 0.65 * strength, 0.0)
    path = folder / f"{_plain(picture.name)}-activation.png"
    _write((picture.rgb * (1 - share) + colour * share).round().astype(np.uint8), path)
    return path


def _write(rgb: npt.NDArray[np.uint8], path: Path) -> None:
    with replacing(path) as part:
        Image.fromarray(rgb).save(part, format="PNG")


def _plain(name: str) -> str:
    """A name that may stand in the name of a file."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-") or "picture"


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
