"""Lines as wide on the screen at any zoom, drawn by the graphics card.

Every segment is four corners of the same two places; the vertex shader pulls them apart, in px of
the screen. So a change of zoom costs nothing, and one nucleus that changes costs its own segments.
Where the processor draws, every corner counts: its way to the screen is two matrices, found once
a frame.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from vispy import gloo
from vispy.color import Color
from vispy.scene.visuals import create_visual_node
from vispy.visuals import Visual

__all__ = ["COLOUR", "VERTEX", "Seen", "StrokeNode", "runs", "triangles", "vertices"]

VERTEX = np.dtype([("a_from", "<f4", 2), ("a_to", "<f4", 2), ("a_corner", "<f4")])
COLOUR = np.dtype([("a_colour", "<f4")])
"""Of a corner, beside what changes with it seldom: whole numbers, red x 65536 + green x 256 + blue.
"""

_VERTEX_SHADER = """
attribute vec2 a_from;
attribute vec2 a_to;
attribute float a_corner;
attribute float a_colour;
uniform vec4 u_turn;    // columns of the data's matrix to px of the screen
uniform vec2 u_shift;
uniform vec4 u_render;  // px of the screen to the picture: scale, offset
uniform float u_half;   // width / 2
uniform float u_inner;  // negative on a mirrored screen
uniform vec4 u_colour;
varying vec4 v_colour;

void main() {
    vec2 step_data = a_to - a_from;
    vec2 along = u_turn.xy * step_data.x + u_turn.zw * step_data.y;
    along *= inversesqrt(max(dot(along, along), 1e-12));
    vec2 across = vec2(-along.y, along.x);
    bool at_end = a_corner > 1.5;
    float side = a_corner == 1.0 || a_corner == 3.0 ? u_half : -u_half;
    vec2 end = at_end ? a_to : a_from;
    vec2 place = u_turn.xy * end.x + u_turn.zw * end.y + u_shift;
    place += along * (at_end ? u_half : -u_half) + across * (u_inner + side);
    gl_Position = vec4(place * u_render.xy + u_render.zw, 0.0, 1.0);
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
_HALO = "#000000a0"
"""Dark around light: seen on white glass, on pink and on dark brown."""
_HALO_FROM = 0.25
"""Screen px per px of the data below which a halo would cover what is outlined."""
_OWN_COLOUR = (0.0, 0.0, 0.0, 0.0)
"""Of the shader: each segment's own."""
_CORNERS = np.array([0, 1, 2, 3], dtype=np.float32)
_TRIANGLES = np.array([0, 1, 2, 2, 1, 3], dtype=np.uint32)
_ORIGIN_AND_STEPS = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])


def vertices(segments: npt.ArrayLike) -> npt.NDArray[Any]:
    """Corners of segments, to be drawn.

    Parameters
    ----------
    segments : (n, 4) x and y of both ends

    Returns
    -------
    corners : (4 n,) of `VERTEX`
    """
    ends = np.asarray(segments, dtype=np.float32).reshape(-1, 4)
    made = np.zeros((len(ends), 4), dtype=VERTEX)
    made["a_from"], made["a_to"] = ends[:, None, :2], ends[:, None, 2:]
    made["a_corner"] = _CORNERS
    return made.reshape(-1)


def runs(
    starts: npt.NDArray[np.integer[Any]], counts: npt.NDArray[np.integer[Any]]
) -> npt.NDArray[np.int64]:
    """The places of runs, one run after the other: (sum of counts,)."""
    before = np.cumsum(counts) - counts
    places: npt.NDArray[np.int64] = np.arange(counts.sum()) + np.repeat(starts - before, counts)
    return places


def triangles(
    starts: npt.NDArray[np.integer[Any]], counts: npt.NDArray[np.integer[Any]]
) -> npt.NDArray[np.uint32]:
    """Which corners make the triangles of runs of segments: (6 x sum of counts,)."""
    segments = runs(starts, counts)
    return (segments.astype(np.uint32)[:, None] * 4 + _TRIANGLES).reshape(-1)


