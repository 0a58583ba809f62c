"""Outlines in ImageScope's XML, painted into label pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from napari_uninuc.errors import DatasetError, LabelsError
from napari_uninuc.io.filling import fill_polygon
from napari_uninuc.io.sources import require_file

__all__ = ["read_imagescope"]

_FEWEST_POINTS = 3  # both MoNuSeg and MoNuSAC hold stray clicks of one and two


def read_imagescope(
    path: Path, shape: tuple[int, int], ignored: frozenset[str] = frozenset()
) -> tuple[np.ndarray[Any, Any], dict[int, str]]:
    """Paint the regions of an Aperio ImageScope annotation file.

    Parameters
    ----------
    path : XML with Annotation, Region, Vertex (attributes X, Y in px of the picture)
    shape : (H, W) of the picture, px
    ignored : names of annotation layers to leave out

    Returns
    -------
    labels : (H, W) int32; ids count the regions of the file from 1
        Later regions lie on top. A region of fewer than three points, or wholly beside the
        picture, or wholly covered, leaves no pixel.
    classes : name of the annotation layer by id, where it has one

    Raises
    ------
    DatasetError
        Missing, not XML, without an annotation, or with points that are no numbers.
    """
    labels, classes = np.zeros(shape, dtype=np.int32), {}
    for nucleus, (name, ring) in enumerate(_regions(path), start=1):
        if len(ring) < _FEWEST_POINTS or name in ignored:
            continue
        try:
            crop = fill_polygon([ring], shape)
        except LabelsError as error:
            raise DatasetError(f"{path}: region {nucleus}: {error}") from error
        if crop is None:
            continue
        (y, x), mask = crop
        labels[y : y + mask.shape[0], x : x + mask.shape[1]][mask] = nucleus
        if name:
            classes[nucleus] = name
    left = set(np.unique(labels).tolist())
    return labels, {nucleus: name for nucleus, name in classes.items() if nucleus in left}


def _regions(path: Path) -> Iterator[tuple[str, list[tuple[float, float]]]]:
    require_file(path, DatasetError)
    try:
        root = ElementTree.parse(path).getroot()
        layers = list(root.iter("Annotation"))
        if not layers:
            raise ValueError("no Annotation in it")
        for layer in layers:
            name = _layer_name(layer)
            for region in layer.iter("Region"):
                yield name, [_point(vertex) for vertex in region.iter("Vertex")]
    except (ElementTree.ParseError, ValueError, OSError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise DatasetError(
            f"{path}: expected ImageScope annotations, got a damaged file ({reason}); download it "
            "again"
        ) from error


def _layer_name(layer: ElementTree.Element) -> str:
    attribute = layer.find("Attributes/Attribute")
    return "" if attribute is None else attribute.get("Name", "").strip()


def _point(vertex: ElementTree.Element) -> tuple[float, float]:
    return float(vertex.attrib["X"]), float(vertex.attrib["Y"])
