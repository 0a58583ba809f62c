"""Nuclei found by what they are called, in a real window."""

from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.journal.listing import find_sessions
from napari_uninuc.session.autosave import restore


def begin(room, seed=0):
    room.open(n_nuclei=24, seed=seed)
    room.outline()
    room.session.classes = ClassPalette.of_names(["nucleus"])
    room.widget.naming.title.setChecked(True)


def ask(room, text):
    panel = room.widget.naming
    panel.name.setText(text)
    panel.search.click()


def find(room, text):
    ask(room, text)
    room.until(lambda: room.bench.desk.naming.proposed is not None)
    room.idle()


def test_a_name_selects_nuclei_and_becomes_a_class_in_one_step(room):
    begin(room)
    find(room, "Large nuclei")
    session, panel = room.session, room.widget.naming
    assert "Learnt on: made-up tissue" in panel.known.text()
    smallest, *_, largest = sorted(session.labels.nuclei, key=session.labels.area)
    assert largest in session.selection
    assert smallest not in session.selection
    chosen, rows = session.selection, dict(session.labels.nuclei)
    assert panel.take.text() == "Accept as large"
    panel.take.click()
    assert session.classes.names == ("nucleus", "large")
    said = {id_ for id_, row in session.labels.nuclei.items() if row.class_said}
    assert said == set(chosen)
    assert room.bench.desk.naming.proposed is None
    room.canvas.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert dict(session.labels.nuclei) == rows
    assert session.classes.names == ("nucleus",)
    session.redo()
    assert session.classes.names == ("nucleus", "large")
    assert {id_ for id_, row in session.labels.nuclei.items() if row.class_said} == said


def test_the_slider_takes_fewer_and_dropping_changes_nothing(room):
    begin(room)
    find(room, "small")
    session, panel = room.session, room.widget.naming
    rows = dict(session.labels.nuclei)
    panel.count.setValue(3)
    smallest = sorted(session.labels.nuclei, key=session.labels.area)[:3]
    areas = sorted(session.labels.area(id_) for id_ in session.selection)
    assert areas == sorted(session.labels.area(id_) for id_ in smallest)
    panel.drop.click()
    assert not session.selection
    assert dict(session.labels.nuclei) == rows
    assert not panel.take.isVisible()


def test_accept_says_what_it_gives_when_the_selection_is_another(room):
    """Escape, a click on another nucleus, and what has its class already: no button is dead."""
    begin(room)
    find(room, "large")
    session, panel = room.session, room.widget.naming
    found = len(session.selection)
    assert "they are selected" in panel.found.text()
    room.canvas.key(Qt.Key.Key_Escape)
    assert not session.selection
    assert not panel.take.isEnabled()
    assert not panel.teach.isEnabled()
    assert "0 are selected" in panel.found.text()
    panel.count.setValue(0)
    assert "None of" in panel.found.text()
    panel.count.setValue(found - 1)
    panel.count.setValue(found)
    assert panel.take.isEnabled()
    panel.take.click()
    assert session.counts()[1] == found
    find(room, "large")
    assert len(session.selection) == found
    panel.take.click()  # they are large already
    assert room.bench.desk.naming.proposed is None
    assert not panel.take.isVisible()


def test_the_surest_become_examples_of_a_classifier(room):
    begin(room)
    find(room, "large")
    panel, teaching = room.widget.naming, room.bench.desk.teaching
    panel.teach.click()
    assert teaching.on
    said = [id_ for id_, row in room.session.labels.nuclei.items() if row.class_said]
    assert 0 < len(said) < 6
    find(room, "small")
    panel.teach.click()
    room.until(lambda: bool(room.session.derived))
    room.idle()
    assert room.session.classes.names == ("nucleus", "large", "small")


def test_return_in_the_name_finds_and_keeps_nothing_else(room):
    """By keys alone; Return there is no *Keep*, and letters there are no tools."""
    begin(room)
    panel, naming = room.widget.naming, room.bench.desk.naming
    panel.name.setFocus()
    room.until(panel.name.hasFocus)
    QTest.keyClicks(panel.name, "large")
    QTest.keyClick(panel.name, Qt.Key.Key_Return)
    room.until(lambda: naming.proposed is not None)
    assert naming.proposed.name == "large"
    assert panel.name.text() == "large"


def test_where_nothing_is_outlined_it_says_what_to_do(room, said):
    room.open(n_nuclei=24)
    room.widget.naming.title.setChecked(True)
    for text in ("large", "all nuclei"):
        ask(room, text)
        room.idle()
        assert "Outline all nuclei" in str(said.pop())
        assert room.bench.desk.naming.proposed is None


def test_all_nuclei_are_a_name_too(room):
    begin(room)
    find(room, "all nuclei")
    assert set(room.session.selection) == set(room.session.labels.nuclei)


def test_what_the_model_does_not_know_is_said_and_nothing_is_done(room, said):
    begin(room)
    ask(room, "cancer")
    room.idle()
    assert "cancer" in str(said[-1])
    assert "small, large" in str(said[-1])
    assert not room.session.selection
    assert "small, large" in room.widget.naming.known.text()


def test_a_model_without_names_says_so(room, monkeypatch):
    monkeypatch.setattr(type(room.annotator), "names", ())
    begin(room)
    assert not room.widget.naming.search.isEnabled()
    assert "knows no names" in room.widget.naming.known.text()
    room.viewer.layers.clear()
    room.until(lambda: room.bench.desk is None)
    assert "Open a picture" in room.widget.naming.known.text()


def test_an_accepted_name_is_there_after_reopening(room):
    begin(room)
    find(room, "large")
    room.widget.naming.take.click()
    said = {i for i, row in room.session.labels.nuclei.items() if row.class_said}
    room.bench.sessions.end(room.session)
    (found,) = find_sessions(room.session.tile.digest)
    restored = restore(found.path).session
    assert restored.classes.names == ("nucleus", "large")
    assert {i for i, row in restored.labels.nuclei.items() if row.class_said} == said
