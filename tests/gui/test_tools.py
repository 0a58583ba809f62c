"""Gestures with a real mouse on a real canvas, looked at in the session."""

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_uninuc.core.nuclei import Status
from napari_uninuc.gui.canvas.tools import Tool

LEFT, RIGHT, MIDDLE = (
    Qt.MouseButton.LeftButton,
    Qt.MouseButton.RightButton,
    Qt.MouseButton.MiddleButton,
)
ALT, SHIFT = Qt.KeyboardModifier.AltModifier, Qt.KeyboardModifier.ShiftModifier


def wait(desk, qtbot):
    qtbot.waitUntil(desk.answered, timeout=120_000)


def pixels(desk) -> np.ndarray:
    return desk.session.labels.pixels.copy()


def camera(desk):
    return getattr(desk.viewer, "scene", desk.viewer).camera  # moved in napari 0.9


def test_clicking_a_nucleus_takes_it_in_hand_and_changes_nothing(desk):
    before = pixels(desk)
    desk.canvas.click(desk.centre(5), desk.image)
    assert desk.draft.nucleus_id == 5
    assert not desk.draft.is_changed
    assert desk.draft.prompt.previous is not None
    np.testing.assert_array_equal(pixels(desk), before)
    assert desk.annotator.calls == []


def test_clicking_an_empty_place_adds_a_nucleus(desk, qtbot, empty_place):
    place = empty_place(desk.session.labels)
    desk.canvas.click(place, desk.image)
    wait(desk, qtbot)
    desk.canvas.key(Qt.Key.Key_Return)
    assert desk.session.labels.at(place) == 31
    assert desk.session.labels.nuclei[31].status is Status.EDITED
    np.testing.assert_array_equal(desk.shown(), desk.session.labels.pixels)


def test_a_positive_and_a_negative_click_refine_the_one_in_hand(desk, qtbot):
    y, x = desk.centre(5)
    others = pixels(desk)
    desk.canvas.click((y, x), desk.image)
    box = desk.session.labels.box(5)
    desk.canvas.click((box[0] - 2, x), desk.image)
    assert desk.draft.nucleus_id == 5
    assert desk.draft.prompt.inside == (True,)
    wait(desk, qtbot)
    desk.canvas.click((y, box[3]), desk.image, RIGHT)
    assert desk.draft.prompt.inside == (True, False)
    wait(desk, qtbot)
    desk.canvas.click((y, x), desk.image, LEFT, ALT)
    assert desk.draft.prompt.inside == (True, False, False)
    wait(desk, qtbot)
    desk.canvas.key(Qt.Key.Key_Return)
    assert desk.draft is None
    now = pixels(desk)
    assert desk.session.labels.nuclei[5].status is Status.EDITED
    outside = (others != 5) & (now != 5)
    np.testing.assert_array_equal(now[outside], others[outside])
    assert (now[others == 5] != 5).any()
    assert (others[now == 5] != 5).any()


def test_shift_click_belongs_however_far_away(desk, empty_place):
    desk.canvas.click(desk.centre(5), desk.image)
    desk.canvas.click(empty_place(desk.session.labels), desk.image, LEFT, SHIFT)
    assert desk.draft.nucleus_id == 5
    assert desk.draft.prompt.inside == (True,)


def test_clicking_another_nucleus_keeps_the_one_in_hand(desk, qtbot):
    y, x = desk.centre(5)
    area = desk.session.labels.area(5)
    desk.canvas.click((y, x), desk.image)
    desk.canvas.click((desk.session.labels.box(5)[0] - 2, x), desk.image)
    wait(desk, qtbot)
    desk.canvas.click(desk.centre(9), desk.image)
    assert desk.draft.nucleus_id == 9
    assert desk.session.labels.area(5) > area


def test_clicking_far_away_keeps_and_adds_even_before_the_answer(desk, qtbot, empty_place):
    first, second = (empty_place(desk.session.labels, nth) for nth in (0, 1))
    with desk.annotator.held("encode"):
        desk.canvas.click(first, desk.image)
        desk.canvas.click(second, desk.image)
        desk.canvas.key(Qt.Key.Key_Return)
    wait(desk, qtbot)
    assert desk.session.labels.at(first)
    assert desk.session.labels.at(second)
    assert desk.session.labels.at(first) != desk.session.labels.at(second)


