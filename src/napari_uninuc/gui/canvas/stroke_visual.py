"""Lines as wide on the screen at any zoom, drawn by the graphics card.

Every segment is four corners of the same two places; the vertex shader pulls them apart, in px of
the screen. So a change of zoom costs nothing, and one nucleus that changes costs its own segments.
Where the processor draws, every corner counts: its way to the screen is two matrices, found once
a frame.
"""

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from vispy import gloo
from vispy.color import Color
from vispy.scene.visuals import create_visual_node
from vispy.visuals import Visual

from napari_uninuc.gui.canvas.stroke_picture import StrokePicture
from napari_uninuc.gui.canvas.view_seen import Rectangle, Seen, View

__all__ = ["COLOUR", "VERTEX", "Lines", "StrokeNode", "runs", "triangles", "vertices"]

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
uniform vec2 u_halves;  // width / 2, and that of what is thin
uniform float u_inner;  // negative on a mirrored screen
uniform vec4 u_colour;
varying vec4 v_colour;

void main() {
    vec2 step_data = a_to - a_from;
    vec2 along = u_turn.xy * step_data.x + u_turn.zw * step_data.y;
    along *= inversesqrt(max(dot(along, along), 1e-12));
    vec2 across = vec2(-along.y, along.x);
    float corner = mod(a_corner, 4.0);
    float half_width = a_corner > 3.5 ? u_halves.y : u_halves.x;
    bool at_end = corner > 1.5;
    float side = corner == 1.0 || corner == 3.0 ? half_width : -half_width;
    vec2 end = at_end ? a_to : a_from;
    vec2 place = u_turn.xy * end.x + u_turn.zw * end.y + u_shift;
    place += along * (at_end ? half_width : -half_width) + across * (u_inner + side);
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
_BESIDE_PX = 2.0
"""Beyond line and halo, what may still have a part of a px: rounding, corners of halos."""
_OWN_COLOUR = (0.0, 0.0, 0.0, 0.0)
"""Of the shader: each segment's own."""
_CORNERS = np.array([0, 1, 2, 3], dtype=np.float32)
_TRIANGLES = np.array([0, 1, 2, 2, 1, 3], dtype=np.uint32)


def vertices(segments: npt.ArrayLike, *, thin: bool = False) -> npt.NDArray[Any]:
    """Corners of segments, to be drawn.

    Parameters
    ----------
    segments : (n, 4) x and y of both ends
    thin : in the second of the two widths

    Returns
    -------
    corners : (4 n,) of `VERTEX`
    """
    ends = np.asarray(segments, dtype=np.float32).reshape(-1, 4)
    made = np.zeros((len(ends), 4), dtype=VERTEX)
    made["a_from"], made["a_to"] = ends[:, None, :2], ends[:, None, 2:]
    made["a_corner"] = _CORNERS + (4 if thin else 0)
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


class Lines(Protocol):
    """Segments in a buffer, and which of them are drawn.

    Attributes
    ----------
    index : of the triangles that were chosen last
    """

    index: gloo.IndexBuffer

    def choose(self, seen: Seen) -> int:
        """Put what is seen into the index; returns how many segments that are."""

    def choose_within(self, seen: Seen) -> int:
        """Put what lies in a part of the canvas into the index, and nothing beside it."""

    def take_touched(self) -> npt.NDArray[np.float64] | None:
        """Where something has changed since this was last asked, (4,) x, y, x, y, or None."""


class StrokeVisual(Visual):  # type: ignore[misc]
    """A buffer of segments, seen flat: all halos, then all lines.

    Parameters
    ----------
    lines : asked before each frame
    widths, halo_widths : of lines and of thin ones, px of the screen
    inner : how far the middle of the line lies to the right of the segment, px of the screen
    kept : whether a view that is seen again is kept as a picture, in which what changes is drawn
        anew. Never where edges are smoothed (napari's multisampling): a picture would not be
    """

    def __init__(
        self,
        lines: Lines,
        widths: tuple[float, float],
        halo_widths: tuple[float, float],
        inner: float,
        *,
        kept: bool,
    ) -> None:
        super().__init__(_VERTEX_SHADER, _FRAGMENT_SHADER)
        self._lines, self._inner = lines, inner
        self._halo, self._line = (halo_widths, Color(_HALO).rgba), (widths, _OWN_COLOUR)
        self._reach = max(halo_widths) + abs(inner) + _BESIDE_PX
        self._picture = StrokePicture() if kept else None
        self._view_before = self._view_told = b""
        self._draw_mode = "triangles"
        self.set_gl_state("translucent", depth_test=False, cull_face=False)
        self.freeze()

    def bind(self, corners: gloo.VertexBuffer, colours: gloo.VertexBuffer) -> None:
        """Draw from a buffer of `vertices`, and one of `COLOUR` for each."""
        self.shared_program.bind(corners)
        self.shared_program.bind(colours)

    def _prepare_transforms(self, view: Any) -> None:
        """Nothing: see `draw`."""

    def draw(self) -> None:
        """Draw both; called by vispy."""
        view = View.of(self) if self.visible else None
        if view is None:
            return
        self._configure_gl_state()
        picture, key, before = self._picture, view.key, self._view_before
        self._view_before = key
        moved, smoothed = key != before, self.canvas.context.config["samples"]
        if picture is not None and picture.is_of(key):
            self._draw_touched(picture, view)
        elif picture is None or moved or smoothed:
            self._draw_chosen(view, self._lines.choose(view.seen()))
            return
        elif not self._draw_all(picture, view):
            return
        picture.show()

    def _draw_all(self, picture: StrokePicture, view: View) -> int:
        """Make the picture of a view, if there is anything to see."""
        count = self._lines.choose(view.seen())
        if count:
            self._lines.take_touched()
            self._draw_into(picture, view, (0, 0, *view.size), count)
        return count

    def _draw_touched(self, picture: StrokePicture, view: View) -> None:
        """Bring the picture up to date, with all lines that reach into what has changed."""
        touched, reach = self._lines.take_touched(), self._reach * view.scale
        within = None if touched is None else view.rectangle(touched, reach)
        if within is not None:
            count = self._lines.choose_within(view.seen(within, reach))
            self._draw_into(picture, view, within, count)

    def _draw_into(self, picture: StrokePicture, view: View, within: Rectangle, count: int) -> None:
        with picture.drawing(view.key, view.size, within, self.canvas.bgcolor):
            self._draw_chosen(view, count)

    def _draw_chosen(self, view: View, count: int) -> None:
        if not count:
            return
        program = self.view_program
        if self._view_told != view.key:
            render = view.to_render
            program["u_turn"] = view.to_screen[:, :2].T.reshape(-1)
            program["u_shift"] = view.to_screen[:, 2]
            program["u_render"] = (render[0, 0], render[1, 1], render[0, 2], render[1, 2])
            program["u_inner"] = np.copysign(self._inner * view.scale, view.across)
            self._view_told = view.key
        has_halo = view.zoom >= _HALO_FROM
        for widths, colour in (self._halo, self._line) if has_halo else (self._line,):
            program["u_halves"] = np.array(widths) * view.scale / 2
            program["u_colour"] = colour
            program.draw(self._draw_mode, self._lines.index)

    def _compute_bounds(self, axis: int, view: Any) -> None:
        return None


StrokeNode: Any = create_visual_node(StrokeVisual)
