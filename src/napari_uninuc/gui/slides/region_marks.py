"""The outlines and names of a slide's regions on the canvas, as wide at any zoom."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from napari.layers import Layer, Shapes
from qtpy.QtCore import QTimer

from napari_uninuc.gui.layers.placement import Placement
from napari_uninuc.gui.layers.taking_shapes import MARKS_KEY

__all__ = ["RegionMarks"]

_NAME = "regions"
_WIDTH_SCREEN_PX = 2.0
_COLOUR, _CURRENT = "#ffd000", "#20ff60"
_PAUSE_MS = 60

Named = tuple[str, tuple[float, float, float, float], bool]
"""Name, (y0, x0, y1, x1) edges in px of full resolution, and whether it is worked at."""


class RegionMarks:
    """One shapes layer; made when there is a region, and again when it was deleted.

    Parameters
    ----------
    viewer : gets the layer
    slide : the layer of the slide
    """

    def __init__(self, viewer: Any, slide: Layer) -> None:
        self._viewer, self._slide = viewer, slide
        self._layer: Shapes | None = None
        self._shown: tuple[Named, ...] = ()
        self._camera = getattr(viewer, "scene", viewer).camera  # moved in napari 0.9
        self._pause = QTimer()
        self._pause.setSingleShot(True)
        self._pause.setInterval(_PAUSE_MS)
        self._pause.timeout.connect(self._follow_zoom)
        self._camera.events.zoom.connect(self._on_zoom)

    @property
    def layer(self) -> Shapes | None:
        """The layer; None while there is none."""
        return self._layer

    def show(self, regions: Sequence[Named]) -> None:
        """Draw these and no others."""
        if self._layer is not None and self._layer not in self._viewer.layers:
            self._layer = None
        if tuple(regions) == self._shown and (self._layer is not None) == bool(regions):
            return
        self._shown = tuple(regions)
        layer = self._layer
        if layer is None:
            if regions:
                self._make()
        elif regions:
            self._update(layer)
        else:
            self._layer = None
            self._viewer.layers.remove(layer)

    def close(self) -> None:
        """Take the layer away."""
        self._pause.stop()
        self._camera.events.zoom.disconnect(self._on_zoom)
        self.show(())

    def _update(self, layer: Shapes) -> None:
        layer.data = [(_corners(box), "rectangle") for _, box, _ in self._shown]
        layer.features = self._features()
        layer.edge_color = self._colours()
        layer.face_color = "transparent"
        layer.refresh_text()
        self._follow_zoom()

    def _colours(self) -> list[str]:
        return [_CURRENT if current else _COLOUR for _, _, current in self._shown]

    def _features(self) -> dict[str, list[str]]:
        return {"name": [name for name, _, _ in self._shown]}

    def _make(self) -> None:
        layer = Shapes(
            [_corners(box) for _, box, _ in self._shown],
            shape_type="rectangle",
            name=_NAME,
            edge_color=self._colours(),
            edge_width=self._width(),
            face_color="transparent",
            features=self._features(),
            text={
                "string": "{name}",
                "size": 10,
                "color": "#101418",
                "anchor": "upper_left",
                "translation": [0, 0],
            },
            metadata={MARKS_KEY: True},
            **Placement.of(self._slide).keywords(),
        )
        layer.editable = False
        self._layer = layer
        layers = self._viewer.layers
        active, chosen = layers.selection.active, set(layers.selection)
        layers.append(layer)
        layers.selection.clear()
        layers.selection.update(chosen)
        layers.selection.active = active

    def _width(self) -> float:
        """Px of full resolution that are two px of the screen."""
        step = float(np.abs(np.asarray(self._slide.scale)[-1])) * float(self._camera.zoom)
        return _WIDTH_SCREEN_PX / max(step, 1e-9)

    def _on_zoom(self, _event: Any = None) -> None:
        if self._shown:
            self._pause.start()

    def _follow_zoom(self) -> None:
        """Make all edges as wide as they should be; napari changes those of selected shapes."""
        layer = self._layer
        if layer is not None:
            layer.selected_data = set(range(len(self._shown)))
            layer.edge_width = self._width()
            layer.selected_data = set()


def _corners(box: tuple[float, float, float, float]) -> np.ndarray:
    y0, x0, y1, x1 = (value - 0.5 for value in box)
    return np.array([[y0, x0], [y0, x1], [y1, x1], [y1, x0]])
