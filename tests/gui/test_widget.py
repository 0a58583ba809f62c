"""The whole widget in a real window, with an annotator that needs no torch."""

import numpy as np
import pandas as pd
from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QFocusEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_uninuc.errors import DeviceError
from napari_uninuc.gui.window import notices
from napari_uninuc.io.labels import read_labels
from napari_uninuc.testing import make_tile


def test_one_button_outlines_all_nuclei_and_one_undo_takes_them_back(room):
    room.open(n_nuclei=30)
    room.outline()
    assert len(room.session.labels) == 30
    assert not room.widget.outline.running.isVisible()
    shown = np.asarray(room.bench.desk.bridge.nuclei.data)
    np.testing.assert_array_equal(shown, room.session.labels.pixels)
    room.widget.tools.verbs["undo"].click()
    assert not room.session.labels.pixels.any()
    room.widget.tools.verbs["redo"].click()
    assert len(room.session.labels) == 30


def test_the_only_picture_is_opened_and_prepared_by_itself(room):
    room.viewer.add_image(make_tile((64, 64), 3).tile.rgb, name="alone")
    room.until(lambda: room.bench.desk is not None)
    room.idle()
    assert room.annotator.calls == ["encode"]


def test_cancelling_keeps_what_has_arrived(make_room):
    room = make_room(field_size=128, halo=16, delays={"segment": 0.1})
    room.open((256, 256), 40)
    room.widget.outline.start.click()
    room.until(lambda: room.bench.run is not None and room.bench.run.found > 0)
    room.widget.outline.cancel.click()
    room.until(lambda: room.bench.run is None)
    assert 0 < len(room.session.labels) < 40
    assert room.widget.outline.start.isEnabled()


def test_cancelling_a_picture_of_one_part_leaves_it_without_nuclei(room):
    room.open(n_nuclei=30)
    with room.annotator.held("segment"):
        room.widget.outline.start.click()
        room.until(lambda: "segment" in room.annotator.calls)
        room.widget.outline.cancel.click()
        assert room.bench.run is None  # the panel does not wait for the model
        assert not room.widget.outline.running.isVisible()
        room.widget.outline.start.click()
        room.widget.outline.cancel.click()
    room.idle()
    assert len(room.session.labels) == 0
    assert not room.session.steps.history.can_undo
    assert room.annotator.calls.count("segment") == 1  # the second never began
    room.outline()
    assert len(room.session.labels) == 30


def test_a_failing_run_keeps_the_window_and_says_why(room, said):
    room.open()
    room.annotator.fail_next("segment", DeviceError("none left"))
    room.outline()
    assert said[-1] == "none left"
    room.outline()
    assert len(room.session.labels) == 30
    room.annotator.fail_next("segment", DeviceError("none left"))
    room.outline()
    assert len(room.session.labels) == 30  # a run that fails takes nothing away
    room.outline()
    assert len(room.session.labels) == 30  # one that works replaces the one before
    assert room.session.undo()
    assert len(room.session.labels) == 30


def test_sliders_hide_and_show_and_leave_edited_nuclei(room):
    room.open()
    room.outline()
    edited = next(iter(room.session.labels.nuclei))
    room.session.set_class([edited], 0)
    room.session.smooth([edited])
    room.widget.outline.certainty.setValue(100)
    visible = [id_ for id_, row in room.session.labels.nuclei.items() if row.visible]
    assert visible in ([edited], [])
    room.widget.outline.certainty.setValue(0)
    assert len(room.session.labels) == 30


def test_a_click_before_the_model_is_there_is_answered_when_it_is(make_room):
    room = make_room()
    with room.annotator.held("encode"):
        layer = room.viewer.add_image(make_tile((256, 256), 30).tile.rgb, name="tissue")
        room.until(lambda: room.bench.desk is not None)
        room.canvas.settle()
        truth = make_tile((256, 256), 30)
        room.canvas.click(truth.centres_yx[0], layer)
        assert room.session.hand.draft is not None
        room.canvas.key(Qt.Key.Key_Return)
        assert len(room.session.labels) == 0
    room.until(lambda: len(room.session.labels) == 1)
    assert room.session.labels.at(truth.centres_yx[0])


def test_two_pictures_keep_their_own_nuclei(room):
    first = room.open(seed=0)
    room.outline()
    nuclei = room.session.labels.pixels.copy()
    room.open(seed=1, n_nuclei=12)
    room.outline()
    assert len(room.session.labels) == 12
    room.widget.picture.image.value = first
    room.idle()
    np.testing.assert_array_equal(room.session.labels.pixels, nuclei)
    assert room.bench.desk.tools.active


