"""Which picture is worked at, whatever happens to the layers: the one that is seen."""

import threading

import numpy as np
import pytest
from driving import Canvas
from napari.layers import Image
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_uninuc.gui import widget
from napari_uninuc.gui.layers.meant import meant_picture
from napari_uninuc.testing import FakeAnnotator, make_tile

PANEL = ("napari-uninuc", "UniNuc: correct nuclei")


def add(room, seed, n_nuclei=20, **options):
    """Open a picture as a person does, without a word to the panel."""
    tissue = make_tile((256, 256), n_nuclei, seed=seed)
    return tissue, room.viewer.add_image(tissue.tile.rgb, name=f"tile {seed}", **options)


def worked_at(room):
    return None if room.bench.desk is None else room.bench.desk.session.tile.name


def come_to(room, name):
    room.until(lambda: worked_at(room) == name and not room.bench.worker.tasks)
    room.canvas.settle()


def seen_nuclei(room):
    """Labels layers that are drawn and hold anything."""
    layers = [each for each in room.viewer.layers if not isinstance(each, Image)]
    return [each for each in layers if each.visible and np.any(each.data)]


def agrees(room, layer):
    """Panel, tool, keys and layers are about one picture, or about none."""
    desk = room.bench.desk
    assert room.widget.picture.image.value is layer
    if layer is None:
        assert desk is None
        assert seen_nuclei(room) == []
        assert not room.widget.outline.start.isEnabled()
    else:
        assert desk.bridge.image is layer
        assert desk.tools.active
        assert all(each in desk.bridge.layers for each in seen_nuclei(room))


def test_the_next_tile_after_all_layers_were_deleted(room):
    add(room, 0)
    come_to(room, "tile 0")
    room.outline()
    room.viewer.layers.select_all()
    room.viewer.layers.remove_selected()
    assert room.bench.desk is None
    QTest.qWait(50)
    assert list(room.viewer.layers) == []
    agrees(room, None)
    tissue, second = add(room, 1, n_nuclei=7)
    come_to(room, "tile 1")
    agrees(room, second)
    room.outline()
    assert len(room.session.labels) == 7
    assert ((room.session.labels.pixels > 0) != (tissue.labels > 0)).mean() < 0.01


def test_a_picture_opened_on_top_takes_the_clicks(room):
    add(room, 0)
    come_to(room, "tile 0")
    room.outline()
    first = room.session
    tissue, second = add(room, 1)
    come_to(room, "tile 1")
    agrees(room, second)
    room.canvas.click(tissue.centres_yx[0], second)
    room.until(lambda: room.session.hand.draft is not None and room.session.hand.draft.answered)
    assert first.hand.draft is None
    room.viewer.layers.remove(second)
    come_to(room, "tile 0")
    assert room.session is first
    assert len(first.labels) == 20


def test_nothing_is_drawn_for_a_hidden_picture(room):
    _, layer = add(room, 0)
    come_to(room, "tile 0")
    room.outline()
    session = room.session
    for hide, show in (({"visible": False}, {"visible": True}), ({"opacity": 0}, {"opacity": 1})):
        for name, value in hide.items():
            setattr(layer, name, value)
        QTest.qWait(30)
        agrees(room, None)
        room.until(lambda: "No picture is seen" in room.widget.tools.state.text())
        for name, value in show.items():
            setattr(layer, name, value)
        QTest.qWait(30)
        agrees(room, layer)
    assert room.session is session
    assert len(seen_nuclei(room)) == 1


def test_pictures_that_change_places_in_the_list(room):
    _, first = add(room, 0)
    come_to(room, "tile 0")
    _, second = add(room, 1)
    come_to(room, "tile 1")
    room.viewer.layers.move(room.viewer.layers.index(first), len(room.viewer.layers))
    come_to(room, "tile 0")
    agrees(room, first)
    room.widget.picture.image.value = second  # lies below: is brought to sight
    come_to(room, "tile 1")
    agrees(room, second)
    assert room.viewer.layers.index(second) > room.viewer.layers.index(first)
    second.visible = False
    come_to(room, "tile 0")
    agrees(room, first)


