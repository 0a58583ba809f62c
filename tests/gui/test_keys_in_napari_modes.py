"""Our keys beside napari's: in its drawing modes, whatever is selected, and when keys are held."""

import pytest
from napari.settings import get_settings
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_uninuc.core.nuclei import Status
from napari_uninuc.gui.canvas.tools import Tool
from napari_uninuc.gui.window.keymap import Reach

F, L, N, P, Z = Qt.Key.Key_F, Qt.Key.Key_L, Qt.Key.Key_N, Qt.Key.Key_P, Qt.Key.Key_Z
CTRL = Qt.KeyboardModifier.ControlModifier
MODES = ("paint", "erase", "fill", "pick", "polygon", "transform")


@pytest.fixture
def no_delay():
    """Every key let go of counts as one that was held."""
    application = get_settings().application
    before = application.hold_button_delay
    application.hold_button_delay = 0
    yield
    application.hold_button_delay = before


@pytest.fixture
def nuclei(desk):
    layer = desk.bridge.nuclei
    desk.viewer.layers.selection.active = layer
    return layer


def is_ours(desk):
    return desk.tools.active and desk.bridge.nuclei.mode == "pan_zoom"


@pytest.mark.parametrize("mode", MODES)
def test_f_comes_back_from_every_tool_of_napari_and_stays(desk, nuclei, no_delay, mode):
    before = desk.session.labels.pixels.copy()
    nuclei.mode = mode
    assert desk.tools.reach is Reach.BRUSH
    desk.canvas.key(F)
    assert is_ours(desk)
    assert desk.tools.tool is Tool.FIX
    desk.canvas.key(L)
    desk.canvas.key(F)
    assert is_ours(desk)
    desk.canvas.click(desk.centre(5), desk.image)
    assert desk.draft.nucleus_id == 5
    assert (desk.session.labels.pixels == before).all()


def test_the_brush_button_leads_to_the_brush_and_f_back_even_if_no_tool_was_in_hand(room):
    room.open()
    tools = room.bench.desk.tools
    room.widget.tools.tools[Tool.FIX].click()
    assert not tools.armed
    assert "Press F or a tool" in room.widget.tools._words(room.bench.desk)
    room.widget.tools.verbs["brush"].click()
    assert room.bench.desk.bridge.nuclei.mode == "paint"
    assert "Press F to come back" in room.widget.tools._words(room.bench.desk)
    room.canvas.key(F)
    assert tools.active
    room.widget.tools.tools[Tool.FIX].click()
    room.canvas.key(F)
    assert tools.active, "its key is printed on the button"


@pytest.mark.parametrize("chosen", ["image", "none", "several"])
def test_f_puts_the_brush_away_though_the_nuclei_are_not_the_active_layer(desk, nuclei, chosen):
    nuclei.mode = "paint"
    selection = desk.viewer.layers.selection
    selection.clear()
    selection.update({"image": [desk.image], "none": [], "several": [desk.image, nuclei]}[chosen])
    desk.canvas.key(F)
    assert is_ours(desk)
    selection.clear()
    selection.active = nuclei
    assert is_ours(desk)


def test_on_a_layer_of_the_person_only_the_way_back_is_ours(desk, nuclei):
    own = desk.viewer.add_labels(nuclei.data.copy())
    desk.session.set_class([5], 1)
    own.mode = "paint"
    assert desk.tools.reach is Reach.BACK
    desk.canvas.key(Z, CTRL)
    desk.canvas.key(N)
    assert desk.session.labels.nuclei[5].class_id == 1, "undo is that layer's"
    assert desk.draft is None
    desk.viewer.layers.selection.active = nuclei
    nuclei.mode = "paint"
    assert desk.tools.reach is Reach.BRUSH
    desk.viewer.layers.selection.active = own
    assert desk.tools.reach is Reach.BACK
    desk.canvas.key(F)
    assert desk.tools.active
    assert own.mode == "pan_zoom"


def test_undo_in_the_brush_is_ours_and_its_release_changes_no_mode(desk, nuclei, no_delay):
    desk.tools.disarm()
    desk.canvas.key(P)
    desk.canvas.key(Z)  # napari's: back to moving the picture
    desk.tools.arm()
    desk.session.set_class([5], 1)
    nuclei.mode = "paint"
    desk.canvas.key(Z, CTRL)
    assert desk.session.labels.nuclei[5].class_id == 0
    assert desk.session.labels.nuclei[5].status is Status.AUTOMATIC
    assert nuclei.mode == "paint"


def test_what_napari_remembers_of_a_key_does_not_come_up_when_the_key_is_ours(
    desk, nuclei, no_delay
):
    nuclei.mode = "paint"
    desk.tools.disarm()
    desk.canvas.key(L)
    desk.tools.arm()
    desk.canvas.key(L)
    assert desk.tools.tool is Tool.LASSO
    assert is_ours(desk)


def test_a_key_held_while_the_tool_is_taken_does_not_take_it_away_again(desk, nuclei, no_delay):
    nuclei.mode = "paint"
    QTest.keyPress(desk.canvas.widget, Qt.Key.Key_1)
    assert nuclei.mode == "erase"
    desk.tools.arm()  # as by the button
    QTest.keyRelease(desk.canvas.widget, Qt.Key.Key_1)
    assert is_ours(desk)


def test_holding_f_down_is_pressing_it_once(desk, nuclei, no_delay):
    nuclei.mode = "paint"
    for _ in range(3):
        QTest.keyPress(desk.canvas.widget, F)
        assert is_ours(desk)
    QTest.keyRelease(desk.canvas.widget, F)
    assert is_ours(desk)


def test_a_release_that_was_lost_is_not_missed_later(desk, nuclei, no_delay):
    QTest.keyPress(desk.canvas.widget, L)  # ours; another window gets the release
    desk.tools.disarm()
    QTest.keyPress(desk.canvas.widget, L)
    assert nuclei.mode == "pick"
    QTest.keyRelease(desk.canvas.widget, L)
    assert nuclei.mode == "pan_zoom", "held in napari, it is for as long as it is held"


def test_a_key_held_in_napari_works_as_napari_has_it(desk, nuclei, no_delay):
    nuclei.mode = "paint"
    desk.canvas.key(L)
    assert nuclei.mode == "paint"
    desk.canvas.key(F)
    QTest.keyPress(desk.canvas.widget, P)
    assert not desk.tools.active
    QTest.keyRelease(desk.canvas.widget, P)
    assert is_ours(desk)


def test_f_in_the_middle_of_a_stroke_keeps_the_stroke(desk, nuclei, qtbot):
    nuclei.selected_label = desk.session.labels.next_id
    nuclei.mode = "paint"
    start = (128.0, 128.0)
    desk.canvas.press(start, desk.image)
    desk.canvas.move((128, 140), desk.image, buttons=Qt.MouseButton.LeftButton)
    desk.canvas.key(F)
    desk.canvas.release((128, 140), desk.image)
    qtbot.waitUntil(lambda: desk.session.labels.at(start) == nuclei.selected_label)
    assert is_ours(desk)
    assert (desk.shown() == desk.session.labels.pixels).all()
    desk.canvas.key(Z, CTRL)
    assert desk.session.labels.at(start) != nuclei.selected_label
