"""The threshold over the histogram of a picture's nuclei, in a real window."""

import math

import numpy as np
from skimage import data

from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.stain import Levels, score_nuclei


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
