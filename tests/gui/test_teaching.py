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


def test_all_like_three_are_proposed_and_taken_as_a_group_with_one_undo(room):
    begin(room)
    order = by_size(room.session)
    for id_ in order[-3:]:
        say(room, id_, 3)
    before = dict(room.session.labels.nuclei)
    room.canvas.move(centre_of(room.session.labels, order[-1]), room.bench.desk.bridge.image)
    room.canvas.key(Qt.Key.Key_K)
    teaching, panel = room.bench.desk.teaching, room.widget.teaching
    room.until(lambda: teaching.alike is not None)
    ranked = teaching.alike.ranked
    assert set(ranked) == set(order[:-3])
    panel.title.setChecked(True)
    panel.count.setValue(6)
    assert room.session.selection == set(ranked[:6])
    assert "6 of 21 nuclei are proposed as large" in panel.proposed.text()

    unwanted = ranked[0]
    room.canvas.move(centre_of(room.session.labels, unwanted), room.bench.desk.bridge.image)
    room.canvas.key(Qt.Key.Key_K, Qt.KeyboardModifier.ShiftModifier)
    room.until(lambda: teaching.alike is not None and unwanted in teaching.alike.unlike)
    assert unwanted not in teaching.alike.ranked
    panel.count.setValue(5)
    chosen = room.session.selection
    assert len(chosen) == 5
    panel.take.click()
    assert all(room.session.labels.nuclei[i].class_id == 2 for i in chosen)
    assert teaching.alike is None
    assert not room.session.selection
    room.canvas.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert dict(room.session.labels.nuclei) == before


def test_without_an_example_nothing_is_like_it_and_dropping_changes_nothing(room, said):
    begin(room)
    room.canvas.move((2, 2), room.bench.desk.bridge.image)
    room.canvas.key(Qt.Key.Key_K)
    assert "give a few nuclei this class first" in str(said[-1])
    say(room, by_size(room.session)[0], 2)
    before = dict(room.session.labels.nuclei)
    room.canvas.key(Qt.Key.Key_K)
    room.until(lambda: room.bench.desk.teaching.alike is not None)
    room.widget.teaching.drop.click()
    assert room.bench.desk.teaching.alike is None
    assert dict(room.session.labels.nuclei) == before


def test_what_was_taught_on_the_picture_before_is_gone_on_with_under_any_name(room):
    begin(room)
    teach(room)
    panel = room.widget.teaching
    rows = [panel.known.verticalHeaderItem(k).text() for k in range(panel.known.rowCount())]
    assert rows == ["small", "large"]  # nobody has said of any that it is a mere nucleus
    assert panel.known.item(0, 0).text() == "2"
    begin(room, seed=7)
    panel.before.click()
    room.until(lambda: bool(room.session.derived))
    teaching = room.bench.desk.teaching
    assert teaching.outcome.own.tolist() == [0, 0, 0]
    room.session.rename_class(1, "tiny")
    room.until(lambda: bool(room.session.derived))
    assert teaching.outcome.taught.examples.names == ("nucleus", "tiny", "large")
    room.session.remove_class(1, 2)  # merged: one class is left, and teaches nothing
    room.until(lambda: teaching.outcome is None)
    room.session.undo()
    room.until(lambda: bool(room.session.derived))
    assert teaching.outcome.taught.examples.names == ("nucleus", "tiny", "large")
    room.session.undo()
    room.until(lambda: bool(room.session.derived))
    assert teaching.outcome.taught.examples.names == ("nucleus", "small", "large")
