"""Settled nuclei in pieces that any process can write up: rows of a table, lines of GeoJSON."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from napari_uninuc.io.geojson import packed
from napari_uninuc.io.geojson_lines import LineFrame, detection_lines
from napari_uninuc.slides.nuclei import Nuclei
from napari_uninuc.slides.rows import Column, rows_of

__all__ = ["Piece", "Written", "pieces_of", "write_up"]

_LEAST = 1024
"""Nuclei of a piece, unless there are no more: whole tiles, until there are so many."""


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Nuclei of some tiles, and what is wanted of them; travels to other processes.

    Attributes
    ----------
    nuclei : tile by tile
    sizes : nuclei of each tile
    frame : what all pieces of a slide share
    mpp : micrometres per px of full resolution
    rows, lines : what is wanted
    first : it begins the slide, so that its first line follows no other
    """

    nuclei: Nuclei
    sizes: tuple[int, ...]
    frame: LineFrame
    mpp: float
    rows: bool
    lines: bool
    first: bool


@dataclass(frozen=True, slots=True, eq=False)
class Written:
    """A piece as files hold it.

    Attributes
    ----------
    sizes : nuclei of each tile
    columns : `rows.COLUMNS`, each (n,); none where rows were not wanted
    lines : of GeoJSON, packed; empty where they were not wanted
    """

    sizes: tuple[int, ...]
    columns: dict[str, Column]
    lines: bytes


def pieces_of(nuclei: Nuclei) -> Iterator[tuple[Nuclei, tuple[int, ...]]]:
    """Cut nuclei that are sorted by tile between tiles; each comes with the sizes of its tiles."""
    borders = np.flatnonzero(np.diff(nuclei.tile, prepend=-1, append=-1)).tolist()
    start = 0
    for place, end in enumerate(borders[1:], start=1):
        if end - borders[start] >= _LEAST or place == len(borders) - 1:
            sizes = tuple(np.diff(borders[start : place + 1]).tolist())
            yield nuclei.take(np.arange(borders[start], end)), sizes
            start = place


def write_up(piece: Piece) -> Written:
    """Do a piece, in whatever process this is."""
    nuclei, frame = piece.nuclei, piece.frame
    columns: dict[str, Column] = {}
    if piece.rows:
        first = np.repeat(np.arange(len(piece.sizes)), piece.sizes)
        starts = np.concatenate([[0], np.cumsum(piece.sizes)])[:-1]
        origins = np.minimum.reduceat(nuclei.runs.boxes[:, :2], starts, axis=0)[first]
        names = [frame.classes[class_id] for class_id in nuclei.class_id.tolist()]
        columns = rows_of(nuclei, origins, names, piece.mpp, frame.downsample)
    lines = b""
    if piece.lines:
        texts = detection_lines(nuclei.id, nuclei.runs, nuclei.class_id, nuclei.score, frame)
        lines = packed((("" if piece.first else ",") + "\n" + ",\n".join(texts)).encode())
    return Written(piece.sizes, columns, lines)
