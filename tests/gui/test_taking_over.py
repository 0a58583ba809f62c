"""Nuclei are taken over in the worker, while the window goes on and the picture may change."""

import threading

import numpy as np
import pytest
from qtpy.QtCore import QTimer

from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.tile import Tile
from napari_uninuc.errors import LabelsError
from napari_uninuc.gui.layers.taking import NucleiSource
from napari_uninuc.gui.work.jobs import Worker
from napari_uninuc.gui.work.taking_over import TakingOver
from napari_uninuc.session import AnnotationSession

SHAPE = (600, 600)
HERE = np.eye(2, 3)


def drawn(shape=SHAPE):
    pixels = np.zeros(shape, np.int32)
    pixels[10:20, 10:20], pixels[500:520, 300:310] = 3, 90
    return pixels


class HeldPlane:
    """Pixels that come only once they are let go, and know which thread asked for them."""

    def __init__(self, pixels):
        self.pixels, self.shape = pixels, pixels.shape
        self.let_go, self.asked = threading.Event(), threading.Event()
        self.threads = []

    def __getitem__(self, where):
        self.threads.append(threading.current_thread())
        self.asked.set()
        assert self.let_go.wait(60)
        return self.pixels[where]


class Orders:
    """A session, and what takes nuclei over into it."""

    def __init__(self):
        tile = Tile.from_array(np.zeros((*SHAPE, 3), np.uint8))
        self.session = AnnotationSession(tile, ClassPalette.of_names(["nucleus"]))
        self.worker, self.problems, self.left_out = Worker(), [], []
        self.taking = TakingOver(self.worker, on_problem=self.problems.append)

    def start(self, plane, *, beside=False):
        source = NucleiSource("mine", plane, HERE, SHAPE, {})
        self.taking.start(self.session, source, beside=beside, on_done=self.left_out.append)

    def paint(self, top, id_=1):
        """Draw by hand, in the window's thread."""
        session = self.session
        y0 = top
        assert session.paint((y0, 100, y0 + 5, 105), np.full((5, 5), id_, np.int32))


@pytest.fixture
def orders(qtbot):
    made = Orders()
    yield made
    made.worker.close()
    assert made.worker.join(60)


@pytest.fixture
def edited_meanwhile(orders, monkeypatch):
    """Change the session each time nuclei were made ready for it, the first few times."""

    def of(times):
        ready, made = orders.session.make_adoption, []

        def then_edit(*arguments, **options):
            adoption = ready(*arguments, **options)
            made.append(threading.current_thread())
            if len(made) <= times:
                top, id_ = 100 + 10 * len(made), 1000 + len(made)
                orders.worker.call_in_window(lambda: orders.paint(top, id_))
            return adoption

        monkeypatch.setattr(orders.session, "make_adoption", then_edit)
        return made

    return of


def test_the_window_goes_on_until_they_are_there_and_one_undo_takes_them_back(orders, qtbot):
    orders.paint(50)
    before, plane, beats = orders.session.labels.pixels.copy(), HeldPlane(drawn()), []
    timer = QTimer()
    timer.timeout.connect(lambda: beats.append(len(orders.session.labels)))
    timer.start(1)
    orders.start(plane)
    qtbot.waitUntil(lambda: plane.asked.is_set() and len(beats) > 20)
    assert set(beats) == {1}  # nothing has changed so far
    plane.let_go.set()
    qtbot.waitUntil(lambda: bool(orders.left_out))
    assert threading.current_thread() not in plane.threads
    assert orders.left_out == [0]
    np.testing.assert_array_equal(orders.session.labels.pixels, drawn())
    assert orders.session.undo()
    np.testing.assert_array_equal(orders.session.labels.pixels, before)
    assert orders.session.redo()
    np.testing.assert_array_equal(orders.session.labels.pixels, drawn())
    assert orders.session.labels.area(3) == 100
    assert orders.session.labels.box(90) == (500, 300, 520, 310)


@pytest.mark.parametrize("times", [1, 2, 3])
def test_what_was_drawn_meanwhile_stays_beside_them(orders, edited_meanwhile, qtbot, times):
    made = edited_meanwhile(times)
    orders.start(drawn(), beside=True)
    qtbot.waitUntil(lambda: bool(orders.left_out))
    assert len(made) == times + 1
    assert (threading.current_thread() in made) == (times == 3)  # it comes in the end
    assert set(orders.session.labels.nuclei) == {3, 90, *range(1001, 1001 + times)}
    assert orders.session.undo()
    assert set(orders.session.labels.nuclei) == set(range(1001, 1001 + times))


def test_a_class_added_meanwhile_keeps_its_number(orders, qtbot):
    plane = HeldPlane(drawn())
    plane.let_go.set()
    source = NucleiSource("mine", plane, HERE, SHAPE, {"features": None})
    stale = orders.session.make_adoption(source.read().nuclei)
    orders.session.classes = ClassPalette.of_names(["stroma", "nucleus"])
    assert not orders.session.adopt_ready(stale)
    assert orders.session.adopt(source.read().nuclei)
    (class_id,) = {row.class_id for row in orders.session.labels.nuclei.values()}
    assert orders.session.classes.name_of(class_id) == "nucleus"


def test_what_cannot_be_taken_is_told_and_changes_nothing(orders, qtbot):
    orders.paint(50)
    orders.start(np.zeros(SHAPE, np.int32))
    qtbot.waitUntil(lambda: bool(orders.problems))
    (problem,) = orders.problems
    assert isinstance(problem, LabelsError)
    assert "mine has no nucleus on the picture" in str(problem)
    assert orders.left_out == []
    assert set(orders.session.labels.nuclei) == {1}


def test_painting_on_their_layer_afterwards_changes_nothing(orders, qtbot):
    layer = drawn()
    orders.start(layer)
    qtbot.waitUntil(lambda: bool(orders.left_out))
    layer[:] = 7
    np.testing.assert_array_equal(orders.session.labels.pixels, drawn())


def test_those_ordered_are_put_in_once_when_asked_to_hurry(orders, qtbot):
    held = threading.Event()
    orders.worker.submit("busy", lambda: held.wait(60))
    orders.start(drawn())
    orders.taking.flush()
    assert orders.left_out == [0]
    held.set()
    qtbot.waitUntil(lambda: not orders.worker.tasks)
    assert orders.left_out == [0]
    assert orders.session.undo()
    assert not orders.session.undo()


def test_a_picture_that_is_closed_meanwhile_loses_none(room):
    image = room.open(SHAPE, n_nuclei=4)
    layer = room.viewer.add_labels(drawn(), name="mine")
    room.widget.picture.labels.value = layer
    session = room.session
    with room.annotator.held("segment"):
        room.widget.outline.start.click()
        room.until(lambda: "segment" in str(room.annotator.calls))
        room.widget.picture.take_labels.click()
        assert len(session.labels) == 0
        room.viewer.layers.remove(image)
        room.until(lambda: room.bench.desk is None and len(session.labels) == 2)
    assert [each.name for each in room.viewer.layers] == ["mine"]
    np.testing.assert_array_equal(session.labels.pixels, drawn())
