"""Two readers in the window: compared from the panel, settled by real keys."""

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import Qt

from napari_uninuc.agreement.kinds import Kind
from napari_uninuc.core.nuclei import Status
from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.gui.layers.reader_outlines import _Line
from napari_uninuc.journal.folder import read_heading
from napari_uninuc.journal.listing import find_sessions
from napari_uninuc.journal.records import ComparisonBegun, EditDone
from napari_uninuc.journal.replay import Replay
from napari_uninuc.session.settling import Choice
from napari_uninuc.testing import make_tile

NEXT, FIRST, SECOND, ANEW, UNDO = (getattr(Qt.Key, f"Key_{name}") for name in "NUIWZ")
SHIFT, CTRL = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.ControlModifier


@pytest.fixture
def other(tmp_path):
    """Another reader of the picture: one nucleus is missing, one is two, one is larger."""
    labels = make_tile((256, 256), 30, seed=0).labels.copy()
    labels[labels == 3] = 0
    rows = np.nonzero(labels == 7)[0]
    cut = np.arange(256)[:, None] > np.median(rows)
    labels[(labels == 7) & cut] = 99
    labels[2:9, 120:128] = np.where(labels[2:9, 120:128] == 0, 50, labels[2:9, 120:128])
    path = tmp_path / "other.tif"
    tifffile.imwrite(path, labels.astype(np.uint16))
    return path


@pytest.fixture
def compared(room, other):
    """The window, with the disagreements of its nuclei and another reader's to be settled."""
    room.open()
    room.session.adopt(Segmentation.from_labels(make_tile((256, 256), 30, seed=0).labels))
    order(room, other)
    return room


def order(room, path, *, blinded=False):
    """Press the button, choose a file, press OK; wait for what comes of it."""
    before, panel = room.session, room.widget.compare
    panel.compare.click()
    dialog = panel.dialog
    dialog.choose(dialog.b, path)
    dialog.by.setText("Dr Third")
    dialog.blinded.setChecked(blinded)
    dialog.accept()
    room.until(lambda: not room.bench.worker.tasks)
    room.canvas.settle()
    return before


def disputes(room):
    return room.bench.desk.disputes


def found_at(room):
    return None if disputes(room).current is None else disputes(room).current.found


def words(room):
    room.widget.compare.refresh_later()
    return room.widget.compare.words.text()


def test_each_is_settled_by_one_key_and_the_next_is_shown(compared):
    room = compared
    settling = disputes(room).settling
    kinds = [each.found.kind for each in settling.disputes]
    assert sorted(kinds) == ["only_a", "only_b", "split"]
    room.canvas.key(NEXT)
    for k, dispute in enumerate(settling.disputes):
        assert found_at(room) == dispute.found
        room.canvas.key([FIRST, SECOND, FIRST][k])
        assert not settling.waits(dispute)
    assert settling.open == 0
    assert "All 3 disagreements are settled." in words(room)
    assert room.session.queue.progress.reviewed == len(room.session.labels)


def test_what_is_chosen_is_there_and_comes_back_with_undo(compared):
    room = compared
    [split] = [d for d in disputes(room).settling.disputes if d.found.kind is Kind.SPLIT]
    room.canvas.key(NEXT)
    while found_at(room) != split.found:
        room.canvas.key(NEXT)
    room.canvas.key(SECOND)
    area = room.session.labels.area
    assert [area(id_) > 0 for id_ in split.ids[Choice.B]] == [True, True]
    assert not area(7)
    room.canvas.key(UNDO, CTRL)
    assert area(7)
    assert disputes(room).settling.waits(split)


def test_an_outline_of_ones_own_is_accepted(compared):
    room = compared
    [only] = [d for d in disputes(room).settling.disputes if d.found.kind is Kind.ONLY_A]
    room.canvas.key(NEXT)
    while found_at(room) != only.found:
        room.canvas.key(NEXT)
    before = room.session.labels.area(3)
    y0, x0, _, x1 = room.session.labels.box(3)
    image = room.bench.desk.bridge.image
    room.canvas.click((y0 - 1, (x0 + x1) / 2), image, keys=SHIFT)
    room.canvas.key(ANEW)
    room.until(lambda: not room.session.hand.waiting)
    assert room.session.labels.area(3) != before
    assert room.session.labels.nuclei[3].status is Status.REVIEWED
    assert not disputes(room).settling.waits(only)


