"""A guard against a crash of napari when layers are deleted.

napari (0.9.2 with Qt 6) frees a deleted layer's shaders and textures at once, in whatever OpenGL
context happens to be the current one, often that of Qt's own compositor. There the same
numbers name other things, and a later draw ends the process: deleting an image layer and adding
any other is enough. Making the canvas's context current just before is all that is missing
(napari#8471 has the like).
"""

import contextlib
from typing import Any

from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import QWidget

__all__ = ["ContextGuard"]


class ContextGuard:
    """Makes the canvas's OpenGL context current whenever a layer is about to be deleted.

    Parameters
    ----------
    viewer, window : a viewer and its main window
    """

    def __init__(self, viewer: Any, window: QWidget):
        self._viewer = viewer
        self._canvases = window.findChildren(QOpenGLWidget)
        viewer.layers.events.removing.connect(self._on_removing)

    def close(self) -> None:
        """Let go of the viewer."""
        self._viewer.layers.events.removing.disconnect(self._on_removing)
        self._canvases = []

    def _on_removing(self, _event: Any) -> None:
        for canvas in self._canvases:
            with contextlib.suppress(RuntimeError):  # Qt has destroyed it
                canvas.makeCurrent()