def test_escape_drops_and_nothing_has_changed(desk, qtbot):
    before = pixels(desk)
    y, x = desk.centre(5)
    desk.canvas.click((y, x), desk.image)
    desk.canvas.click((y + 1, x), desk.image)
    wait(desk, qtbot)
    desk.canvas.key(Qt.Key.Key_Escape)
    assert desk.draft is None
    np.testing.assert_array_equal(pixels(desk), before)


def test_the_second_of_two_quick_clicks_counts_and_does_not_zoom(desk):
    zoom = camera(desk).zoom
    y, x = desk.centre(5)
    desk.canvas.click((y, x), desk.image)
    desk.canvas.second_click((y, x), desk.image)
    assert desk.draft.prompt.inside == (True,)
    assert camera(desk).zoom == zoom
    desk.tools.disarm()
    desk.canvas.second_click((y, x), desk.image)
    assert camera(desk).zoom == pytest.approx(2 * zoom)


def test_a_box_adds_a_nucleus_and_the_camera_stays(desk, qtbot, empty_place):
    y, x = empty_place(desk.session.labels)
    centre, zoom = camera(desk).center, camera(desk).zoom
    desk.canvas.drag([(y - 8, x - 9), (y, x), (y + 8, x + 9)], desk.image)
    assert desk.draft.nucleus_id == 0
    assert desk.draft.prompt.box_yxyx == (y - 8, x - 9, y + 9, x + 10)
    wait(desk, qtbot)
    assert (camera(desk).center, camera(desk).zoom) == (centre, zoom)


def test_a_box_over_a_nucleus_outlines_it_anew(desk, qtbot):
    y0, x0, y1, x1 = desk.session.labels.box(7)
    desk.canvas.drag([(y0 - 1, x0 - 1), (y1, x1)], desk.image)
    assert desk.draft.nucleus_id == 7
    wait(desk, qtbot)


def test_a_box_elsewhere_does_not_take_the_one_in_hand_with_it(desk, qtbot, empty_place):
    desk.canvas.click(desk.centre(5), desk.image)
    y, x = empty_place(desk.session.labels)
    desk.canvas.drag([(y - 8, x - 8), (y + 8, x + 8)], desk.image)
    assert desk.draft.nucleus_id == 0
    wait(desk, qtbot)


def test_escape_ends_a_drag_under_way(desk, empty_place):
    y, x = empty_place(desk.session.labels)
    desk.canvas.press((y - 8, x - 8), desk.image)
    desk.canvas.move((y + 8, x + 8), desk.image, buttons=LEFT)
    desk.canvas.key(Qt.Key.Key_Escape)
    desk.canvas.release((y + 8, x + 8), desk.image)
    assert desk.draft is None


def test_space_and_the_middle_button_move_the_picture(desk):
    start = np.array(camera(desk).center)
    desk.canvas.drag([(100, 100), (110, 120), (120, 140)], desk.image, MIDDLE)
    moved = start - np.array(camera(desk).center)
    np.testing.assert_allclose(moved[-2:], (20, 40), atol=1)
    start = np.array(camera(desk).center)
    from qtpy.QtTest import QTest

    QTest.keyPress(desk.canvas.widget, Qt.Key.Key_Space)
    place = desk.canvas.to_screen((100, 100), desk.image)
    desk.canvas.drag([(100, 100), (104, 108)], desk.image)
    QTest.keyRelease(desk.canvas.widget, Qt.Key.Key_Space)
    desk.canvas.shot()  # the model of the camera follows when it is drawn
    assert np.abs(desk.canvas.to_screen((100, 100), desk.image) - place).max() > 2
    assert desk.draft is None


def test_a_drag_with_the_right_button_still_zooms(desk):
    desk.canvas.click(desk.centre(5), desk.image)
    place = desk.canvas.to_screen((0, 0), desk.image)
    desk.canvas.drag([(100, 100), (120, 100), (140, 100)], desk.image, RIGHT)
    assert desk.draft.prompt.inside == ()
    assert np.abs(desk.canvas.to_screen((0, 0), desk.image) - place).max() > 2