def test_a_picture_deleted_during_a_run_ends_it_and_its_nuclei_are_offered_again(make_room):
    room = make_room(field_size=128, halo=16, delays={"segment": 0.05})
    tissue, layer = add(room, 0)
    come_to(room, "tile 0")
    room.widget.outline.start.click()
    room.until(lambda: room.bench.run is not None and room.bench.run.found > 0)
    room.viewer.layers.remove(layer)
    assert room.bench.desk is None
    room.idle()
    assert room.bench.run is None
    agrees(room, None)
    assert not room.viewer.layers  # its nuclei are on disk
    again = room.viewer.add_image(tissue.tile.rgb, name="again")
    come_to(room, "again")
    agrees(room, again)
    room.until(room.widget.earlier.isVisible)
    room.widget.earlier.go_on.click()
    room.until(lambda: len(room.session.labels) > 0)


def test_the_same_layer_put_back_is_worked_at_again(room):
    _, layer = add(room, 0)
    come_to(room, "tile 0")
    room.outline()
    room.viewer.layers.remove(layer)
    QTest.qWait(30)
    agrees(room, None)
    room.viewer.layers.append(layer)
    come_to(room, "tile 0")
    agrees(room, layer)
    room.until(room.widget.earlier.isVisible)
    earlier = room.widget.earlier
    assert earlier.title.isChecked()
    room.outline()
    assert not earlier.title.isChecked()  # what is worked at needs the room
    assert earlier.isVisible()
    add(room, 1)
    come_to(room, "tile 1")
    assert earlier.title.isChecked()


def test_an_answer_on_its_way_goes_to_the_picture_that_was_clicked(room):
    tissue, first = add(room, 0)
    come_to(room, "tile 0")
    session = room.session
    with room.annotator.held("answer"):
        room.canvas.click(tissue.centres_yx[0], first)
        room.until(lambda: "answer" in room.annotator.calls)
        other, second = add(room, 1)
        room.until(lambda: room.bench.desk is None)
    come_to(room, "tile 1")
    room.until(lambda: len(session.labels) == 1)
    assert session.labels.at(tissue.centres_yx[0])
    assert len(room.session.labels) == 0
    agrees(room, second)
    room.canvas.click(other.centres_yx[0], second)
    room.until(lambda: room.session.hand.draft is not None and room.session.hand.draft.answered)
    mask = room.session.hand.draft.mask
    assert mask.box_yxyx[0] <= other.centres_yx[0][0] <= mask.box_yxyx[2]
    assert len(session.labels) == 1


def test_a_click_of_a_picture_deleted_before_its_answer_is_kept(room):
    tissue, layer = add(room, 0)
    come_to(room, "tile 0")
    session = room.session
    with room.annotator.held("answer"):
        room.canvas.click(tissue.centres_yx[0], layer)
        room.until(lambda: "answer" in room.annotator.calls)
        room.viewer.layers.remove(layer)
        QTest.qWait(30)
        agrees(room, None)
    room.until(lambda: len(session.labels) == 1)
    QTest.qWait(30)
    assert seen_nuclei(room) == []
    again = room.viewer.add_image(tissue.tile.rgb, name="again")
    come_to(room, "again")
    room.until(room.widget.earlier.isVisible)
    room.widget.earlier.go_on.click()
    room.until(lambda: len(room.session.labels) == 1)
    agrees(room, again)


def test_while_the_model_loads_the_panel_says_so(canvas, make_room, monkeypatch):
    ready, annotator = threading.Event(), FakeAnnotator()

    def load(_model, _device):
        ready.wait(20)
        return annotator

    room = make_room()
    room.close()
    monkeypatch.setattr(widget, "load_bundled", load)
    room.dock, room.widget = room.viewer.window.add_plugin_dock_widget(*PANEL)
    room.bench = room.widget.workbench
    words = room.widget.tools.state
    room.until(lambda: words.text() == "The model is loading. Open a picture to begin.")
    add(room, 0)
    room.until(lambda: "then tile 0 is read" in words.text())
    _, second = add(room, 1)
    room.until(lambda: "then tile 1 is read" in words.text())
    ready.set()
    come_to(room, "tile 1")
    agrees(room, second)
    room.until(lambda: words.text() == "Click a nucleus to correct it.")


