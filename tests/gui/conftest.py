"""A real napari window under a virtual screen, and real mouse and key events for it."""

import gc
import time
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pytest
from driving import Canvas, centre_of
from npe2 import PluginManifest
from qtpy.QtCore import QSettings, Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.labels import LabelMap
from napari_uninuc.core.nuclei import Nucleus, Status
from napari_uninuc.gui import widget
from napari_uninuc.gui.canvas.actions import Actions
from napari_uninuc.gui.canvas.gl_context import ContextGuard
from napari_uninuc.gui.canvas.tools import Tools
from napari_uninuc.gui.layers.bridge import LayerBridge
from napari_uninuc.gui.window import notices
from napari_uninuc.gui.window.keyboard import Keyboard
from napari_uninuc.gui.work.asking import Asker
from napari_uninuc.gui.work.jobs import Worker
from napari_uninuc.session import AnnotationSession
from napari_uninuc.testing import FakeAnnotator, make_tile

PANEL = ("napari-uninuc", "UniNuc: correct nuclei")
"""Plugin and widget, by the names of the manifest."""


class StallMeter:
    """Measures how long the event loop was kept from running, by a timer of 1 ms.

    Attributes
    ----------
    gaps_ms : between two turns of the loop, by the clock
    busy_ms : of which this thread was computing; what other programs take is not in it
    """

    def __init__(self):
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)

    def __enter__(self):
        QApplication.processEvents()
        self.gaps_ms: list[float] = []
        self.busy_ms: list[float] = []
        self._last = time.perf_counter(), time.thread_time()
        self._timer.start(1)
        return self

    def __exit__(self, *_problem):
        self._timer.stop()
        self._tick()

    def _tick(self):
        now = time.perf_counter(), time.thread_time()
        self.gaps_ms.append(1e3 * (now[0] - self._last[0]))
        self.busy_ms.append(1e3 * (now[1] - self._last[1]))
        self._last = now

    def __str__(self):
        return f"longest {max(self.gaps_ms):.0f} ms, of which busy {max(self.busy_ms):.0f} ms"


@pytest.fixture(scope="session", autouse=True)
def _plugins_are_found_once():
    """Every new window reads the manifests of all installed plugins; they do not change."""
    found = list(PluginManifest.discover())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PluginManifest, "discover", lambda paths=(): found)
        yield


@pytest.fixture
def qtbot(qtbot):
    """Wait long for what must come at all: pytest-qt's 5 s are little on a busy machine."""
    qtbot.waitUntil = partial(qtbot.waitUntil, timeout=120_000)
    return qtbot


@pytest.fixture(autouse=True)
def own_settings(tmp_path):
    """What a person folded on this machine is nothing to the tests, nor theirs to the person."""
    ini, user = QSettings.Format.IniFormat, QSettings.Scope.UserScope
    QSettings.setPath(ini, user, str(tmp_path / "settings"))


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
        self.closed = False
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
        self.guard = ContextGuard(canvas.viewer, canvas.window)
        self.tools = Tools(canvas.viewer, canvas.window, self.session, self.bridge, on_problem=tell)
        self.actions = Actions(self.session, self.tools, on_problem=tell)
        self.keyboard = Keyboard(canvas.window, self.actions.handlers())
        self.tools.changed.connect(lambda: self.keyboard.set_reach(self.tools.reach))
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
        return centre_of(self.session.labels, id_)

    def shown(self) -> np.ndarray:
        self.bridge.flush()
        return np.asarray(self.bridge.nuclei.data)

    def close(self):
        """Let go of everything, as the widget does when the window closes; may be called twice."""
        if self.closed:
            return
        self.closed = True
        self.tools.close()
        self.keyboard.close()
        self.bridge.close()
        self.guard.close()
        self.asker.close()
        self.worker.close()


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
        assert desk.worker.join(120)
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


class Room:
    """A window with the widget docked in it, as napari itself does it."""

    def __init__(self, canvas, qtbot, annotator):
        self.canvas, self.qtbot, self.annotator = canvas, qtbot, annotator
        self.viewer = canvas.viewer
        self.dock, self.widget = self.viewer.window.add_plugin_dock_widget(*PANEL)
        self.bench = self.widget.workbench

    def open(self, shape=(256, 256), n_nuclei=30, seed=0, **placed):
        tissue = make_tile(shape, n_nuclei, seed=seed)
        layer = self.viewer.add_image(tissue.tile.rgb, name=f"tissue {seed}", **placed)
        self.widget.picture.image.value = layer
        self.until(lambda: self.bench.desk is not None and self.bench.desk.bridge.image is layer)
        self.idle()
        return layer

    @property
    def session(self):
        return self.bench.desk.session

    def until(self, condition):
        self.qtbot.waitUntil(condition, timeout=120_000)

    def idle(self):
        """Wait until the worker has nothing to do."""
        self.until(lambda: not self.bench.worker.tasks)
        self.canvas.settle()

    def outline(self):
        self.widget.outline.start.click()
        self.until(lambda: self.bench.run is None)

    def close(self):
        """Take the widget out of the window, as closing the dock for good does."""
        if self.bench.worker.is_open:
            self.widget.close_desks()
            assert self.bench.worker.join(120)
            self.viewer.window.remove_dock_widget(self.dock)


@pytest.fixture
def make_room(canvas, qtbot, monkeypatch):
    rooms = []

    def make(**options):
        annotator = FakeAnnotator(**options)
        monkeypatch.setattr(widget, "load_bundled", lambda model, device: annotator)
        rooms.append(Room(canvas, qtbot, annotator))
        return rooms[-1]

    yield make
    for room in rooms:
        room.close()
        vars(room).clear()
    QApplication.processEvents()
    gc.collect()  # widgets are cycles, and napari looks for what still knows its viewer


@pytest.fixture
def room(make_room):
    return make_room()


@pytest.fixture
def said(monkeypatch):
    """What the person was told."""
    heard = []
    for name in ("show_error", "show_info", "show_warning"):
        monkeypatch.setattr(notices, name, heard.append)
    return heard
