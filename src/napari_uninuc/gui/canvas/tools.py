"""The tools of the canvas: from mouse events to the session, whatever layer is active.

Callbacks of the viewer see every mouse event before the layers do. They act only while a tool
is armed, the picture is seen flat, and the active layer is not in a drawing mode of its own:
who picks napari's brush paints, who picks one of our tools again goes on with it.

A press with the left button is marked as handled, so that the camera does not move with the
drag. Nothing of the camera is switched off, so there is nothing to restore.
"""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
from napari.layers import Labels
from psygnal import Signal
from qtpy.QtWidgets import QWidget

from napari_uninuc.errors import UniNucError
from napari_uninuc.gui.canvas.box_grip import BoxGrip, grip_at
from napari_uninuc.gui.canvas.canvas_watch import CanvasWatch
from napari_uninuc.gui.canvas.draft_marks import DraftMarks
from napari_uninuc.gui.canvas.gestures import Place
from napari_uninuc.gui.canvas.tool_acts import LEFT, MIDDLE, Tool, ToolActs
from napari_uninuc.gui.window.keymap import Reach
from napari_uninuc.session import AnnotationSession

__all__ = ["Tool", "Tools"]

_GRIP_PX = 4  # screen px from a side of the box in hand
_CLICK_PX = 4  # screen px the mouse may move between press and release of a click


class Shown(Protocol):
    """What gestures need of the layers that show a session; `LayerBridge` is that."""

    @property
    def marks(self) -> DraftMarks:
        """What is drawn over the nuclei."""
        ...

    @property
    def layers(self) -> tuple[Labels, ...]:
        """Those of the session, none of which is made by asking."""
        ...

    def screen_px(self) -> float:
        """Screen px per tile px now."""
        ...

    def to_tile(self, position: tuple[float, ...], dims_displayed: list[int]) -> Place | None:
        """Turn a position of a mouse event into tile px; None where it is not seen flat."""
        ...