def test_a_layer_that_is_given_other_pixels_is_another_picture(room):
    tissue, layer = add(room, 0)
    come_to(room, "tile 0")
    room.outline()
    before = room.session
    layer.data = tissue.tile.rgb.copy()  # the same picture
    assert room.bench.desk is None
    come_to(room, "tile 0")
    assert room.session is before
    layer.data = make_tile((256, 256), 9, seed=1).tile.rgb
    assert room.bench.desk is None
    come_to(room, "tile 0")
    assert room.session is not before
    assert seen_nuclei(room) == []
    room.outline()
    assert len(room.session.labels) == 9
    layer.data = tissue.tile.rgb
    come_to(room, "tile 0")
    room.until(room.widget.earlier.isVisible)


def test_a_run_goes_on_unseen_while_the_next_picture_is_worked_at(make_room):
    room = make_room(field_size=64, halo=16, delays={"segment": 0.05})
    add(room, 0)
    come_to(room, "tile 0")
    first = room.bench.desk
    room.widget.outline.start.click()
    room.until(lambda: room.bench.run.found > 0)
    room.viewer.layers.remove(first.bridge.nuclei)
    tissue, second = add(room, 1)
    room.until(lambda: worked_at(room) == "tile 1")
    assert room.bench.run is not None  # the picture did not wait for the run
    agreed = room.widget.outline
    assert "tile 0, which is not shown" in agreed.where.text()
    assert not agreed.start.isEnabled()
    room.canvas.click(tissue.centres_yx[0], second)
    room.until(lambda: room.bench.run is None)
    come_to(room, "tile 1")
    assert len(first.session.labels) == 20
    assert first.bridge.layers == () or not any(each.visible for each in first.bridge.layers)
    assert agreed.start.isEnabled()


def test_a_map_laid_over_the_picture_is_not_another_picture(room):
    _, layer = add(room, 0)
    come_to(room, "tile 0")
    overlay = np.zeros((256, 256), np.float32)
    room.viewer.add_image(overlay, name="map", blending="additive")
    room.viewer.add_image(overlay, name="heat", opacity=0.4)
    QTest.qWait(50)
    agrees(room, layer)


def test_a_picture_beside_is_gone_to_and_the_first_stays_seen(room):
    _, first = add(room, 0)
    come_to(room, "tile 0")
    _, second = add(room, 1, translate=(0, 300))
    come_to(room, "tile 1")
    order = list(room.viewer.layers)
    room.widget.picture.image.value = first
    come_to(room, "tile 0")
    assert [each for each in room.viewer.layers if each in order] == order  # nothing was in the way
    agrees(room, first)
    assert second.visible


def test_nuclei_lie_above_a_picture_that_was_moved_over_them(room):
    _, first = add(room, 0)
    come_to(room, "tile 0")
    room.outline()
    add(room, 1)
    come_to(room, "tile 1")
    layers = room.viewer.layers
    layers.move(layers.index(first), len(layers))  # the picture alone, as dragging it does
    come_to(room, "tile 0")
    bridge = room.bench.desk.bridge
    room.until(lambda: layers.index(bridge.nuclei) > layers.index(first))
    assert [layers.index(each) - layers.index(first) for each in bridge.layers] == [1]
    layers.move(layers.index(first), len(layers))  # with no other picture to go to
    room.until(lambda: layers.index(bridge.nuclei) > layers.index(first))
    agrees(room, first)


def test_a_picture_that_lets_its_nuclei_through_may_lie_over_them(room):
    _, layer = add(room, 0, opacity=0.5)
    come_to(room, "tile 0")
    layers = room.viewer.layers
    layers.move(layers.index(layer), len(layers))
    QTest.qWait(50)
    assert layers[-1] is layer


def test_hiding_all_pictures_is_told_rightly_from_the_first_moment(room):
    _, layer = add(room, 0)
    come_to(room, "tile 0")
    room.outline()
    QTest.qWait(500)
    assert "20" in room.widget.review.bar.format()
    layer.visible = False
    assert room.widget.tools.state.text() == "No picture is seen: show one in the list of layers."
    assert not room.bench.on_other_plane
    assert room.widget.review.bar.format() == "nothing to review"


