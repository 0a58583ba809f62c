"""Lines as wide on the screen at any zoom, drawn by the graphics card.

Every segment is four corners of the same two places; the vertex shader pulls them apart, in px of
the screen. So a change of zoom costs nothing, and one nucleus that changes costs its own segments.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from vispy import gloo
from vispy.color import Color
from vispy.scene.visuals import create_visual_node
from vispy.visuals import Visual

__all__ = ["VERTEX", "StrokeNode", "vertices"]

VERTEX = np.dtype(
    [("a_from", "<f4", 2), ("a_to", "<f4", 2), ("a_corner", "<f4"), ("a_colour", "<f4")]
)

_VERTEX_SHADER = """
attribute vec2 a_from;
attribute vec2 a_to;
attribute float a_corner;
attribute float a_colour;
uniform float u_width;
uniform float u_inner;
uniform vec4 u_colour;
varying vec4 v_colour;

vec2 on_screen(vec2 place) {
    vec4 found = $visual_to_framebuffer(vec4(place, 0.0, 1.0));
    return found.xy / found.w;
}

void main() {
    vec2 here = on_screen(a_from);
    vec2 there = on_screen(a_to);
    vec2 along = there - here;
    float long_px = length(along);
    along = long_px > 0.0 ? along / long_px : vec2(0.0, 0.0);
    vec2 across = vec2(-along.y, along.x);
    // The side that is to the right in the data may be to the left on a mirrored screen.
    vec2 step_data = a_to - a_from;
    vec2 inward = on_screen(a_from + vec2(-step_data.y, step_data.x)) - here;
    across *= dot(inward, across) < 0.0 ? -1.0 : 1.0;
    bool at_end = a_corner > 1.5;
    float side = mod(a_corner, 2.0) > 0.5 ? 1.0 : -1.0;
    vec2 place = (at_end ? there : here) + along * (at_end ? 0.5 : -0.5) * u_width;
    place += across * (u_inner + 0.5 * side * u_width);
    gl_Position = $framebuffer_to_render(vec4(place, 0.0, 1.0));
    vec3 own = vec3(
        floor(a_colour / 65536.0), mod(floor(a_colour / 256.0), 256.0), mod(a_colour, 256.0)
    ) / 255.0;
    v_colour = u_colour.a > 0.0 ? u_colour : vec4(own, 1.0);
}
"""
_FRAGMENT_SHADER = """
varying vec4 v_colour;
void main() { gl_FragColor = v_colour; }
"""
_CORNERS = np.array([0, 1, 2, 3], dtype=np.float32)
_TRIANGLES = np.array([0, 1, 2, 2, 1, 3], dtype=np.uint32)


def vertices(segments: npt.ArrayLike, colours: npt.ArrayLike) -> npt.NDArray[Any]:
    """Corners of segments, to be drawn.

    Parameters
    ----------
    segments : (n, 4) x and y of both ends
    colours : one or (n,) whole numbers, red x 65536 + green x 256 + blue

    Returns
    -------
    corners : (4 n,) of `VERTEX`
    """
    ends = np.asarray(segments, dtype=np.float32).reshape(-1, 4)
    made = np.zeros((len(ends), 4), dtype=VERTEX)
    made["a_from"], made["a_to"] = ends[:, None, :2], ends[:, None, 2:]
    made["a_corner"] = _CORNERS
    made["a_colour"] = np.broadcast_to(np.asarray(colours, np.float32), len(ends))[:, None]
    return made.reshape(-1)


class StrokeVisual(Visual):  # type: ignore[misc]
    """One pass over a buffer of segments.

    Parameters
    ----------
    width : px of the screen
    inner : how far the middle of the line lies to the right of the segment, px of the screen
    colour : of all; None takes each segment's own
    """

    def __init__(self, width: float, inner: float, colour: str | None = None) -> None:
        super().__init__(_VERTEX_SHADER, _FRAGMENT_SHADER)
        self._width, self._inner = width, inner
        self._colour = (0.0, 0.0, 0.0, 0.0) if colour is None else Color(colour).rgba
        self._draw_mode = "triangles"
        self._index_buffer = gloo.IndexBuffer()
        self._count = 0
        self.set_gl_state("translucent", depth_test=False, cull_face=False)
        self.freeze()

    def show(self, buffer: gloo.VertexBuffer, segments: int) -> None:
        """Draw the first segments of a buffer of `vertices`."""
        self.shared_program.bind(buffer)
        if segments != self._count:
            self._count = segments
            places = np.arange(segments, dtype=np.uint32)[:, None] * 4 + _TRIANGLES
            self._index_buffer.set_data(places.reshape(-1))
        self.update()

    def _prepare_transforms(self, view: Any) -> None:
        to_framebuffer = view.get_transform("visual", "framebuffer")
        view.view_program.vert["visual_to_framebuffer"] = to_framebuffer
        back = view.get_transform("framebuffer", "render")
        view.view_program.vert["framebuffer_to_render"] = back

    def _prepare_draw(self, view: Any) -> bool:
        if not self._count:
            return False
        scale = view.transforms.pixel_scale  # 2 on a screen at 200 %
        view.view_program["u_width"] = self._width * scale
        view.view_program["u_inner"] = self._inner * scale
        view.view_program["u_colour"] = self._colour
        return True

    def _compute_bounds(self, axis: int, view: Any) -> None:
        return None


StrokeNode: Any = create_visual_node(StrokeVisual)