def test_off_the_tile_the_camera_pans(desk):
    camera(desk).zoom /= 2
    place = desk.canvas.to_screen((0, 0), desk.image)
    desk.canvas.drag([(100, -20), (110, -10), (120, -5)], desk.image)
    assert desk.draft is None
    assert np.abs(desk.canvas.to_screen((0, 0), desk.image) - place).max() > 2


def test_hovering_shows_what_would_be_hit(desk, empty_place):
    desk.canvas.move(desk.centre(5), desk.image)
    assert desk.tools.hovered == 5
    desk.canvas.move(empty_place(desk.session.labels), desk.image)
    assert desk.tools.hovered == 0


def test_nothing_happens_while_not_armed(desk, empty_place):
    desk.tools.disarm()
    place = desk.canvas.to_screen((0, 0), desk.image)
    desk.canvas.click(desk.centre(5), desk.image)
    desk.canvas.move(desk.centre(5), desk.image)
    desk.canvas.drag([(100, 100), (110, 120), (120, 140)], desk.image)
    assert desk.draft is None
    assert desk.tools.hovered == 0
    assert np.abs(desk.canvas.to_screen((0, 0), desk.image) - place).max() > 2


def test_lasso_selects_and_delete_deletes_all(desk):
    labels = desk.session.labels
    desk.tools.arm(Tool.LASSO)
    inside = {id_ for id_ in labels.nuclei if max(desk.centre(id_)) < 120}
    desk.canvas.drag([(2, 2), (2, 128), (128, 128), (128, 2)], desk.image)
    assert len(desk.session.selection) >= len(inside) > 3
    chosen = desk.session.selection
    before = pixels(desk)
    desk.canvas.key(Qt.Key.Key_Delete)
    np.testing.assert_array_equal(pixels(desk), np.where(np.isin(before, list(chosen)), 0, before))
    desk.session.undo()
    np.testing.assert_array_equal(desk.shown(), before)


def test_lasso_clicks_choose_one_by_one(desk):
    desk.tools.arm(Tool.LASSO)
    desk.canvas.click(desk.centre(5), desk.image)
    desk.canvas.click(desk.centre(9), desk.image, LEFT, SHIFT)
    assert desk.session.selection == {5, 9}
    desk.canvas.click(desk.centre(5), desk.image, LEFT, SHIFT)
    assert desk.session.selection == {9}
    desk.canvas.key(Qt.Key.Key_3)
    assert desk.session.labels.nuclei[9].class_id == 2


def test_split_cuts_along_the_line(desk):
    y0, x0, y1, x1 = desk.session.labels.box(5)
    desk.tools.arm(Tool.SPLIT)
    desk.canvas.drag([(y0 - 3, (x0 + x1) / 2), (y1 + 3, (x0 + x1) / 2)], desk.image)
    labels = desk.session.labels
    assert len(labels) == 31
    assert {labels.at((desk.centre(5)[0], x)) for x in (x0 + 2, x1 - 3)} == {5, 31}


def test_split_by_clicking_both_parts(desk):
    labels = desk.session.labels
    y0, x0, y1, x1 = labels.box(5)
    middle = (y0 + y1 - 1) / 2
    left, right = (middle, x0 + 1.0), (middle, x1 - 2.0)
    desk.tools.arm(Tool.SPLIT)
    desk.canvas.click(left, desk.image)
    assert len(labels) == 30
    assert desk.session.selection == {5}
    desk.canvas.click(right, desk.image)
    assert len(labels) == 31
    assert {labels.at(left), labels.at(right)} == {5, 31}
    assert desk.session.undo()
    assert len(labels) == 30


def test_the_first_place_of_a_split_is_forgotten(desk):
    labels = desk.session.labels
    desk.tools.arm(Tool.SPLIT)
    desk.canvas.click(desk.centre(5), desk.image)
    desk.canvas.click(desk.centre(9), desk.image)  # another nucleus: that one is meant now
    assert desk.session.selection == {9}
    assert desk.tools.cancel_drag()  # as Esc does
    desk.canvas.click(desk.centre(9), desk.image)
    assert len(labels) == 30


