"""Nuclei drawn on a shapes layer, brought to the pixels of the picture they are seen on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from napari.layers import Layer, Shapes

from napari_uninuc.errors import LabelsError
from napari_uninuc.gui.layers.pictures import plane_of
from napari_uninuc.gui.layers.taking import Taken, pixels_to_layer
from napari_uninuc.io.filling import fill_polygons
from napari_uninuc.io.painting import Painting
from napari_uninuc.io.stated import (
    DEFAULT_CLASS,
    checked_score,
    checked_status,
    clean_name,
    counted,
)

__all__ = ["MARKS_KEY", "ShapesSource", "shapes_source"]

MARKS_KEY = "uninuc_marks"
"""Of the metadata of shapes layers of ours, which hold no nuclei."""

_ENCLOSING = ("polygon", "rectangle", "ellipse")
_ELLIPSE_POINTS = 128


@dataclass(frozen=True, slots=True, eq=False)
class ShapesSource:
    """Shapes seen on a picture, the topmost last.

    Attributes
    ----------
    name : of their layer
    rings_xy : one a shape, (k, 2) x, y px of the picture; corners of pixels are whole numbers
    rows : of the layer's features, one a shape
    shape : (H, W) of the picture, px
    lines : shapes that enclose nothing, which are left out
    """

    name: str
    rings_xy: Sequence[npt.NDArray[np.float64]]
    rows: pd.DataFrame
    shape: tuple[int, int]
    lines: int

    @property
    def notice(self) -> str:
        """What is left out, for the person; empty where nothing is."""
        if not self.lines:
            return ""
        return f"{counted(self.lines, 'line')} of {self.name} enclose nothing and are left out."

    def read(self) -> Taken:
        """Fill the shapes; a pixel is inside where its centre is, and the upper shape has it.

        Raises
        ------
        LabelsError
            No shape with a pixel on the picture, a score that is none, or a picture too large.
        """
        painting, drawn = Painting(self.shape), 0
        crops = fill_polygons([[ring] for ring in self.rings_xy], self.shape)
        for crop, (_, row) in zip(crops, self.rows.iterrows(), strict=True):
            if crop is None:
                continue
            drawn += 1
            painting.add(
                [crop],
                None,
                clean_name(row.get("class", "")) or DEFAULT_CLASS,
                checked_score(row.get("score")),
                checked_status(row.get("status", "")),
            )
        if not drawn:
            raise LabelsError(
                f"{self.name} has no nucleus on the picture, as the window shows it; choose "
                "another layer, or draw polygons, rectangles or ellipses around nuclei"
            )
        nuclei = painting.finish().segmentation
        return Taken(nuclei, len(self.rings_xy) - len(nuclei.table))


def shapes_source(
    layer: Shapes, shown_on: Layer, shape: tuple[int, int], step_of: tuple[int, ...]
) -> ShapesSource:
    """Look where shapes lie on a picture.

    Parameters
    ----------
    layer : of any scale, place and turn; of a stack the shapes on the plane shown
    shown_on, shape, step_of : as of `nuclei_source`

    Raises
    ------
    LabelsError
        As of `nuclei_source`.
    """
    matrix = pixels_to_layer(shown_on, layer)
    back = np.linalg.inv(matrix[:, :2])
    plane = np.array(plane_of(layer, step_of))
    rings, rows, lines = [], [], 0
    for place in np.argsort(layer.z_index, kind="stable").tolist():
        points = np.asarray(layer.data[place], dtype=np.float64)
        if points.shape[1] > 2 and not (np.rint(points[:, :-2]) == plane).all():
            continue
        if layer.shape_type[place] not in _ENCLOSING:
            lines += 1
            continue
        outline = points[:, -2:]
        if layer.shape_type[place] == "ellipse":
            outline = _ellipse(outline)
        on_picture = (outline - matrix[:, 2]) @ back.T
        rings.append(on_picture[:, ::-1] + 0.5)  # to napari whole numbers are centres of pixels
        rows.append(place)
    return ShapesSource(layer.name, rings, layer.features.iloc[rows], shape, lines)


def _ellipse(corners: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Draw the ellipse in a box of four corners, (4, 2), however it is turned or sheared."""
    turn = np.linspace(0, 2 * np.pi, _ELLIPSE_POINTS, endpoint=False)[:, None]
    one, other = (corners[1] - corners[0]) / 2, (corners[3] - corners[0]) / 2
    drawn: npt.NDArray[np.float64] = (
        (corners[0] + corners[2]) / 2 + np.cos(turn) * one + np.sin(turn) * other
    )
    return drawn
