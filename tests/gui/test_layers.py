"""The layers are a picture of the session, whatever is done to them."""

import numpy as np
import pytest
from napari.layers import Labels
from qtpy.QtCore import Qt

from napari_uninuc.core import verbs
from napari_uninuc.core.nuclei import Status
from napari_uninuc.errors import LabelsError
from napari_uninuc.gui.layers.colours import STATUS_COLOURS, ColourBy


def same(desk) -> None:
    np.testing.assert_array_equal(desk.shown(), desk.session.labels.pixels)


def rgb(desk, id_) -> str:
    red, green, blue = np.rint(255 * desk.bridge.nuclei.colormap.map(id_)[:3]).astype(int)
    return f"#{red:02x}{green:02x}{blue:02x}"


def on_screen(desk, place_yx) -> np.ndarray:
    """The strongest colour drawn around a place in tile px: outlines have dark sides."""
    shot = desk.canvas.shot()
    x, y = desk.canvas.to_screen(place_yx, desk.image) * shot.shape[0] / desk.canvas.widget.height()
    around = shot[round(y) - 3 : round(y) + 4, round(x) - 3 : round(x) + 4, :3].reshape(-1, 3)
    return around[np.ptp(around.astype(int), axis=1).argmax()]


def edge(desk, id_) -> tuple[float, float]:
    """A pixel on the outline of a nucleus."""
    mask = desk.session.labels.mask(id_)
    y, x = np.argwhere(mask.mask)[0]
    return float(y + mask.origin_yx[0]), float(x + mask.origin_yx[1])


def test_every_edit_and_every_undo_is_shown(desk):
    session, start = desk.session, desk.session.labels.pixels.copy()
    y0, x0, y1, x1 = session.labels.box(5)
    session.delete([3, 4])
    same(desk)
    session.split(5, (y0 - 2, (x0 + x1) / 2), (y1 + 2, (x0 + x1) / 2))
    same(desk)
    session.smooth([9])
    session.set_class([9, 10], 2)
    session.do(verbs.delete_automatic(session.labels))
    same(desk)
    while session.undo():
        same(desk)
    np.testing.assert_array_equal(desk.shown(), start)
    while session.redo():
        pass
    same(desk)


def test_a_new_colour_is_drawn_at_once(desk):
    place = edge(desk, 5)
    before = on_screen(desk, place)
    desk.session.set_class([5], 1)
    assert rgb(desk, 5) == desk.session.classes.colour_of(1)
    after = on_screen(desk, place)
    assert np.abs(after.astype(int) - before).max() > 40
    same(desk)
    desk.session.undo()
    np.testing.assert_array_equal(on_screen(desk, place), before)


def test_colours_tell_class_status_or_score(desk):
    place = edge(desk, 5)
    by_class = on_screen(desk, place)
    desk.bridge.colour_by = ColourBy.STATUS
    desk.session.review([5])
    desk.bridge.flush()
    assert rgb(desk, 5) == STATUS_COLOURS[Status.REVIEWED]
    assert rgb(desk, 6) == STATUS_COLOURS[Status.AUTOMATIC]
    by_status = on_screen(desk, place)
    assert by_status[1] > by_status[0]
    assert np.abs(by_status.astype(int) - by_class).max() > 40
    desk.bridge.colour_by = ColourBy.SCORE
    assert rgb(desk, 1) != rgb(desk, 30)


def test_the_table_follows(desk, qtbot):
    labels = desk.session.labels
    desk.session.delete([3])
    desk.session.set_class([5], 2)
    qtbot.waitUntil(lambda: len(desk.bridge.nuclei.features) == 29, timeout=120_000)
    table = desk.bridge.nuclei.features.set_index("index")
    assert 3 not in table.index
    assert table.loc[5, "class"] == "immune"
    assert table.loc[9, "status"] == "automatic"
    assert table.loc[9, "area"] == labels.area(9)
    assert table["area"].sum() == np.count_nonzero(labels.pixels)


def brush(desk, mode, label=0):
    layer = desk.bridge.nuclei
    desk.viewer.layers.selection.active = layer
    layer.mode, layer.brush_size = mode, 6
    if label:
        layer.selected_label = label
    return layer