def test_merge_by_drag_and_by_alt_click(desk):
    labels = desk.session.labels
    desk.tools.arm(Tool.MERGE)
    places = {id_: desk.centre(id_) for id_ in (3, 5, 9)}
    desk.canvas.drag([places[5], places[9]], desk.image)
    assert labels.at(places[9]) == 5
    desk.canvas.click(places[3], desk.image, LEFT, ALT)
    assert labels.at(places[3]) == labels.at(places[5]) != 0
    assert len(labels) == 28


def test_digits_give_classes_to_what_is_meant(desk):
    labels = desk.session.labels
    desk.canvas.move(desk.centre(5), desk.image)
    desk.canvas.key(Qt.Key.Key_2)
    assert labels.nuclei[5].class_id == 1
    desk.canvas.click(desk.centre(9), desk.image)
    desk.canvas.key(Qt.Key.Key_3)
    assert labels.nuclei[9].class_id == 2
    assert desk.draft.nucleus_id == 9


@pytest.mark.parametrize("active", ["points", "shapes", "image", None])
def test_gestures_work_whatever_layer_is_active(desk, active):
    added = {
        "points": lambda: desk.viewer.add_points([[5, 5]]),
        "shapes": lambda: desk.viewer.add_shapes(),
        "image": lambda: desk.image,
    }
    desk.viewer.layers.selection.active = added[active]() if active else None
    desk.canvas.click(desk.centre(5), desk.image)
    assert desk.draft.nucleus_id == 5
    desk.canvas.key(Qt.Key.Key_Delete)
    assert not desk.session.labels.area(5)


def test_napari_brush_takes_over_and_gives_back(desk):
    nuclei = desk.bridge.nuclei
    desk.viewer.layers.selection.active = nuclei
    nuclei.mode = "paint"
    assert desk.tools.armed
    assert not desk.tools.active
    desk.canvas.click(desk.centre(5), desk.image)
    assert desk.draft is None
    desk.tools.arm(Tool.FIX)
    assert nuclei.mode == "pan_zoom"
    desk.canvas.click(desk.centre(9), desk.image)
    assert desk.draft.nucleus_id == 9


def test_in_3d_nothing_is_hit(desk):
    place = desk.canvas.to_screen(desk.centre(5), desk.image)
    desk.viewer.dims.ndisplay = 3
    assert desk.bridge.to_tile((0.0, 10.0, 10.0), [0, 1, 2]) is None
    desk.viewer.dims.ndisplay = 2
    desk.canvas.settle()
    assert desk.draft is None
    assert place is not None


PLACES = {
    "scaled": {"scale": (0.25, 0.25), "translate": (100, -50), "units": "um"},
    "turned": {"rotate": 30, "scale": (0.5, 0.5)},
    "sheared": {"shear": [0.3], "translate": (3, 4)},
    "affine": {"affine": [[0, -2, 5], [2, 0, 7], [0, 0, 1]]},
}


@pytest.mark.parametrize("placed", PLACES.values(), ids=PLACES)
def test_the_same_click_gives_the_same_mask_wherever_the_image_lies(
    make_desk, qtbot, empty_place, placed
):
    desk = make_desk(placed=placed)
    desk.tools.arm()
    nuclei = desk.bridge.nuclei
    for name in ("scale", "translate", "rotate", "shear", "units"):
        np.testing.assert_array_equal(getattr(nuclei, name), getattr(desk.image, name))
    place = empty_place(desk.session.labels)
    desk.canvas.click(place, desk.image)
    np.testing.assert_allclose(desk.draft.prompt.points_yx[0], place, atol=0.5)
    wait(desk, qtbot)
    desk.canvas.key(Qt.Key.Key_Return)
    y0, x0, y1, x1 = desk.session.labels.box(31)
    assert abs((y0 + y1 - 1) / 2 - place[0]) <= 1
    assert abs((x0 + x1 - 1) / 2 - place[1]) <= 1
    np.testing.assert_array_equal(desk.shown(), desk.session.labels.pixels)
