"""What is drawn over the layers of a viewer, in px of a tile, without being a layer."""

import contextlib
from typing import Any

import numpy as np
import numpy.typing as npt
from vispy.scene import Node
from vispy.visuals.transforms import MatrixTransform

__all__ = ["Overlay", "pass_by_unseen"]

_ABOVE_LAYERS = 100_000


class Overlay:
    """A node of a viewer's scene for one tile.

    Parameters
    ----------
    viewer : whose canvas

    Attributes
    ----------
    node : x is the tile's column and y its row, px
    """

    def __init__(self, viewer: Any) -> None:
        # There is no public way to the scene (napari#7302).
        self._canvas = viewer.window._qt_viewer.canvas
        self.node = Node(parent=self._canvas.view.scene, name="nuclei")
        self.node.order = _ABOVE_LAYERS

    def place(self, to_world: npt.NDArray[np.float64]) -> None:
        """Say where the tile lies: (2, 3) turns (y, x, 1) px into the world's last two axes."""
        (a, b, c), (d, e, f) = to_world.tolist()
        matrix = np.eye(4)
        matrix[0, :2], matrix[1, :2], matrix[3, :2] = (e, b), (d, a), (f, c)
        self.node.transform = MatrixTransform(matrix)

    @property
    def visible(self) -> bool:
        """Whether it is drawn."""
        return bool(self.node.visible)

    @visible.setter
    def visible(self, visible: bool) -> None:
        if visible != self.node.visible:
            self.node.visible = visible
            for child in self.node.children:
                child.update()

    def close(self) -> None:
        """Take it out of the scene, in the canvas's own OpenGL context, see `gl_context`."""
        with contextlib.suppress(RuntimeError, AttributeError):  # the window is gone
            self._canvas.native.makeCurrent()
        self.node.parent = None


def pass_by_unseen(viewer: Any, layer: Any) -> None:
    """Have a layer that is wholly transparent not drawn; napari draws it, pixel by pixel.

    A third of a frame where the processor draws; call it whenever the layer's opacity or
    visibility has changed.
    """
    drawn = viewer.window._qt_viewer.canvas.layer_to_visual.get(layer)
    if drawn is not None:
        drawn.node.visible = layer.visible and layer.opacity > 0
