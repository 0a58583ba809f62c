"""The threshold over the histogram of a picture's nuclei, in a real window."""

import math

import numpy as np
from driving import centre_of
from qtpy.QtCore import Qt
from skimage import data

from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.stain import Levels, StainVectors, score_nuclei
from napari_uninuc.gui.layers.colours import STAIN_COLOURS
from napari_uninuc.io.colours import rgb_of


def open_brown(room):
    layer = room.viewer.add_image(data.immunohistochemistry()[128:384, 128:384], name="brown")
    room.widget.picture.image.value = layer
    room.until(lambda: room.bench.desk is not None and room.bench.desk.bridge.image is layer)
    room.idle()
    room.outline()
    room.widget.stain.title.setChecked(True)
    return room.widget.stain


def test_the_panel_says_what_the_command_says_and_follows_the_slider(room):
    panel = open_brown(room)
    panel.measure.click()
    room.until(lambda: panel.score is not None)
    session = room.session
    assert panel.score.threshold == Levels().weak
    expected = score_nuclei(session.tile, session.segmentation(), Levels())
    assert panel.score.counts == expected.counts
    assert panel.histogram.counts.sum() == expected.nuclei
    assert "% positive" in panel.scores.text()
    panel.threshold.setValue(panel.threshold.maximum())
    assert panel.score.positive <= expected.positive
    assert f"{panel.score.threshold:g}" in panel.scores.text()


def test_one_class_is_counted_and_one_without_nuclei_has_no_index(room):
    panel = open_brown(room)
    room.session.classes = ClassPalette.of_names(["nucleus", "tumour", "other"])
    some = sorted(room.session.labels.nuclei)[:3]
    room.session.set_class(some, 1)
    panel.measure.click()
    room.until(lambda: panel.score is not None)
    panel.of_class.setCurrentText("tumour")
    assert panel.score.nuclei == len(some)
    panel.of_class.setCurrentText("other")
    assert math.isnan(panel.score.index)
    assert "undefined" in panel.scores.text()


def test_classes_given_moved_and_removed_since_it_was_measured_are_counted_as_they_are(room):
    panel = open_brown(room)
    session = room.session
    session.classes = ClassPalette.of_names(["nucleus", "tumour", "other"])
    some = sorted(session.labels.nuclei)[:5]
    panel.measure.click()
    room.until(lambda: panel.score is not None)
    session.set_class(some[:3], 1)
    session.set_class(some[3:], 2)
    panel.of_class.setCurrentText("other")
    assert panel.score.nuclei == 2
    session.move_class(2, 0)
    assert panel.of_class.currentText() == "other"
    assert panel.score.nuclei == 2
    session.remove_class(session.classes.names.index("nucleus"), 0)
    assert panel.score.nuclei == panel.histogram.counts.sum() - 3
    session.undo()
    assert panel.score.nuclei == 2


def test_an_outline_changed_since_it_was_measured_is_told(room):
    panel = open_brown(room)
    panel.measure.click()
    room.until(lambda: panel.score is not None)
    assert "measure again" not in panel.scores.text()
    id_ = max(room.session.labels.nuclei, key=room.session.labels.area)
    y0, x0, y1, x1 = room.session.labels.box(id_)
    crop = room.session.labels.pixels[y0:y1, x0:x1].copy()
    crop[: (y1 - y0) // 2][crop[: (y1 - y0) // 2] == id_] = 0
    assert room.session.paint((y0, x0, y1, x1), crop)
    room.until(lambda: "measure again" in panel.scores.text())


def test_nuclei_that_went_are_told_and_a_grey_picture_is_refused(room, said):
    panel = open_brown(room)
    panel.measure.click()
    room.until(lambda: panel.score is not None)
    room.session.delete(sorted(room.session.labels.nuclei)[:1])
    room.until(lambda: "measure again" in panel.scores.text())
    grey = room.viewer.add_image(np.full((128, 128), 120, np.uint8), name="grey")
    room.widget.picture.image.value = grey
    room.until(lambda: room.bench.desk is not None and room.bench.desk.bridge.image is grey)
    panel.measure.click()
    room.until(lambda: bool(said))
    assert "grey" in str(said[-1])
    assert panel.score is None


def test_thresholds_stay_in_order_and_a_persons_word_stands_at_all_of_them(room):
    panel = open_brown(room)
    panel.measure.click()
    room.until(lambda: panel.score is not None)
    session = room.session
    some = sorted(session.labels.nuclei)[0]
    room.canvas.move(centre_of(session.labels, some), room.bench.desk.bridge.image)
    room.canvas.key(Qt.Key.Key_D, Qt.KeyboardModifier.ShiftModifier)
    assert session.labels.nuclei[some].stain_said == 0
    before = session.labels.nuclei[some]
    panel.threshold.setValue(1)
    room.until(lambda: "1 overruled" in panel.scores.text())
    assert panel.score.counts[0] >= 1
    panel.threshold.setValue(120)
    assert [each.value() for each in panel.sliders] == [120] * 3
    panel.strong.setValue(30)
    assert [each.value() for each in panel.sliders] == [30] * 3
    assert session.labels.nuclei[some] == before
    room.canvas.key(Qt.Key.Key_D, Qt.KeyboardModifier.ShiftModifier)
    assert session.labels.nuclei[some].stain_said is None
    session.select([some])
    panel.say[2].click()
    assert session.labels.nuclei[some].stain_said == 2
    panel.colour.click()
    colours = room.bench.desk.bridge.nuclei.colormap
    assert np.allclose(colours.map(some)[:3], np.array(rgb_of(STAIN_COLOURS[2])) / 255, atol=0.01)
    room.canvas.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert session.labels.nuclei[some].stain_said is None


def test_stain_vectors_are_shown_estimated_and_entered(room, said):
    panel = open_brown(room)
    fields = panel.vectors
    assert fields.brown.text() == "0.27 0.57 0.78"
    fields.estimate.click()
    room.until(lambda: fields.brown.text() != "0.27 0.57 0.78")
    assert fields.value == StainVectors.estimated(room.session.tile.rgb)
    panel.measure.click()
    room.until(lambda: panel.score is not None)
    fields.brown.setText("0.3 0.6")
    fields.brown.editingFinished.emit()
    assert panel.score is None
    panel.measure.click()
    assert "three numbers" in str(said[-1])
    fields.usual.click()
    panel.measure.click()
    room.until(lambda: panel.score is not None)
    assert "Beside nuclei: 0." in panel.scores.text()