class Tools:
    """Gestures on the canvas of one viewer for one session.

    Parameters
    ----------
    viewer : its mouse callbacks are used; napari's zoom by double-click is taken out while armed
    window : the main window of that viewer
    session, shown : what is changed and where it is shown
    on_problem : told when a gesture could not be carried out

    Attributes
    ----------
    changed : tool, armed or paused have changed
    """

    changed = Signal()

    def __init__(
        self,
        viewer: Any,
        window: QWidget,
        session: AnnotationSession,
        shown: Shown,
        *,
        on_problem: Callable[[Exception], None],
    ):
        self._viewer, self._session, self._shown = viewer, session, shown
        self._on_problem = on_problem
        self._acts = ToolActs(session)
        self._tool = Tool.FIX
        self._armed = self._paused = False
        self._drag_number = 0
        self._grip: BoxGrip | None = None
        self._double_click_callbacks: list[Any] = []
        self._active_layer: Any = None
        self._watch = CanvasWatch(window, lambda: shown.marks.hover(0))
        viewer.mouse_drag_callbacks.append(self._on_press)
        viewer.mouse_move_callbacks.append(self._on_move)
        viewer.layers.selection.events.active.connect(self._on_active_layer, position="last")
        self._on_active_layer(None)

    # -- armed or not -----------------------------------------------------------------------

    @property
    def tool(self) -> Tool:
        """The tool in use, or the one that will be when armed."""
        return self._tool

    @property
    def armed(self) -> bool:
        """A tool was chosen and not put away."""
        return self._armed

    @property
    def active(self) -> bool:
        """Gestures and keys work now: armed, and no drawing mode of napari's is on."""
        return self._armed and not self._paused

    @property
    def reach(self) -> Reach:
        """How far our keys reach now."""
        if self.active:
            return Reach.ALL
        on_nuclei = self._armed and self._active_layer in self._shown.layers
        return Reach.BRUSH if on_nuclei else Reach.BACK

    @property
    def hovered(self) -> int:
        """Id of the nucleus under the cursor, 0 for none."""
        return self._shown.marks.hovered

    def arm(self, tool: Tool = Tool.FIX) -> None:
        """Take a tool; a drawing mode of the active layer, and of the nuclei, is put away."""
        self.cancel_drag()
        self._tool, self._armed = tool, True
        for layer in {self._active_layer, *self._shown.layers} - {None}:
            layer.mode = "pan_zoom"
        self._paused = False
        self._take_double_clicks(True)
        self._viewer.cursor.style = "crosshair"
        self.changed.emit()

    def disarm(self) -> None:
        """Put the tool away; napari is as if it had never been there."""
        self.cancel_drag()
        self._armed = self._paused = False
        self._shown.marks.hover(0)
        self._take_double_clicks(False)
        self._restore_cursor()
        self.changed.emit()

    def cancel_drag(self) -> bool:
        """Forget the drag under way, or the first place of a split; True if there was one."""
        under_way = self._drag_number > 0 or self._acts.seed is not None
        self._drag_number, self._acts.seed = 0, None
        self._shown.marks.end_drag()
        return under_way

    def close(self) -> None:
        """Take all callbacks back."""
        self.disarm()
        self._viewer.layers.selection.events.active.disconnect(self._on_active_layer)
        self._watch_mode(None)
        for callbacks, ours in (
            (self._viewer.mouse_drag_callbacks, self._on_press),
            (self._viewer.mouse_move_callbacks, self._on_move),
        ):
            if ours in callbacks:
                callbacks.remove(ours)
        self._watch.close()

    def _take_double_clicks(self, take: bool) -> None:
        """The second of two quick clicks comes as a double click, where napari would zoom."""
        callbacks = self._viewer.mouse_double_click_callbacks
        if take and self._on_double_click not in callbacks:
            self._double_click_callbacks = list(callbacks)
            callbacks[:] = [self._on_double_click]
        elif not take and self._on_double_click in callbacks:
            added = [each for each in callbacks if each != self._on_double_click]
            callbacks[:] = [*self._double_click_callbacks, *added]

    def _on_active_layer(self, _event: Any) -> None:
        reach = self.reach
        self._watch_mode(self._viewer.layers.selection.active)
        self._on_mode(None)
        if self._paused and self.reach is not reach:
            self.changed.emit()

    def _watch_mode(self, layer: Any) -> None:
        if self._active_layer is not None:
            self._active_layer.events.mode.disconnect(self._on_mode)
        self._active_layer = layer
        if layer is not None:
            layer.events.mode.connect(self._on_mode)

    def _on_mode(self, _event: Any) -> None:
        """Stand aside while the active layer draws, and come back when it no longer does."""
        layer = self._active_layer
        paused = layer is not None and str(layer.mode) != "pan_zoom"
        if not self._armed or paused == self._paused:
            return
        self._paused = paused
        self._take_double_clicks(not paused)
        if paused:
            self.cancel_drag()
            self._shown.marks.hover(0)
            self._restore_cursor()
        else:
            self._viewer.cursor.style = "crosshair"
        self.changed.emit()

    def _restore_cursor(self) -> None:
        layer = self._active_layer
        self._viewer.cursor.style = "standard" if layer is None else layer.cursor

    # -- mouse ------------------------------------------------------------------------------

    def _place(self, event: Any) -> Place | None:
        return self._shown.to_tile(event.position, event.dims_displayed)

    def _is_on_tile(self, place: Place) -> bool:
        height, width = self._session.tile.shape
        return -0.5 <= place[0] < height - 0.5 and -0.5 <= place[1] < width - 0.5

    def _on_move(self, _viewer: Any, event: Any) -> None:
        if not self.active:
            return
        place = self._place(event)
        self._shown.marks.hover(0 if place is None else self._session.labels.at(place))

    def _on_double_click(self, _viewer: Any, event: Any) -> None:
        place = self._place(event)
        if self.active and place is not None and self._is_on_tile(place):
            event.handled = True
            self._safely(self._acts.click, self._tool, place, event.button, event.modifiers)

    def _on_press(self, _viewer: Any, event: Any) -> Iterator[None]:
        """Follow one press to its release; a generator, as napari wants it."""
        if not self.active or (self._watch.space_held and event.button == LEFT):
            return
        if event.button == MIDDLE:
            yield from self._pan(event)
            return
        start = self._place(event)
        if start is None or not self._is_on_tile(start):
            return
        button, modifiers = event.button, tuple(event.modifiers)
        # Alt+drag is napari's zoom to a box, and a drag with the right button zooms.
        drags = button == LEFT and "Alt" not in modifiers
        event.handled = drags
        self._grip = self._gripped(start) if drags and not modifiers else None
        yield from self._follow(event, start, button, modifiers, drags)

    def _gripped(self, place: Place) -> BoxGrip | None:
        """The sides of the box in hand that were pressed on."""
        box = self._shown.marks.box
        if self._tool is not Tool.FIX or box is None:
            return None
        return grip_at(box, place, _GRIP_PX / max(self._shown.screen_px(), 1e-6))

    def _follow(
        self, event: Any, start: Place, button: int, modifiers: tuple[Any, ...], drags: bool
    ) -> Iterator[None]:
        pressed_at, path, moved = np.array(event.pos), [start], False
        self._drag_number += 1
        number = self._drag_number
        yield
        while event.type == "mouse_move":
            moved = moved or _distance(event.pos, pressed_at) > _CLICK_PX
            place = self._place(event)
            if moved and drags and place is not None and number == self._drag_number:
                path.append(place)
                self._show_drag(path)
            yield
        if number != self._drag_number:  # Esc, or the tool was put away
            return
        self._drag_number = 0
        self._shown.marks.end_drag()
        moved = moved or _distance(event.pos, pressed_at) > _CLICK_PX
        end = self._place(event)
        if not moved:
            self._safely(self._acts.click, self._tool, start, button, modifiers)
        elif drags and end is not None and self._grip is not None:
            box = self._grip.moved(end, self._session.tile.shape)
            self._safely(self._session.hand.box, box)
        elif drags and end is not None:
            self._safely(self._acts.drag, self._tool, [*path, end], modifiers)

    def _pan(self, event: Any) -> Iterator[None]:
        """Move the picture with the mouse: the place that was pressed stays under the cursor."""
        camera = getattr(self._viewer, "scene", self._viewer).camera  # moved in napari 0.9
        shown = list(event.dims_displayed)
        anchor = np.array(event.position)[shown]
        event.handled = True
        yield
        while event.type == "mouse_move":
            step = anchor - np.array(event.position)[shown]
            centre = np.array(camera.center, dtype=float)
            centre[-len(shown) :] += step
            camera.center = tuple(centre)
            yield

    def _show_drag(self, path: list[Place]) -> None:
        (y0, x0), (y1, x1) = path[0], path[-1]
        if self._grip is not None:
            sides = self._grip.moved(path[-1], self._session.tile.shape)
            y0, x0, y1, x1 = (edge - 0.5 for edge in sides)
        if self._tool is Tool.FIX:
            self._shown.marks.drag([(y0, x0), (y0, x1), (y1, x1), (y1, x0)], closed=True)
        elif self._tool is Tool.LASSO:
            self._shown.marks.drag(path)
        else:
            self._shown.marks.drag([path[0], path[-1]])

    def _safely(self, action: Callable[..., object], *arguments: Any) -> None:
        try:
            action(*arguments)
        except UniNucError as problem:
            self._on_problem(problem)
        if self._acts.seed is not None:
            self._shown.marks.drag([self._acts.seed])


def _distance(first: Any, second: Any) -> float:
    return float(np.abs(np.asarray(first) - np.asarray(second)).max())