def test_a_brush_stroke_becomes_one_edit(desk, empty_place):
    start = desk.session.labels.pixels.copy()
    y, x = empty_place(desk.session.labels)
    layer = brush(desk, "paint", desk.session.labels.next_id)
    desk.canvas.drag([(y, x - 5), (y, x), (y, x + 5)], desk.image)
    desk.canvas.settle()
    labels = desk.session.labels
    assert labels.at((y, x - 5)) == labels.at((y, x + 5)) == 31
    assert labels.nuclei[31].status is Status.EDITED
    same(desk)
    desk.canvas.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    np.testing.assert_array_equal(desk.shown(), start)
    assert not desk.session.steps.history.can_undo
    desk.canvas.key(
        Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
    )
    assert labels.at((y, x)) == 31
    assert layer.mode == "paint"


def test_eraser_and_fill_become_edits(desk):
    brush(desk, "erase")
    y, x = desk.centre(5)
    area = desk.session.labels.area(5)
    desk.canvas.drag([(y, x), (y, x + 2)], desk.image)
    desk.canvas.settle()
    assert desk.session.labels.area(5) < area
    same(desk)
    brush(desk, "fill", 9)
    desk.canvas.click(desk.centre(7), desk.image)
    desk.canvas.settle()
    assert not desk.session.labels.area(7)
    same(desk)
    assert desk.session.undo()
    assert desk.session.undo()
    assert desk.session.labels.area(5) == area
    same(desk)


def test_what_arrives_during_a_stroke_is_not_lost_and_not_erased(desk, empty_place):
    y, x = empty_place(desk.session.labels)
    brush(desk, "paint", desk.session.labels.next_id)
    desk.canvas.press((y, x - 8), desk.image)
    desk.canvas.move((y, x - 4), desk.image, buttons=Qt.MouseButton.LeftButton)
    desk.session.delete([5])
    crop = np.full((3, 4), 40, dtype=np.int32)  # beside the stroke, in the box it touches
    top, left = int(y) + 5, int(x)
    desk.session.paint((top, left, top + 3, left + 4), crop)
    desk.canvas.move((y, x + 8), desk.image, buttons=Qt.MouseButton.LeftButton)
    desk.canvas.release((y, x + 8), desk.image)
    desk.canvas.settle()
    labels = desk.session.labels
    assert not labels.area(5)
    assert labels.area(40) >= 10
    assert labels.at((y, x - 8)) == labels.at((y, x + 8)) == 31
    same(desk)


def test_painting_by_program_becomes_an_edit(desk, empty_place):
    y, x = empty_place(desk.session.labels)
    desk.bridge.nuclei.paint((y, x), 31)
    desk.canvas.settle()
    assert desk.session.labels.at((y, x)) == 31
    same(desk)


def test_absurd_ids_are_refused_and_the_layer_put_right(desk, empty_place):
    y, x = empty_place(desk.session.labels)
    desk.bridge.nuclei.paint((y, x), 2_000_000_000)
    desk.canvas.settle()
    assert len(desk.problems) == 1
    assert isinstance(desk.problems[0], LabelsError)
    assert desk.session.labels.at((y, x)) == 0
    same(desk)


def test_new_label_never_gives_an_id_twice(desk):
    desk.tools.disarm()
    desk.session.delete([30])
    desk.viewer.layers.selection.active = desk.bridge.nuclei
    desk.canvas.key(Qt.Key.Key_M)
    assert desk.bridge.nuclei.selected_label == 31


def test_data_assigned_by_others_is_taken_over_or_refused(desk):
    layer, start = desk.bridge.nuclei, desk.session.labels.pixels.copy()
    changed = start.astype(np.uint16)
    changed[changed == 5] = 0
    layer.data = changed
    assert not desk.session.labels.area(5)
    assert layer.data.dtype == np.int32
    same(desk)
    layer.data = np.zeros((8, 8), dtype=np.int32)
    assert isinstance(desk.problems[-1], LabelsError)
    same(desk)
    desk.session.undo()
    np.testing.assert_array_equal(desk.shown(), start)


