"""Lines as they were drawn last, kept as a picture of the canvas while the view stays.

Where the processor draws, corners are what a frame costs: a frame of which the lines have not
changed costs four, and one nucleus that changes costs those beside it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from vispy import gloo

from napari_uninuc.gui.canvas.view_seen import Rectangle

__all__ = ["StrokePicture"]

_VERTEX_SHADER = """
attribute vec2 a_place;
varying vec2 v_place;
void main() {
    v_place = a_place * 0.5 + 0.5;
    gl_Position = vec4(a_place, 0.0, 1.0);
}
"""
_FRAGMENT_SHADER = """
uniform sampler2D u_picture;
varying vec2 v_place;
void main() { gl_FragColor = texture2D(u_picture, v_place); }
"""
_CANVAS = np.array([[-1, -1], [1, -1], [-1, 1], [1, 1]], dtype=np.float32)
_OVER = ("src_alpha", "one_minus_src_alpha", "one", "one_minus_src_alpha")
"""Over what is in the picture, whose colours are then times their opacity."""
_ONTO_CANVAS = ("one", "one_minus_src_alpha", "zero", "one")


class StrokePicture:
    """One picture, and the view it was drawn for."""

    def __init__(self) -> None:
        self._texture = gloo.Texture2D((1, 1, 4), interpolation="nearest")
        self._buffer = gloo.FrameBuffer(color=self._texture)
        self._program = gloo.Program(_VERTEX_SHADER, _FRAGMENT_SHADER)
        self._program["a_place"] = _CANVAS
        self._program["u_picture"] = self._texture
        self._view = b""

    def is_of(self, view: bytes) -> bool:
        """Whether what is kept was drawn for this view."""
        return self._view == view

    @contextmanager
    def drawing(
        self, view: bytes, size: tuple[int, int], within: Rectangle, canvas_colour: Any
    ) -> Iterator[None]:
        """Empty a rectangle and let it be drawn anew; nothing is drawn beside it.

        Parameters
        ----------
        view : what is drawn is of
        size : width and height of the canvas, px of its buffer
        canvas_colour : what the canvas was cleared to
        """
        shape = (size[1], size[0], 4)
        if self._texture.shape != shape:
            self._texture.resize(shape)
        self._view = b""  # until all of it has been drawn
        self._buffer.activate()
        try:
            gloo.set_scissor(*within)
            gloo.set_state(scissor_test=True)
            gloo.clear(color=(0, 0, 0, 0), depth=False, stencil=False)
            gloo.set_clear_color(canvas_colour)  # napari counts on it until the frame's end
            gloo.set_blend_func(*_OVER)
            yield
        finally:
            gloo.set_state(scissor_test=False)
            self._buffer.deactivate()
        self._view = view

    def show(self) -> None:
        """Draw it on the canvas."""
        gloo.set_blend_func(*_ONTO_CANVAS)
        self._program.draw("triangle_strip")