def test_both_outlines_are_drawn_where_the_review_stands(compared):
    room = compared
    room.canvas.key(NEXT)
    while found_at(room).kind is not Kind.SPLIT:
        room.canvas.key(NEXT)
    dispute, layer = disputes(room).current, disputes(room).outlines.layer
    drawn = np.asarray(layer.data)
    y0, x0, y1, x1 = dispute.found.box_yxyx
    assert drawn[y0:y1, x0:x1].any()
    assert np.count_nonzero(drawn) == np.count_nonzero(drawn[y0:y1, x0:x1])
    for line, side in ((_Line.FIRST, dispute.first), (_Line.SECOND, dispute.second)):
        inside = np.zeros(drawn.shape, bool)
        for mask in disputes(room).settling.masks(dispute, side):
            a, b, c, d = mask.box_yxyx
            inside[a:c, b:d] |= mask.mask
        assert inside[drawn & line > 0].all()
    assert room.bench.desk.owns(layer)


def test_the_record_says_who_decided_what(compared):
    room = compared
    names = disputes(room).settling.names
    room.canvas.key(NEXT)
    room.canvas.key(SECOND)
    room.canvas.key(FIRST)
    folder = room.bench.sessions.folder_of(room.session)
    room.bench.sessions.end(room.session)
    heads = [step.head for step in Replay(folder, read_heading(folder)).steps()]
    [begun] = [head for head in heads if isinstance(head, ComparisonBegun)]
    assert (begun.by, begun.readers, begun.disagreements) == ("Dr Third", names, 3)
    assert names == ("nuclei in this window", "other.tif")
    edits = [head.verb for head in heads if isinstance(head, EditDone)]
    assert edits == ["settle for B", "settle for A"]
    found = find_sessions(room.session.tile.digest)
    assert len(found) == 2  # what was compared is there, too


def test_nobody_is_told_whose_outline_it_is(room, other):
    room.open()
    room.session.adopt(Segmentation.from_labels(make_tile((256, 256), 30, seed=0).labels))
    order(room, other, blinded=True)
    room.canvas.key(NEXT)
    text = words(room)
    assert "First: " in text
    assert "Second: " in text
    assert "other.tif" not in text
    assert "this window" not in text
    for _ in range(3):
        room.canvas.key(SECOND)
    room.session.hand.drop()
    room.widget.tools.refresh_later()
    assert "Undo would take back: the decision." in room.widget.tools.state.text()


def test_what_is_open_is_there_again_when_the_session_is_brought_back(compared):
    room = compared
    room.canvas.key(NEXT)
    room.canvas.key(SECOND)
    first = room.session
    folder = room.bench.sessions.folder_of(first)
    room.bench.sessions.end(first)
    [found] = [each for each in find_sessions(first.tile.digest) if each.path == folder]
    room.bench.go_on_with(found)
    room.until(lambda: room.session is not first)
    room.canvas.settle()
    assert "2 of 3 disagreements are open." in words(room)
    room.canvas.key(NEXT)
    assert "other.tif" in words(room)
    room.canvas.key(FIRST)
    room.canvas.key(FIRST)
    assert "All 3 disagreements are settled." in words(room)
    room.canvas.key(UNDO, CTRL)
    room.canvas.key(UNDO, CTRL)
    room.canvas.key(UNDO, CTRL)
    assert disputes(room).settling.open == 3


def test_readers_who_agree_leave_everything_as_it_is(room, other, said):
    room.open()
    room.session.adopt(Segmentation.from_labels(tifffile.imread(other).astype(np.int32)))
    before = order(room, other)
    assert room.session is before
    assert disputes(room) is None
    assert "They agree on every nucleus." in said


def test_a_reader_of_another_picture_is_told(room, tmp_path, said):
    room.open()
    room.session.adopt(Segmentation.from_labels(make_tile((256, 256), 30, seed=0).labels))
    tifffile.imwrite(tmp_path / "small.tif", np.ones((9, 9), np.uint8))
    before = order(room, tmp_path / "small.tif")
    assert room.session is before
    assert any("expected labels of 256 x 256 px" in str(each) for each in said)


def test_without_a_comparison_its_keys_are_not_taken(room):
    room.open()
    assert "take_first" not in room.bench.desk.actions
    assert not room.widget.compare.buttons["take_first"].isVisible()