def test_a_panel_closed_by_its_x_is_gone_and_opens_anew(room):
    add(room, 0)
    come_to(room, "tile 0")
    room.outline()
    earlier = room.bench
    room.dock.destroyOnClose()
    room.until(lambda: not earlier.worker.is_open)
    assert [each.name for each in room.viewer.layers] == ["tile 0", "nuclei"]
    _, room.widget = room.viewer.window.add_plugin_dock_widget(*PANEL)
    room.bench = room.widget.workbench
    come_to(room, "tile 0")
    assert len(room.session.labels) == 0
    room.outline()
    room.canvas.widget.setFocus()
    room.canvas.key(Qt.Key.Key_N)
    assert room.session.hand.draft is not None
    room.widget.close_desks()
    assert earlier.worker.join(20)
    assert room.bench.worker.join(20)


def test_nothing_is_told_once_the_window_is_destroyed(room):
    _, layer = add(room, 0)
    come_to(room, "tile 0")
    told = []
    room.bench.picture_changed.connect(lambda: told.append("picture"))
    room.bench.desk_changed.connect(lambda: told.append("desk"))
    layer.visible = False
    QTest.qWait(50)
    assert set(told) == {"picture", "desk"}
    layer.visible = True
    QTest.qWait(50)
    told.clear()
    room.widget._on_window_gone()  # the panels that listen are gone with it
    room.viewer.layers.clear()
    QTest.qWait(50)
    assert told == []
    assert not room.bench.worker.is_open
    for panel in (room.widget.picture, room.widget.regions, room.widget.result):
        panel.close_panel()
    room.widget.slides.close()
    room.bench.close()
    assert room.bench.worker.join(20)


def test_two_windows_know_nothing_of_each_other(room, make_napari_viewer):
    _, layer = add(room, 0)
    come_to(room, "tile 0")
    other = make_napari_viewer(show=True)
    _, panel = other.window.add_plugin_dock_widget(*PANEL)
    tissue = make_tile((256, 256), 12, seed=3)
    picture = other.add_image(tissue.tile.rgb, name="elsewhere")
    room.until(lambda: panel.workbench.desk is not None and not panel.workbench.worker.tasks)
    canvas = Canvas(other)
    canvas.settle()
    canvas.click(tissue.centres_yx[0], picture)
    room.until(lambda: panel.workbench.desk.session.hand.draft is not None)
    assert room.session.hand.draft is None
    agrees(room, layer)
    panel.close_desks()
    assert panel.workbench.worker.join(20)


def test_clicks_land_where_they_are_seen_beside_a_layer_in_other_units(room):
    um = {"scale": (0.25, 0.25), "units": ("um", "um")}
    tissue, _ = add(room, 0, **um)
    come_to(room, "tile 0")
    small = np.zeros((9, 9), np.uint8)
    room.viewer.add_labels(small, name="nm", scale=(250, 250), units=("nm", "nm"))
    room.viewer.reset_view()
    QTest.qWait(100)
    room.canvas.settle()
    room.viewer.layers.selection.active = room.bench.desk.bridge.nuclei
    y, x = tissue.centres_yx[0]
    room.canvas.click((250 * y, 250 * x), None)  # the window counts in nanometres now
    room.until(lambda: room.session.hand.draft is not None and room.session.hand.draft.answered)
    assert room.session.hand.draft.prompt.points_yx[0] == pytest.approx((y, x), abs=1)


@pytest.mark.parametrize(
    ("at", "opened", "hidden", "expected"),
    [
        (None, None, (), 2),
        (None, None, (2,), 1),
        (0, 2, (), 2),
        (0, 2, (2,), 1),
        (2, None, (), 2),
        (None, None, (0, 1, 2), None),
    ],
)
def test_of_three_pictures_that_lie_over_each_other(at, opened, hidden, expected):
    three = [Image(np.zeros((8, 8)), visible=k not in hidden) for k in range(3)]
    found = meant_picture(
        three, None if at is None else three[at], None if opened is None else three[opened]
    )
    assert found is (None if expected is None else three[expected])


def test_a_picture_can_follow_at_once_on_layers_that_outlived_theirs(room, monkeypatch):
    """What napari frees without its canvas being current ends the process at the next draw."""
    monkeypatch.setattr(type(room.bench.sessions), "keeps", lambda *_: False)  # not on disk
    layer = room.open()
    room.outline()
    room.viewer.layers.remove(layer)
    QTest.qWait(500)
    (left,) = room.viewer.layers
    assert not left.visible
    room.viewer.layers.clear()
    again = room.open()
    QTest.qWait(500)
    assert room.bench.desk.bridge.image is again