def test_layers_renamed_moved_hidden_and_added_change_nothing(desk):
    nuclei = desk.bridge.nuclei
    nuclei.name, nuclei.visible = "something", False
    desk.viewer.add_labels(np.ones((9, 9), dtype=np.uint8), name="nuclei")
    desk.viewer.layers.move(desk.viewer.layers.index(nuclei), 0)
    desk.canvas.click(desk.centre(5), desk.image)
    desk.canvas.key(Qt.Key.Key_Delete)
    assert not desk.session.labels.area(5)
    assert desk.bridge.nuclei is nuclei
    same(desk)


def test_layers_deleted_come_back_when_needed(desk):
    desk.canvas.click(desk.centre(5), desk.image)
    assert len(desk.viewer.layers) == 2  # the picture, and one of ours
    for layer in list(desk.viewer.layers)[1:]:
        desk.viewer.layers.remove(layer)
    desk.canvas.settle()
    desk.canvas.click(desk.centre(9), desk.image)
    assert desk.draft.nucleus_id == 9
    desk.session.delete([3])
    assert [type(layer) for layer in desk.viewer.layers].count(Labels) == 1
    same(desk)
    assert len(desk.bridge.nuclei.features) == 29


def test_the_selected_layer_stays_selected(desk):
    desk.viewer.layers.selection.active = desk.image
    desk.canvas.click(desk.centre(5), desk.image)
    assert desk.viewer.layers.selection.active is desk.image


def test_the_image_layer_may_be_deleted_or_changed(desk):
    lost = []
    desk.bridge.image_lost.connect(lambda: lost.append(1))
    desk.image.data = 255 - desk.image.data
    assert lost == [1]
    desk.viewer.layers.remove(desk.image)
    assert lost == [1, 1]
    assert desk.bridge.image is None
    desk.canvas.click(desk.centre(5), desk.bridge.nuclei)
    assert desk.draft.nucleus_id == 5
    desk.viewer.layers.clear()
    desk.canvas.settle()  # napari alone would crash here, see `gl_context`
    desk.session.delete([5])
    desk.viewer.add_image(np.zeros((9, 9)))
    desk.canvas.settle()
    same(desk)


def test_the_layers_follow_the_image(desk):
    desk.canvas.click(desk.centre(5), desk.image)
    desk.image.scale = (0.5, 0.5)
    desk.image.translate = (7, 9)
    desk.image.rotate = 20
    for layer in list(desk.viewer.layers)[1:]:
        for name in ("scale", "translate", "rotate"):
            np.testing.assert_allclose(getattr(layer, name), getattr(desk.image, name))


@pytest.mark.parametrize("ndisplay", [2, 3])
def test_edits_are_shown_in_3d_too(desk, ndisplay):
    desk.viewer.dims.ndisplay = ndisplay
    desk.session.delete([5])
    same(desk)
    desk.viewer.dims.ndisplay = 2


def test_closing_leaves_the_nuclei_and_takes_the_marks(desk):
    desk.canvas.click(desk.centre(5), desk.image)
    desk.bridge.close()
    assert [layer.name for layer in desk.viewer.layers] == ["tissue", "nuclei"]
    desk.session.delete([5])
    assert (desk.viewer.layers["nuclei"].data == 5).any()


def test_the_small_picture_in_the_layer_list_follows(desk):
    desk.bridge.flush()
    before = desk.bridge.nuclei.thumbnail.copy()
    desk.session.delete(list(desk.session.labels.nuclei))
    desk.bridge.flush()
    assert before[..., :3].any()
    assert not desk.bridge.nuclei.thumbnail[..., :3].any()


def test_the_small_picture_in_the_layer_list_stays(desk):
    """napari makes it as transparent as the layer, whenever it draws it."""
    nuclei = desk.bridge.nuclei
    desk.bridge.flush()
    shown = nuclei.thumbnail.copy()
    assert shown[..., :3].any()
    nuclei.mode = "paint"
    nuclei.mode = "pan_zoom"
    assert nuclei.opacity == 0
    nuclei.refresh()
    np.testing.assert_array_equal(nuclei.thumbnail, shown)