def test_each_plane_of_a_stack_has_its_own_nuclei(room):
    tissues = [make_tile((128, 128), 8, seed=seed) for seed in (0, 1)]
    stack = np.stack([tissue.tile.rgb for tissue in tissues])
    room.viewer.add_image(stack, rgb=True, name="stack")
    room.viewer.dims.set_current_step(0, 0)
    room.until(lambda: room.bench.desk is not None)
    room.idle()
    plane = room.viewer.dims.current_step[0]
    room.outline()
    nuclei = room.session.labels.pixels.copy()
    assert ((nuclei > 0) != (tissues[plane].labels > 0)).mean() < 0.002  # seen by its colours
    room.viewer.dims.set_current_step(0, 1 - plane)
    assert room.bench.desk is None
    assert "Another plane" in room.widget.picture.hint.text()
    room.widget.picture.open.click()
    room.until(lambda: room.bench.desk is not None)
    room.idle()
    assert not room.session.labels.pixels.any()
    room.viewer.dims.set_current_step(0, plane)
    np.testing.assert_array_equal(room.session.labels.pixels, nuclei)
    assert room.bench.desk.tools.active


def test_the_window_may_close_while_encoding(make_room):
    room = make_room(delays={"encode": 0.5})
    room.viewer.add_image(make_tile((64, 64), 3).tile.rgb, name="alone")
    room.until(lambda: bool(room.annotator.calls))
    room.close()


def test_nuclei_of_another_layer_are_taken_over_and_undone(room, said):
    room.open()
    room.outline()
    before = room.session.labels.pixels.copy()
    labels = np.zeros((256, 256), np.uint16)
    labels[10:20, 10:20], labels[40:50, 60:70] = 7, 300
    room.widget.picture.labels.value = room.viewer.add_labels(labels, name="mine")
    room.widget.picture.take_labels.click()
    np.testing.assert_array_equal(room.session.labels.pixels, labels)
    room.widget.tools.verbs["undo"].click()
    np.testing.assert_array_equal(room.session.labels.pixels, before)


def test_polygons_of_a_shapes_layer_are_taken_over_and_undone(room, said):
    room.open()
    room.outline()
    before = room.session.labels.pixels.copy()
    ring = np.array([[9.5, 9.5], [9.5, 19.5], [29.5, 19.5], [29.5, 9.5]])
    drawn = room.viewer.add_shapes([ring], shape_type="polygon", translate=(5, 7), name="drawn")
    drawn.add([ring[:2]], shape_type="line")
    room.widget.picture.labels.value = drawn
    room.widget.picture.take_labels.click()
    expected = np.zeros((256, 256), np.int32)
    expected[15:35, 17:27] = 1
    np.testing.assert_array_equal(room.session.labels.pixels, expected)
    assert any("1 line of drawn" in text for text in map(str, said))
    room.widget.tools.verbs["undo"].click()
    np.testing.assert_array_equal(room.session.labels.pixels, before)


def test_nuclei_of_another_layer_are_added_beside_mine(room):
    room.open()
    room.outline()
    before = room.session.labels.pixels.copy()
    labels = np.zeros((256, 256), np.uint16)
    free = np.argwhere(before == 0)[0]
    labels[free[0], free[1]] = 7
    features = pd.DataFrame({"index": [7], "class": ["tumour"], "status": ["reviewed"]})
    room.widget.picture.labels.value = room.viewer.add_labels(labels, features=features)
    room.widget.picture.add_labels.click()
    after = room.session.labels
    np.testing.assert_array_equal(after.pixels[before > 0], before[before > 0])
    new = after.nuclei[after.at(tuple(free))]
    assert room.session.classes.name_of(new.class_id) == "tumour"
    assert str(new.status) == "reviewed"


def test_what_is_reviewed_and_a_training_set_are_saved(room, tmp_path, said):
    room.open()
    room.outline()
    one, two = list(room.session.labels.nuclei)[:2]
    room.session.review([one, two])
    which = room.widget.save.which
    assert [which.itemText(k) for k in range(which.count())][1] == "Only reviewed nuclei"
    room.bench.save(tmp_path / "reviewed.tif", *which.itemData(1))
    room.bench.save_training_set(tmp_path / "set")
    room.idle()
    assert set(np.unique(read_labels(tmp_path / "reviewed.tif"))) == {0, one, two}
    assert (tmp_path / "set" / "card.toml").is_file()


