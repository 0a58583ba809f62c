"""Outlines in ImageScope's XML, painted into label pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from napari_uninuc.errors import DatasetError, LabelsError
from napari_uninuc.io.filling import fill_polygon
from napari_uninuc.io.sources import require_file
from napari_uninuc.io.xml_outlines import imagescope_shapes, root_of_xml

__all__ = ["read_imagescope"]


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
        Later regions lie on top. A negative region, one of fewer than three points (both MoNuSeg
        and MoNuSAC hold such stray clicks), wholly beside the picture or wholly covered leaves
        no pixel.
    classes : name of the annotation layer by id, where it has one

    Raises
    ------
    DatasetError
        Missing, not XML, not of ImageScope, or with points that are no numbers.
    """
    if root_of_xml(path) != "Annotations":
        require_file(path, DatasetError)
        raise DatasetError(
            f"{path}: expected ImageScope annotations, got another or a damaged file; download it "
            "again"
        )
    labels, classes, nucleus = np.zeros(shape, dtype=np.int32), {}, 0
    try:
        for nucleus, region in enumerate(imagescope_shapes(path), start=1):
            for rings in region.polygons_xy if region.class_name not in ignored else ():
                crop = fill_polygon(rings, shape)
                if crop is None:
                    continue
                (y, x), mask = crop
                labels[y : y + mask.shape[0], x : x + mask.shape[1]][mask] = nucleus
                classes[nucleus] = region.class_name
    except LabelsError as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise DatasetError(f"{path}: at region {max(nucleus, 1)}: {reason}") from error
    if nucleus == 0:
        raise DatasetError(f"{path}: expected outlined regions, got none; download it again")
    left = set(np.unique(labels).tolist())
    return labels, {nucleus: name for nucleus, name in classes.items() if nucleus in left and name}
