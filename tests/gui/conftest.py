"""A real napari window under a virtual screen, and real mouse and key events for it."""

import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from qtpy.QtCore import QEvent, QPointF, Qt, QTimer
from qtpy.QtGui import QMouseEvent
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.labels import LabelMap
from napari_uninuc.core.nuclei import Nucleus, Status
from napari_uninuc.gui.actions import Actions
from napari_uninuc.gui.asking import Asker
from napari_uninuc.gui.jobs import Worker
from napari_uninuc.gui.keymap import Keyboard
from napari_uninuc.gui.layers import LayerBridge
from napari_uninuc.gui.tools import Tools
from napari_uninuc.session import AnnotationSession
from napari_uninuc.testing import FakeAnnotator, make_tile

NO_KEY = Qt.KeyboardModifier.NoModifier
LEFT, RIGHT, MIDDLE = (
    Qt.MouseButton.LeftButton,
    Qt.MouseButton.RightButton,
    Qt.MouseButton.MiddleButton,
)


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

    def settle(self, timeout_s=5.0):
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


class StallMeter:
    """Measures how long the event loop was kept from running, by a timer of 1 ms."""

    def __init__(self):
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)
        self._last = 0.0
        self.gaps_ms: list[float] = []

    def __enter__(self):
        QApplication.processEvents()
        self.gaps_ms = []
        self._last = time.perf_counter()
        self._timer.start(1)
        return self

    def __exit__(self, *_problem):
        self._timer.stop()
        self._tick()

    def _tick(self):
        now = time.perf_counter()
        self.gaps_ms.append(1e3 * (now - self._last))
        self._last = now

    @property
    def longest_ms(self) -> float:
        return max(self.gaps_ms)


@pytest.fixture
def stall_meter() -> Callable[[], StallMeter]:
    return StallMeter


@pytest.fixture
def canvas(make_napari_viewer, qtbot) -> Iterator[Canvas]:
    """An empty window, shown and at rest."""
    viewer = make_napari_viewer(show=True)
    made = Canvas(viewer)
    made.window.resize(1000, 800)
    QTest.qWaitForWindowExposed(made.window)
    made.window.activateWindow()
    yield made
    vars(made).clear()  # pytest keeps fixtures while napari looks for windows that leak


class Desk:
    """Everything that correcting needs, put together as the widget does it.

    Attributes
    ----------
    canvas, viewer : of the window
    tissue, image : the made-up tile and the layer that shows it
    session, bridge, tools, worker, asker, keyboard : see their classes
    annotator : a `FakeAnnotator`
    problems : what was reported
    """

    def __init__(self, canvas, tissue, *, placed=None, labels=True, annotator=None):
        self.canvas, self.viewer, self.tissue = canvas, canvas.viewer, tissue
        self.problems: list[Exception] = []
        tell = self.problems.append
        self.image = canvas.viewer.add_image(tissue.tile.rgb, name="tissue", **(placed or {}))
        rows = {
            id_: Nucleus(id_, 0, 0.4 + 0.5 * id_ / 100, 0.8, Status.AUTOMATIC)
            for id_ in range(1, 1 + len(tissue.centres_yx))
        }
        made = LabelMap.from_labels(tissue.labels, rows) if labels else None
        palette = ClassPalette.of_names(("tumour", "stroma", "immune"))
        self.session = AnnotationSession(tissue.tile, palette, made)
        self.bridge = LayerBridge(canvas.viewer, self.session, self.image, on_problem=tell)
        self.tools = Tools(canvas.viewer, canvas.window, self.session, self.bridge, on_problem=tell)
        self.actions = Actions(self.session, self.tools, on_problem=tell)
        self.keyboard = Keyboard(canvas.window, self.actions.handlers())
        self.tools.changed.connect(lambda: self.keyboard.set_armed(self.tools.active))
        self.worker = Worker()
        self.annotator = annotator or FakeAnnotator()
        self.asker = Asker(self.worker, self.session, lambda: self.annotator, on_problem=tell)
        canvas.settle()

    @property
    def draft(self):
        return self.session.hand.draft

    def answered(self) -> bool:
        """Nothing is to be answered any more."""
        hand = self.session.hand
        return not hand.waiting and (hand.draft is None or hand.draft.answered)

    def centre(self, id_) -> tuple[float, float]:
        return self.session.labels.centroid(id_)

    def shown(self) -> np.ndarray:
        self.bridge.flush()
        return np.asarray(self.bridge.nuclei.data)

    def close(self):
        self.tools.close()
        self.keyboard.close()
        self.bridge.close()
        self.asker.close()
        self.worker.close()
        assert self.worker.join(10)


@pytest.fixture
def make_desk(canvas):
    """Make a desk for a tile; closed at the end."""
    desks = []

    def make(shape=(256, 256), n_nuclei=30, **options) -> Desk:
        desks.append(Desk(canvas, make_tile(shape, n_nuclei), **options))
        return desks[-1]

    yield make
    for desk in desks:
        desk.close()
        vars(desk).clear()


@pytest.fixture
def desk(make_desk) -> Desk:
    """A tile of 256 x 256 px with thirty nuclei, the tool armed."""
    made = make_desk()
    made.tools.arm()
    return made


@pytest.fixture
def empty_place():
    """Find a place of a label map far from every nucleus, as (y, x) px."""
    from scipy import ndimage

    def find(labels, nth=0) -> tuple[float, float]:
        far = ndimage.distance_transform_edt(np.pad(labels.pixels == 0, 1))[1:-1, 1:-1]
        for _ in range(nth + 1):
            y, x = np.unravel_index(far.argmax(), far.shape)
            far[max(y - 20, 0) : y + 20, max(x - 20, 0) : x + 20] = 0
        return float(y), float(x)

    return find