@dataclass(frozen=True, slots=True)
class Seen:
    """What of the data the canvas shows.

    Attributes
    ----------
    zoom : px of the screen, as a person counts them at 200 %, per unit of the data
    box_xyxy : (4,) all that is seen lies inside, units of the data
    """

    zoom: float
    box_xyxy: npt.NDArray[np.float64]


class StrokeVisual(Visual):  # type: ignore[misc]
    """A buffer of segments, seen flat: all halos, then all lines.

    Parameters
    ----------
    choose : told what is seen before each frame; puts its triangles into the index, and returns
        how many segments they are
    index : of the triangles that are drawn
    width, halo_width : px of the screen
    inner : how far the middle of the line lies to the right of the segment, px of the screen
    """

    def __init__(
        self,
        choose: Callable[[Seen], int],
        index: gloo.IndexBuffer,
        width: float,
        halo_width: float,
        inner: float,
    ) -> None:
        super().__init__(_VERTEX_SHADER, _FRAGMENT_SHADER)
        self._choose, self._inner = choose, inner
        self._halo, self._line = (halo_width, Color(_HALO).rgba), (width, _OWN_COLOUR)
        self._scale, self._has_halo = 1.0, True
        self._draw_mode = "triangles"
        self._index_buffer = index
        self.set_gl_state("translucent", depth_test=False, cull_face=False)
        self.freeze()

    def bind(self, corners: gloo.VertexBuffer, colours: gloo.VertexBuffer) -> None:
        """Draw from a buffer of `vertices`, and one of `COLOUR` for each."""
        self.shared_program.bind(corners)
        self.shared_program.bind(colours)

    def _prepare_transforms(self, view: Any) -> None:
        """Nothing: see `_prepare_draw`."""

    def _prepare_draw(self, view: Any) -> bool:
        to_screen = _affine(view.get_transform("visual", "framebuffer"))
        turn, shift = to_screen[:, :2], to_screen[:, 2]
        across = np.linalg.det(turn)
        if not across:
            return False
        back = _affine(view.get_transform("framebuffer", "render"))
        scale = view.transforms.pixel_scale  # 2 on a screen at 200 %
        edges = (np.array([[-1.0, 1.0, -1.0, 1.0], [-1.0, -1.0, 1.0, 1.0]]) - back[:, 2:]) / (
            np.diag(back)[:, None]
        )
        seen = np.linalg.solve(turn, edges - shift[:, None])
        box = np.concatenate([seen.min(axis=1), seen.max(axis=1)])
        zoom = abs(across) ** 0.5 / scale
        if not self._choose(Seen(zoom, box)):
            return False
        self._scale, self._has_halo = scale, zoom >= _HALO_FROM
        program = view.view_program
        program["u_turn"], program["u_shift"] = turn.T.reshape(-1), shift
        program["u_render"] = (back[0, 0], back[1, 1], back[0, 2], back[1, 2])
        program["u_inner"] = np.copysign(self._inner * scale, across)
        return True

    def draw(self) -> None:
        """Draw both; called by vispy."""
        if not self.visible or not self._prepare_draw(self):
            return
        self._configure_gl_state()
        program = self.view_program
        for width, colour in (self._halo, self._line) if self._has_halo else (self._line,):
            program["u_half"], program["u_colour"] = width * self._scale / 2, colour
            program.draw(self._draw_mode, self._index_buffer)

    def _compute_bounds(self, axis: int, view: Any) -> None:
        return None


def _affine(transform: Any) -> npt.NDArray[np.float64]:
    """What a transform of vispy does to x and y, (2, 3)."""
    mapped = transform.map(_ORIGIN_AND_STEPS)
    flat = mapped[:, :2] / mapped[:, 3:]
    return np.column_stack([flat[1] - flat[0], flat[2] - flat[0], flat[0]])


StrokeNode: Any = create_visual_node(StrokeVisual)
