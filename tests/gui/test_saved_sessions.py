"""Corrections are on disk as they are made, and are offered when the picture is opened again."""

import numpy as np
from qtpy.QtCore import Qt

from napari_uninuc.gui.window import preferences as chosen
from napari_uninuc.gui.window.preferences import Preferences
from napari_uninuc.journal.listing import find_sessions
from napari_uninuc.session.autosave import restore


def kept(room):
    """Wait for what waits to be written, and list the sessions of the picture."""
    room.bench.sessions.end(room.session)
    return find_sessions(room.session.tile.digest)


def test_a_run_and_a_correction_are_on_disk(room):
    room.open(n_nuclei=12)
    room.outline()
    one = next(iter(room.session.labels.nuclei))
    room.session.delete([one])
    (found,) = kept(room)
    assert found.nuclei == len(room.session.labels)
    restored = restore(found.path)
    np.testing.assert_array_equal(restored.session.labels.pixels, room.session.labels.pixels)
    assert restored.problem is None


def test_the_record_says_which_changes_are_the_models(room):
    from napari_uninuc.journal.folder import journals_in
    from napari_uninuc.journal.framing import JournalReader
    from napari_uninuc.journal.records import EditDone, Record

    room.open(n_nuclei=6)
    room.outline()
    room.session.delete([next(iter(room.session.labels.nuclei))])
    (found,) = kept(room)
    heads = [
        Record(payload).head
        for path in journals_in(found.path).values()
        for payload in JournalReader(path).records()
    ]
    edits = [head for head in heads if isinstance(head, EditDone)]
    assert edits[0].by.model == room.annotator.card.id
    assert edits[-1].verb == "delete"
    assert edits[-1].by is None


def test_earlier_work_is_offered_and_brought_back(make_room):
    room = make_room()
    layer = room.open(n_nuclei=12)
    assert not room.widget.earlier.isVisible()
    room.outline()
    pixels = room.session.labels.pixels.copy()
    room.viewer.layers.remove(layer)
    room.close()
    room.viewer.layers.clear()
    again = make_room()
    again.open(n_nuclei=12)
    panel = again.widget.earlier
    again.until(panel.isVisible)
    assert panel.words.text().startswith("12 nuclei, ")
    panel.go_on.click()
    again.until(lambda: len(again.session.labels) == 12)
    np.testing.assert_array_equal(again.session.labels.pixels, pixels)
    assert not panel.isVisible()
    assert [layer.name for layer in again.viewer.layers].count("nuclei") == 1
    again.idle()
    one = next(iter(again.session.labels.nuclei))
    again.canvas.click(_middle(again, one), again.bench.desk.bridge.image)
    again.canvas.key(Qt.Key.Key_Delete)
    assert again.session.labels.area(one) == 0
    (found,) = kept(again)  # the record went on in the same folder
    assert found.nuclei == 11


def test_the_layer_of_a_closed_panel_is_not_seen_beside_the_same_nuclei(make_room):
    room = make_room()
    image = room.open(n_nuclei=6)
    room.outline()
    left = room.bench.desk.bridge.nuclei
    room.close()
    assert left.visible  # who closes the panel keeps what was found
    again = make_room()
    again.until(lambda: again.bench.desk is not None and again.bench.desk.bridge.image is image)
    again.until(again.widget.earlier.isVisible)
    assert left.visible
    again.widget.earlier.go_on.click()
    again.until(lambda: len(again.session.labels) == 6)
    assert not left.visible
    assert again.bench.desk.bridge.nuclei.visible


def test_begin_anew_leaves_it_on_disk(make_room):
    room = make_room()
    room.open(n_nuclei=5)
    room.outline()
    room.close()
    room.viewer.layers.clear()
    again = make_room()
    again.open(n_nuclei=5)
    again.until(again.widget.earlier.isVisible)
    again.widget.earlier.begin_anew.click()
    assert not again.widget.earlier.isVisible()
    assert len(again.session.labels) == 0
    assert len(find_sessions(again.session.tile.digest)) == 1


def test_nothing_is_kept_where_that_was_chosen(room, monkeypatch):
    from napari_uninuc.gui.work import saved_sessions

    monkeypatch.setattr(saved_sessions, "preferences", lambda: Preferences(keep=False))
    assert chosen.preferences().keep
    room.open(n_nuclei=5)
    room.outline()
    assert kept(room) == []


def test_a_disk_that_cannot_be_written_is_told_once_and_work_goes_on(room, said, sessions_root):
    sessions_root.write_text("a file where the folder should be")
    room.open(n_nuclei=8)
    room.outline()
    room.until(lambda: any("not being saved" in text for text in said))
    one, two = list(room.session.labels.nuclei)[:2]
    room.session.delete([one])
    room.session.delete([two])
    assert len(room.session.labels) == 6
    room.idle()
    assert sum("not being saved" in text for text in said) == 1


def _middle(room, id_):
    y0, x0, y1, x1 = room.session.labels.box(id_)
    return (y0 + y1 - 1) / 2, (x0 + x1 - 1) / 2


def test_the_record_is_closed_in_good_order(room):
    room.open(n_nuclei=5)
    room.outline()
    digest = room.session.tile.digest
    room.bench.sessions.close()  # as when the window is gone, and at the end of Python
    (found,) = find_sessions(digest)
    assert found.closed
    assert not found.in_use


def test_closing_the_window_keeps_what_is_in_hand(room):
    from qtpy.QtGui import QCloseEvent
    from qtpy.QtWidgets import QApplication

    layer = room.open(n_nuclei=5)
    place = tuple(np.argwhere(room.session.tile.rgb[..., 0] < 120)[0])  # a dark pixel: nucleus
    room.canvas.click(place, layer)
    room.until(lambda: room.session.hand.draft is not None and room.session.hand.draft.answered)
    assert len(room.session.labels) == 0
    closing = QCloseEvent()
    room.widget.eventFilter(room.canvas.window, closing)
    assert len(room.session.labels) == 1
    QApplication.processEvents()
    (found,) = kept(room)
    assert found.nuclei == 1
