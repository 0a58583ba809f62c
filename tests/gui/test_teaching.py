"""Classes told by a few keys in a real window."""

from pathlib import Path

import numpy as np
from driving import centre_of
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QMessageBox

from napari_uninuc.core.classes import ClassPalette

NAMES = ["nucleus", "small", "large"]


def by_size(session):
    return sorted(session.labels.nuclei, key=session.labels.area)


def say(room, id_, digit):
    """Point at a nucleus and press the key of a class."""
    room.canvas.move(centre_of(room.session.labels, id_), room.bench.desk.bridge.image)
    room.canvas.key(getattr(Qt.Key, f"Key_{digit}"))


def begin(room, seed=0):
    layer = room.open(n_nuclei=24, seed=seed)
    room.outline()
    room.session.classes = ClassPalette.of_names(NAMES)
    return layer


def teach(room):
    order = by_size(room.session)
    for id_, digit in ((order[0], 2), (order[1], 2), (order[-1], 3), (order[-2], 3)):
        say(room, id_, digit)
    panel = room.widget.teaching
    panel.title.setChecked(True)
    panel.on.click()
    room.until(lambda: bool(room.session.derived))
    room.idle()
    return order


def test_four_keys_class_and_colour_all_and_turning_it_off_restores(room):
    begin(room)
    rows = dict(room.session.labels.nuclei)
    order = teach(room)
    counts = room.session.counts()
    assert counts.get(0, 0) == 0
    assert sum(counts.values()) == len(order)
    colours = room.bench.desk.bridge.nuclei.colormap
    assert np.allclose(colours.map(order[2]), colours.map(order[0]))
    assert not np.allclose(colours.map(order[2]), colours.map(order[-3]))
    said = {i for i, row in room.session.labels.nuclei.items() if row.class_said}
    assert said == {order[0], order[1], order[-1], order[-2]}
    assert "known again" in room.widget.teaching.state.text()

    room.widget.teaching.on.click()
    room.idle()
    assert not room.session.derived
    assert room.session.counts()[0] == len(order) - 4
    for _ in range(4):
        room.canvas.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert {i: rows[i] for i in order} == dict(room.session.labels.nuclei)


def test_buttons_count_what_was_derived_and_show_the_class_chosen_by_its_key(room):
    begin(room)
    teach(room)
    panel, session = room.widget.classes, room.session
    counts = session.counts()
    room.until(
        lambda: all(f": {counts.get(k, 0)}" in each.text() for k, each in enumerate(panel.buttons))
    )
    session.hand.drop()
    room.canvas.move((-30.0, -30.0), room.bench.desk.bridge.image)  # where no nucleus is
    for digit in (3, 2):
        room.canvas.key(getattr(Qt.Key, f"Key_{digit}"))
        assert session.current_class == digit - 1
        assert [each.isChecked() for each in panel.buttons] == [k == digit - 1 for k in range(3)]


def test_next_and_digit_are_two_keys_a_nucleus(room):
    begin(room)
    teach(room)
    for _ in range(3):
        asked = room.bench.desk.teaching.next()
        known = room.bench.desk.teaching.outcome
        room.canvas.key(Qt.Key.Key_J)
        assert room.session.hand.draft.nucleus_id == asked
        room.canvas.key(Qt.Key.Key_2)
        assert room.session.labels.nuclei[asked].class_said
        room.until(lambda known=known: room.bench.desk.teaching.outcome is not known)
    assert len(room.bench.desk.teaching.outcome.taught.examples) == 7


def test_saved_on_one_picture_and_loaded_on_the_next(room, tmp_path, monkeypatch):
    begin(room)
    teach(room)
    target = tmp_path / "mine.safetensors"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(target), ""))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(target), ""))
    room.widget.teaching.save.click()
    assert target.is_file()
    begin(room, seed=7)
    assert not room.session.derived
    room.widget.teaching.load.click()
    room.until(lambda: bool(room.session.derived))
    order = by_size(room.session)
    said = [room.session.class_of(room.session.labels.nuclei[i])[0] for i in (order[0], order[-1])]
    assert said == [1, 2]


def test_outlines_that_change_while_it_is_on_are_learnt_anew(room):
    begin(room)
    order = teach(room)
    before = room.bench.desk.teaching.outcome
    room.session.delete(order[5:8])
    room.until(lambda: room.bench.desk.teaching.outcome is not before)
    room.idle()
    assert set(room.session.derived) == set(room.session.labels.nuclei)


def test_a_classifier_of_another_model_is_refused_and_said(room, tmp_path, monkeypatch, said):
    begin(room)
    teach(room)
    target = Path(tmp_path) / "mine.safetensors"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(target), ""))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(target), ""))
    room.widget.teaching.save.click()
    begin(room, seed=7)
    room.session.classes = ClassPalette.of_names(["nucleus"])
    monkeypatch.setattr(type(room.annotator), "description", 99)
    room.widget.teaching.load.click()
    room.until(lambda: bool(said))
    assert "taught with fake" in str(said[-1])
    assert not room.bench.desk.teaching.on
    assert room.session.classes.names == ("nucleus",)  # nothing was half taken over


def test_a_classifier_is_not_written_over_another_without_a_question(room, tmp_path, monkeypatch):
    begin(room)
    teach(room)
    there = tmp_path / "mine.v2.safetensors"
    there.write_bytes(b"precious")
    asked = []
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "mine.v2"), ""))
    no, yes = QMessageBox.StandardButton.No, QMessageBox.StandardButton.Yes
    monkeypatch.setattr(QMessageBox, "question", lambda *words: asked.append(words[-1]) or no)
    room.widget.teaching.save.click()
    assert there.read_bytes() == b"precious"
    assert "mine.v2.safetensors" in asked[0]
    monkeypatch.setattr(QMessageBox, "question", lambda *_: yes)
    room.widget.teaching.save.click()
    assert there.read_bytes() != b"precious"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [there.name]