def test_saving_writes_what_is_seen(room, tmp_path, said):
    room.open()
    room.outline()
    room.bench.save(tmp_path / "nuclei.ome.tif")
    room.idle()
    saved = read_labels(tmp_path / "nuclei.ome.tif")
    np.testing.assert_array_equal(saved, room.session.labels.pixels)
    assert "Saved" in said[-1]


def test_saving_where_nothing_can_be_written_is_said(room, tmp_path, said):
    room.open()
    (tmp_path / "file").write_text("in the way")
    room.bench.save(tmp_path / "file" / "nuclei.tif")
    room.idle()
    assert "file" in said[-1]


def test_review_goes_from_nucleus_to_nucleus_by_keys(room):
    room.open(n_nuclei=6)
    room.outline()
    seen = []
    for _ in range(6):
        room.canvas.key(Qt.Key.Key_N)
        seen.append(room.session.hand.draft.nucleus_id)
        room.canvas.key(Qt.Key.Key_A)
        seen.append(room.bench.desk.reviewing.current)
    assert str(room.session.queue.progress) == "6 / 6 reviewed"
    assert set(seen) == set(room.session.labels.nuclei)


def test_classes_are_added_counted_and_given_by_digit(room):
    room.open(n_nuclei=5)
    room.outline()
    panel = room.widget.classes
    panel.new_name.setText("tumour")
    panel.add.click()
    assert len(panel.buttons) == 2
    one = next(iter(room.session.labels.nuclei))
    room.session.hand.pick(one)
    room.canvas.key(Qt.Key.Key_2)
    assert room.session.labels.nuclei[one].class_id == 1
    room.until(lambda: "tumour: 1" in panel.buttons[1].text())
    assert "nucleus: 4" in panel.buttons[0].text()


def test_a_class_of_the_same_name_is_refused(room, said):
    room.open(n_nuclei=2)
    room.widget.classes.new_name.setText("nucleus")
    room.widget.classes.add.click()
    assert "different names" in said[-1]
    assert len(room.session.classes) == 1


def test_an_unknown_pixel_size_is_said_and_can_be_entered(room):
    layer = room.open()
    picture = room.widget.picture
    assert "does not say" in picture.hint.text()
    picture.mpp.setValue(0.5)
    picture.mpp.editingFinished.emit()
    assert room.session.tile.mpp == 0.5
    assert room.bench.desk.bridge.image is layer
    assert "does not say" not in picture.hint.text()


def test_a_pixel_size_can_be_typed_where_none_is_known(room):
    room.open()
    field = room.widget.picture.mpp
    assert field.lineEdit().text() == "not known"
    field.lineEdit().deselect()
    by_mouse = QFocusEvent(QEvent.Type.FocusIn, Qt.FocusReason.MouseFocusReason)
    QApplication.sendEvent(field, by_mouse)
    QTest.qWait(50)
    assert field.lineEdit().selectedText() == "not known"
    QTest.keyClicks(field, "0.5")
    field.editingFinished.emit()
    assert room.session.tile.mpp == 0.5


def test_a_pixel_size_is_used_whatever_the_layers_are_called(room):
    layer = room.open()
    layer.name = "renamed"
    room.viewer.add_labels(np.zeros((256, 256), np.uint8), name="more")
    picture = room.widget.picture
    assert picture.image.value is layer
    assert picture.image.current_choice == "renamed"
    picture.mpp.setValue(0.5)
    picture.mpp.editingFinished.emit()
    assert room.session.tile.mpp == 0.5


def test_the_list_of_keys_comes_and_goes(room):
    room.open(n_nuclei=2)
    room.canvas.key(Qt.Key.Key_Question)
    assert room.widget._keys.isVisible()
    QTest.mouseClick(room.widget._keys, Qt.MouseButton.LeftButton)
    assert not room.widget._keys.isVisible()


def test_the_window_never_waits_for_the_model(make_room, stall_meter):
    room = make_room(delays={"segment": 1.5})
    room.open()
    with stall_meter() as meter:
        room.outline()
    assert max(meter.gaps_ms) < 1000  # the model takes longer, in its own thread


def test_what_nobody_expected_is_told_with_its_type_and_logged(said, caplog):
    notices.tell_problem(ZeroDivisionError("division by zero"))
    assert "ZeroDivisionError: division by zero" in said[-1]
    assert "kept" in said[-1]
    assert caplog.records[0].exc_info is not None
