"""Real mouse and key events on the canvas of a napari window; for tests and for docs/tour.py."""

import time

import numpy as np
from qtpy.QtCore import QEvent, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

__all__ = ["LEFT", "MIDDLE", "NO_KEY", "RIGHT", "Canvas", "centre_of"]

NO_KEY = Qt.KeyboardModifier.NoModifier
LEFT, RIGHT, MIDDLE = (
    Qt.MouseButton.LeftButton,
    Qt.MouseButton.RightButton,
    Qt.MouseButton.MiddleButton,
)


def centre_of(labels, id_) -> tuple[float, float]:
    """Mean (y, x) of the pixels of a nucleus of a label map, px of the tile."""
    y, x = np.argwhere(labels.pixels == id_).mean(axis=0).tolist()
    return y, x


class Canvas:
    """Mouse and keys on the canvas of a viewer, at places in px of a layer.

    Attributes
    ----------
    viewer, window, widget : napari's viewer, its main window and the OpenGL widget in it
    """

    def __init__(self, viewer):
        self.viewer = viewer
        self.window = viewer.window._qt_window
        (self.widget,) = self.window.findChildren(QOpenGLWidget)

    def settle(self, timeout_s=60.0):
        """Wait until the layout is at rest: docking moves the canvas after it was shown."""
        readings, ends = [], time.monotonic() + timeout_s
        while time.monotonic() < ends:
            QTest.qWait(30)
            readings.append((self.widget.size(), tuple(self.to_screen((0, 0), None))))
            if len(readings) > 1 and readings[-1] == readings[-2]:
                return
        raise AssertionError(f"the canvas does not come to rest: {readings[-2:]}")

    def to_screen(self, place_yx, layer) -> np.ndarray:
        """Map px (y, x) of a layer, or of the world for None, to (x, y) of the canvas."""
        y, x = place_yx if layer is None else layer.data_to_world(place_yx)[-2:]
        view = self.viewer.window._qt_viewer.canvas.view
        mapped = (view.transform * view.scene.transform).map([x, y])
        return mapped[:2] / mapped[3]

    def _point(self, place_yx, layer) -> QPointF:
        return QPointF(*self.to_screen(place_yx, layer))

    def _send(self, kind, point, button, buttons, keys):
        QApplication.processEvents()
        event = QMouseEvent(
            kind, point, QPointF(self.widget.mapToGlobal(point.toPoint())), button, buttons, keys
        )
        QApplication.sendEvent(self.widget, event)

    def move(self, place_yx, layer, *, buttons=Qt.MouseButton.NoButton, keys=NO_KEY):
        """Move the cursor; napari is given the time it throttles moves by."""
        self._move(self._point(place_yx, layer), buttons, keys)

    def _move(self, point, buttons, keys):
        QTest.qWait(15)  # vispy drops moves closer than 10 ms
        self._send(QEvent.Type.MouseMove, point, Qt.MouseButton.NoButton, buttons, keys)
        QTest.qWait(15)

    def press(self, place_yx, layer, button=LEFT, keys=NO_KEY):
        kind = QEvent.Type.MouseButtonPress
        self._send(kind, self._point(place_yx, layer), button, button, keys)

    def release(self, place_yx, layer, button=LEFT, keys=NO_KEY):
        kind, none = QEvent.Type.MouseButtonRelease, Qt.MouseButton.NoButton
        self._send(kind, self._point(place_yx, layer), button, none, keys)

    def click(self, place_yx, layer, button=LEFT, keys=NO_KEY):
        """Press and release at one place."""
        self.press(place_yx, layer, button, keys)
        self.release(place_yx, layer, button, keys)
        QApplication.processEvents()

    def second_click(self, place_yx, layer, button=LEFT, keys=NO_KEY):
        """The second of two quick clicks, which Qt gives another name."""
        kind = QEvent.Type.MouseButtonDblClick
        self._send(kind, self._point(place_yx, layer), button, button, keys)
        self.release(place_yx, layer, button, keys)
        QApplication.processEvents()

    def drag(self, places_yx, layer, button=LEFT, keys=NO_KEY):
        """Press at the first place, move through all, release at the last.

        The way on the screen is fixed at the press, whatever the camera does meanwhile.
        """
        points = [self._point(place, layer) for place in places_yx]
        self._send(QEvent.Type.MouseButtonPress, points[0], button, button, keys)
        for point in points[1:]:
            self._move(point, button, keys)
        none = Qt.MouseButton.NoButton
        self._send(QEvent.Type.MouseButtonRelease, points[-1], button, none, keys)
        QApplication.processEvents()

    def key(self, key, keys=NO_KEY, widget=None):
        """Press and release a key where the focus is, by default on the canvas."""
        QTest.keyClick(widget or self.widget, key, keys)
        QApplication.processEvents()

    def shot(self) -> np.ndarray:
        """The canvas as it is drawn now, (H, W, 4) uint8."""
        return self.viewer.screenshot(canvas_only=True, flash=False)
