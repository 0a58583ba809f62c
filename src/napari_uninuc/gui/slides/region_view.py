"""The camera and the slide: what it shows, and making it show a box."""

from typing import Any

import numpy as np
from napari.layers import Layer
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import QWidget

__all__ = ["box_in_view", "look_at_box"]

_FILLED = 0.9
"""Share of the canvas that a region takes when one goes to it."""

Edges = tuple[float, float, float, float]


def look_at_box(
    viewer: Any, window: QWidget, slide: Layer, box_yxyx: tuple[int, int, int, int]
) -> None:
    """Show all of a box.

    Parameters
    ----------
    slide : layer of the slide
    box_yxyx : px of full resolution
    """
    height, width = _canvas_size(window)
    first, last = (
        np.asarray(slide.data_to_world([value - 0.5 for value in corner]))[-2:]
        for corner in (box_yxyx[:2], box_yxyx[2:])
    )
    spans = np.maximum(np.abs(last - first), 1e-9)
    camera = getattr(viewer, "scene", viewer).camera  # moved in napari 0.9
    centre = np.array(camera.center, dtype=float)
    centre[-2:] = (first + last) / 2
    camera.center = tuple(centre)
    camera.zoom = float(min(height / spans[0], width / spans[1]) * _FILLED)


def box_in_view(viewer: Any, window: QWidget, slide: Layer) -> Edges:
    """Tell which part of the slide the canvas shows: (y0, x0, y1, x1), px of full resolution."""
    camera = getattr(viewer, "scene", viewer).camera
    centre = np.array(camera.center, dtype=float)[-2:]
    half = np.array(_canvas_size(window)) / max(float(camera.zoom), 1e-9) / 2
    corners = [np.asarray(slide.world_to_data(tuple(centre + s * half)))[-2:] for s in (-1, 1)]
    low, high = np.minimum(*corners), np.maximum(*corners)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def _canvas_size(window: QWidget) -> tuple[int, int]:
    (canvas,) = window.findChildren(QOpenGLWidget)
    return int(canvas.height()), int(canvas.width())
