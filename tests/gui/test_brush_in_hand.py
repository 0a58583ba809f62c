"""Brush and eraser belong to the nucleus in hand; saving again; classes changed from the panel."""

from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QInputDialog

from napari_uninuc.gui.panels.save import with_ending
from napari_uninuc.io.labels import read_labels


def words(room) -> str:
    return room.widget.tools._words(room.bench.desk)


def test_the_brush_extends_and_the_eraser_shrinks_the_nucleus_in_hand(room, empty_place):
    layer = room.open(n_nuclei=30)
    room.outline()
    session, nuclei = room.session, room.bench.desk.bridge.nuclei
    y, x = empty_place(session.labels)
    room.canvas.key(Qt.Key.Key_B)
    assert words(room).startswith("Painting begins a new nucleus")
    assert nuclei.opacity > 0
    nuclei.brush_size = 6
    room.canvas.drag([(y, x - 6), (y, x), (y, x + 6)], layer)
    room.canvas.settle()
    new = session.labels.at((y, x))
    assert new
    room.canvas.key(Qt.Key.Key_F)
    assert nuclei.opacity == 0

    others = {id_: session.labels.area(id_) for id_ in session.labels.nuclei if id_ != new}
    other = min(others, key=lambda id_: np.hypot(*np.subtract(_middle(session, id_), (y, x))))
    room.canvas.click((y, x), layer)
    room.until(lambda: session.hand.draft is not None)
    room.canvas.key(Qt.Key.Key_B)
    assert words(room).startswith(f"Painting extends nucleus {new}")
    before = session.labels.area(new)
    room.canvas.drag([(y, x), _middle(session, other)], layer)
    room.canvas.settle()
    assert session.labels.area(new) > before
    assert {id_: session.labels.area(id_) for id_ in others} == others  # none lost a pixel
    grown = session.labels.area(new)
    room.canvas.key(Qt.Key.Key_E)
    assert words(room).startswith(f"Erasing shrinks nucleus {new}")
    room.canvas.drag([(y, x), _middle(session, other)], layer)
    room.canvas.settle()
    assert session.labels.area(new) < grown
    assert {id_: session.labels.area(id_) for id_ in others} == others


def _middle(session, id_):
    y, x = np.argwhere(session.labels.pixels == id_).mean(axis=0).tolist()
    return y, x


@pytest.mark.parametrize(
    ("typed", "chosen", "wanted"),
    [
        ("a/nuclei", "GeoJSON for QuPath (*.geojson)", "a/nuclei.geojson"),
        ("a/nuclei.v2", "OME-TIFF labels (*.ome.tif)", "a/nuclei.v2.ome.tif"),
        ("a/nuclei.tif", "OME-TIFF labels (*.ome.tif)", "a/nuclei.tif"),
        ("a/nuclei.GeoJSON", "TIFF labels (*.tif)", "a/nuclei.GeoJSON"),
        ("a/nuclei", "", "a/nuclei"),
    ],
)
def test_a_name_without_an_ending_gets_that_of_the_filter(typed, chosen, wanted):
    assert with_ending(typed, chosen) == Path(wanted)


def test_saving_asks_once_then_one_key_saves_again(room, tmp_path, monkeypatch, said):
    room.open(n_nuclei=5)
    asked = []

    def ask(_parent, _title, suggested, filters):
        asked.append(suggested)
        return str(tmp_path / "mine"), next(f for f in filters.split(";;") if "(*.tif)" in f)

    monkeypatch.setattr(QFileDialog, "getSaveFileName", ask)
    room.outline()
    room.canvas.key(Qt.Key.Key_S)
    room.idle()
    first = read_labels(tmp_path / "mine.tif")
    room.session.delete([1])
    room.until(lambda: "changed since" in room.widget.state.text())
    room.canvas.key(Qt.Key.Key_S)
    room.idle()
    assert len(asked) == 1
    assert asked[0].count(".") == 2  # .ome.tif and nothing else
    second = read_labels(tmp_path / "mine.tif")
    assert (first == 1).any()
    assert not (second == 1).any()
    assert "Saved mine.tif" in room.widget.state.text()


def test_what_is_saved_while_another_picture_is_opened_is_told_of_its_own(room, tmp_path, said):
    first = room.open(n_nuclei=5)
    room.outline()
    room.bench.save(tmp_path / "first.tif")
    room.session.delete([1])  # not in the file, though it is written later
    room.open(n_nuclei=5, seed=1)
    assert (tmp_path / "first.tif").is_file()
    assert "Saved" not in room.widget.state.text()
    assert room.bench.saved_as is None
    room.bench.open(first)
    assert "Saved first.tif" in room.widget.state.text()
    assert "changed since" in room.widget.state.text()
    assert room.bench.saved_as.path.name == "first.tif"
    room.bench.save(tmp_path)  # which is a folder
    room.until(lambda: any(tmp_path.name in str(words) for words in said[1:]))
    assert room.bench.saved_as.path.name == "first.tif"  # what failed is not tried again by S


def test_a_slider_that_has_just_moved_filters_the_picture_it_was_moved_for(room):
    first = room.open(n_nuclei=5)
    room.outline()
    session, panel = room.session, room.widget.outline
    panel._seconds = 1.0  # as with thousands of nuclei: it waits for the slider to rest
    panel.certainty.setValue(93)
    room.open(n_nuclei=5, seed=1)
    room.canvas.settle()
    assert session.steps.filter.threshold == 0.93
    assert room.session.steps.filter.threshold != 0.93
    assert not room.session.steps.history.can_undo
    room.bench.open(first)
    assert panel.certainty.value() == 93


def test_classes_are_changed_from_their_menu(room, monkeypatch):
    room.open(n_nuclei=5)
    room.outline()
    panel, session = room.widget.classes, room.session
    panel.new_name.setText("tumuor")
    panel.add.click()
    session.set_class([1, 2], 1)
    session.current_class = 1
    entries = {each.text(): each for each in panel.change.menu().actions()}
    monkeypatch.setattr(QInputDialog, "getText", lambda *_, **__: ("tumour", True))
    entries["Rename..."].trigger()
    assert session.classes.names == ("nucleus", "tumour")
    entries["Up"].trigger()
    assert session.classes.names == ("tumour", "nucleus")
    assert session.labels.nuclei[1].class_id == 0
    session.current_class = 0
    asked = []

    def choose(_parent, _title, question, names, *_):
        asked.append((question, names))
        return names[0], True

    monkeypatch.setattr(QInputDialog, "getItem", choose)
    entries["Remove..."].trigger()
    assert asked == [("2 nuclei are tumour. They become", ["nucleus"])]
    assert session.classes.names == ("nucleus",)
    assert len(panel.buttons) == 1
    for _ in range(3):
        room.canvas.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert session.classes.names == ("nucleus", "tumuor")
    assert session.labels.nuclei[1].class_id == 1
