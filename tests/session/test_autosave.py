"""Sessions that are kept while they change, cut off, damaged, copied, and brought back."""

import errno
import os
import shutil
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.nuclei import Status
from napari_uninuc.core.tile import Tile
from napari_uninuc.errors import SessionError, UniNucError
from napari_uninuc.journal import snapshot, writer
from napari_uninuc.journal.folder import journals_in, read_heading, snapshots_in
from napari_uninuc.journal.framing import JournalReader, JournalWriter
from napari_uninuc.journal.listing import find_sessions
from napari_uninuc.journal.records import Gap, Record, RunStarted, ScaleChanged
from napari_uninuc.session import AnnotationSession, background_writer
from napari_uninuc.session.autosave import Actor, Autosave, restore

SHAPE = (40, 48)
PALETTE = ClassPalette.of_names(["nucleus", "tumour"])
MODEL = Actor("uninuc-n", "ab" * 32, {"score_threshold": 0.4})


def make_tile(seed=0):
    rgb = np.random.default_rng(seed).integers(0, 256, (*SHAPE, 3), dtype=np.uint8)
    return Tile.from_array(rgb, 0.25, (7, 9), "tissue <1>.png")


TILE = make_tile()


def block(y, x, side=6, score=0.9, class_id=0):
    return InstanceMask((y, x), np.ones((side, side), bool), score, class_id, 0.8)


def new_session(tile=TILE):
    return AnnotationSession(tile, PALETTE)


def paint(session, y, x, side=5):
    id_ = session.labels.next_id
    after = np.full((side, side), id_, np.int32)
    assert session.paint((y, x, y + side, x + side), after)
    return id_


def state(session):
    """Everything that must come back; of candidates those that the filter can still use."""
    labels, own = session.labels, (Status.AUTOMATIC, Status.HIDDEN)
    masks = {
        id_: (mask.origin_yx, mask.mask.tobytes(), mask.score, mask.class_id)
        for id_, mask in session.candidates.items()
        if id_ in labels.nuclei and labels.nuclei[id_].status in own
    }
    shown = session.steps.filter
    return labels.pixels.tobytes(), dict(labels.nuclei), labels.next_id, masks, shown


def fails(problem):
    raise AssertionError(f"saving failed: {problem!r} ({problem.__cause__!r})")


def keep(session, root, folder=None, on_problem=fails):
    return Autosave(session, folder, root=root, on_problem=on_problem)


# -- what is kept comes back ------------------------------------------------------------------


class Scene:
    """A session and random gestures on it."""

    def __init__(self, draw):
        self.draw, self.session = draw, new_session()

    def act(self):
        acts = (self.paint, self.paint, self.run, self.many, self.many, self.move, self.classes)
        self.draw(st.sampled_from(acts))()

    def place(self):
        return self.draw(st.integers(0, SHAPE[0] - 9)), self.draw(st.integers(0, SHAPE[1] - 9))

    def paint(self):
        paint(self.session, *self.place(), self.draw(st.integers(1, 9)))

    def run(self):
        masks = [
            block(*self.place(), self.draw(st.integers(1, 9)), score, self.draw(st.integers(0, 1)))
            for score in self.draw(st.lists(st.sampled_from([0.2, 0.6, 0.8]), max_size=6))
        ]
        masks.sort(key=lambda mask: -mask.score)
        self.session.begin_automatic()
        self.session.add_automatic(masks, [(0.5, 1.5, 9.25, 8.0)] * len(masks))

    def many(self):
        session = self.session
        visible = [id_ for id_, row in session.labels.nuclei.items() if row.visible]
        ids = (
            self.draw(st.lists(st.sampled_from(visible), max_size=3, unique=True))
            if visible
            else []
        )
        verb = self.draw(
            st.sampled_from(
                [session.delete, session.merge, session.review, session.smooth, self.reclass]
            )
        )
        verb(ids)

    def reclass(self, ids):
        self.session.set_class(ids, self.draw(st.integers(0, 3)))

    def move(self):
        session = self.session
        by = self.draw(st.sampled_from(["undo", "undo", "redo", "filter", "filter"]))
        if by == "filter":
            session.set_filter(
                self.draw(st.sampled_from([0.1, 0.5, 0.7])), self.draw(st.integers(0, 9))
            )
        else:
            getattr(session, by)()

    def classes(self):
        session, name = self.session, f"class {len(self.session.classes)}"
        one, other = self.draw(st.permutations(range(len(session.classes))))[:2]
        by = self.draw(st.sampled_from(["set", "add", "rename", "recolour", "move", "remove"]))
        while name in session.classes.names:
            name += "'"
        if by == "set":
            session.classes = session.classes.with_added(name)
        elif by == "add":
            session.add_class(name)
        elif by == "rename":
            session.rename_class(one, name)
        elif by == "recolour":
            session.recolour_class(one, self.draw(st.sampled_from(["#123456", "#abcdef"])))
        elif by == "move":
            session.move_class(one, other)
        elif len(session.classes) > 2:
            session.remove_class(one, other)


@settings(max_examples=25)
@given(st.data(), st.integers(1, 12), st.booleans())
def test_whatever_is_done_comes_back(tmp_path_factory, data, gestures, small):
    root = tmp_path_factory.mktemp("sessions")
    scene = Scene(data.draw)
    autosave = keep(scene.session, root)
    if small:  # a snapshot after almost every change
        autosave._background._snapshot_after = 100
    edits = []
    scene.session.labels.changed.connect(edits.append)
    with closing(autosave):  # hypothesis may break off in the middle
        for _ in range(gestures):
            scene.act()
        assert autosave.close()
    if autosave.folder is None:
        assert not edits
        return
    back = restore(autosave.folder)
    assert back.problem is None
    assert back.changes == len(edits)
    assert state(back.session) == state(scene.session)
    assert back.session.classes == scene.session.classes
    _walk_both_ways(scene.session, back.session)
    shown = data.draw(st.sampled_from([0.0, 0.7]))
    for session in (scene.session, back.session):  # the filter goes on as if nothing had been
        session.set_filter(shown, 0)
    assert state(back.session) == state(scene.session)


def _walk_both_ways(one, other):
    """Entry by entry, undo and redo go the same way in both, to the same bytes."""
    for move in ("undo", "redo"):
        while one.steps.retrace(move) is not None:
            assert other.steps.retrace(move) is not None
            assert one.labels.pixels.tobytes() == other.labels.pixels.tobytes()
            assert dict(one.labels.nuclei) == dict(other.labels.nuclei)
            assert one.classes == other.classes
        assert other.steps.retrace(move) is None


def test_nothing_is_made_before_something_changes(tmp_path):
    autosave = keep(new_session(), tmp_path)
    assert autosave.close()
    assert autosave.folder is None
    assert list(tmp_path.iterdir()) == []
    assert autosave.close()


def test_what_is_there_at_the_start_is_kept_too(tmp_path):
    session = new_session()
    paint(session, 3, 3)
    autosave = keep(session, tmp_path)
    paint(session, 20, 20)
    autosave.close()
    assert state(restore(autosave.folder).session) == state(session)
    assert restore(autosave.folder).changes == 1


def test_after_closing_nothing_is_recorded(tmp_path):
    session = new_session()
    autosave = keep(session, tmp_path)
    paint(session, 3, 3)
    autosave.close()
    before = state(session)
    paint(session, 20, 20)
    autosave.begin_run(MODEL)
    assert state(restore(autosave.folder).session) == before


def test_a_copied_folder_is_complete(tmp_path):
    session = new_session()
    autosave = keep(session, tmp_path / "here")
    paint(session, 3, 3)
    autosave.close()
    shutil.copytree(autosave.folder, tmp_path / "there")
    shutil.rmtree(tmp_path / "here")
    back = restore(tmp_path / "there").session
    assert state(back) == state(session)
    assert np.array_equal(back.tile.rgb, TILE.rgb)
    assert (back.tile.name, back.tile.mpp) == (TILE.name, TILE.mpp)
    assert (back.tile.digest, back.tile.origin_yx_slide) == (TILE.digest, TILE.origin_yx_slide)


def test_a_session_goes_on_in_its_folder_and_keeps_its_ids(tmp_path):
    session = new_session()
    autosave = keep(session, tmp_path)
    for x in (1, 9, 17):
        last = paint(session, 3, x)
    session.delete([last])
    autosave.close()
    back = restore(autosave.folder).session
    again = keep(back, tmp_path, autosave.folder)
    assert again.folder == autosave.folder
    assert paint(back, 30, 30) == last + 1
    again.close()
    third = restore(autosave.folder)
    assert third.changes == 5
    assert state(third.session) == state(back)
    assert list(journals_in(autosave.folder)) == [1, 2]


def test_a_new_scale_is_kept(tmp_path):
    session = new_session()
    autosave = keep(session, tmp_path)
    paint(session, 3, 3)
    session.tile = replace(session.tile, mpp=0.5)
    paint(session, 20, 3)
    autosave.close()
    assert restore(autosave.folder).session.tile.mpp == 0.5
    assert ScaleChanged in {type(head) for head in heads(autosave.folder)}


def test_numbers_of_numpy_are_kept_like_others(tmp_path):
    session = new_session()
    autosave = keep(session, tmp_path)
    autosave.begin_run(Actor("uninuc-n", "", {"score": np.float32(0.5), "tries": np.int64(3)}))
    session.add_automatic([block(3, 3), block(3, 20, score=np.float32(0.3))], [None, None])
    y, x = np.array([20, 5])
    paint(session, y, x, np.int64(4))
    session.set_filter(np.float32(0.25), np.int64(2))
    session.tile = replace(session.tile, mpp=np.float64(0.5))
    session.set_filter(np.float32(0.125), np.int64(2))
    autosave.close()
    back = restore(autosave.folder)
    assert back.problem is None
    assert state(back.session) == state(session)
    assert heads(autosave.folder)[0].by.settings == {"score": 0.5, "tries": 3}


# -- the audit trail --------------------------------------------------------------------------


def heads(folder):
    return [
        Record(payload).head
        for path in journals_in(folder).values()
        for payload in JournalReader(path).records()
    ]


def test_records_say_who_did_what_and_how(tmp_path):
    session = new_session()
    autosave = keep(session, tmp_path)
    autosave.begin_run(MODEL)
    with autosave.by(MODEL):
        session.begin_automatic()
        session.add_automatic([block(3, 3), block(20, 20)], [None, None])
    session.delete([1])
    session.undo()
    session.redo()
    autosave.close()
    run, *edits, _ = heads(autosave.folder)
    assert isinstance(run, RunStarted)
    assert run.by == MODEL
    told = [(edit.by, edit.move, edit.verb, edit.nuclei) for edit in edits]
    assert told == [
        (MODEL, "do", "outline all nuclei", 2),
        (None, "do", "delete", 1),
        (None, "undo", "delete", 2),
        (None, "redo", "delete", 1),
    ]
    moments = [head.at for head in heads(autosave.folder)]
    assert moments == sorted(moments)
    assert moments[0].utcoffset().total_seconds() == 0


def test_snapshots_remove_no_record(tmp_path):
    session = new_session()
    autosave = keep(session, tmp_path)
    autosave._background._snapshot_after = 1
    for x in range(0, 30, 6):
        paint(session, 3, x)
        autosave._background._writing.drain(5)
    autosave.close()
    assert len(journals_in(autosave.folder)) > 2
    assert list(snapshots_in(autosave.folder)) == list(journals_in(autosave.folder))
    assert sum(head.what == "edit" for head in heads(autosave.folder)) == 5


# -- damage -----------------------------------------------------------------------------------


@pytest.fixture
def kept(tmp_path):
    """A folder of four edits in one journal, and the states after each."""
    session = new_session()
    autosave = keep(session, tmp_path)
    states = [state(session)]
    session.labels.changed.connect(lambda edit: states.append(state(session)))
    session.add_automatic([block(3, 3), block(3, 20, score=0.3)], [None, None])
    paint(session, 20, 3)
    session.set_class([1], 1)
    session.delete([1])
    autosave.close()
    return autosave.folder, states


def test_cut_or_flipped_at_any_byte_everything_before_is_there(kept):
    folder, states = kept
    path = folder / "journal-0001"
    whole = path.read_bytes()
    ends, reader = [24], JournalReader(path)
    for payload in reader.records():
        ends.append(ends[-1] + 12 + len(payload))
    for place in range(0, len(whole), 3):
        for damaged in (whole[:place], whole[:place] + b"\x55" + whole[place + 1 :]):
            if damaged == whole:
                continue
            path.write_bytes(damaged)
            expected = min(max(sum(end <= place for end in ends) - 1, 0), 4)
            back = restore(folder, TILE)
            assert state(back.session)[:3] == states[expected][:3]
            assert back.changes == expected
            clean = len(damaged) < len(whole) and len(damaged) in ends
            assert (back.problem is None) == clean
            if not clean:
                assert f"{expected} changes" in back.problem
                assert back.problem.count("\n") == 0
                assert "look over" in back.problem
                assert (" UTC are kept" in back.problem) == (expected > 0)


def test_a_damaged_session_goes_on_without_touching_what_is_damaged(kept, tmp_path):
    folder, _ = kept
    path = folder / "journal-0001"
    path.write_bytes(path.read_bytes()[:-50])
    damaged = path.read_bytes()
    back = restore(folder)
    assert back.problem is not None
    autosave = keep(back.session, tmp_path, folder)
    paint(back.session, 30, 30)
    autosave.close()
    assert path.read_bytes() == damaged
    again = restore(folder)
    assert again.problem is None  # all that there is follows from the newer snapshot
    assert state(again.session)[:3] == state(back.session)[:3]


def test_a_damaged_snapshot_is_made_up_for_by_the_journals(tmp_path):
    session = new_session()
    autosave = keep(session, tmp_path)
    autosave._background._snapshot_after = 1
    for x in range(0, 30, 6):
        paint(session, 3, x)
        autosave._background._writing.drain(5)
    autosave.close()
    for path in snapshots_in(autosave.folder).values():
        raw = bytearray(path.read_bytes())
        raw[len(raw) // 2] ^= 4
        path.write_bytes(raw)
    back = restore(autosave.folder)
    assert back.problem is None
    assert state(back.session) == state(session)


def test_a_journal_that_lost_its_end_between_two_is_told(tmp_path):
    session = new_session()
    autosave = keep(session, tmp_path)
    autosave._background._snapshot_after = 1
    for x in range(0, 30, 6):
        paint(session, 3, x)
        autosave._background._writing.drain(5)
    autosave.close()
    for path in snapshots_in(autosave.folder).values():
        path.unlink()
    first = journals_in(autosave.folder)[1]
    records = list(JournalReader(first).records())
    first.unlink()
    writer = JournalWriter(first)
    for payload in records[:-1]:
        writer.append(payload)
    writer.close()
    back = restore(autosave.folder)
    assert back.changes == len(records) - 1
    assert "journal-0002 has lost its end" in back.problem


def test_without_any_state_to_begin_from_it_says_so(tmp_path):
    session = new_session()
    paint(session, 3, 3)
    autosave = keep(session, tmp_path)
    paint(session, 20, 3)
    autosave.close()
    (autosave.folder / "snapshot-0001").unlink()
    with pytest.raises(SessionError, match="backup"):
        restore(autosave.folder)


# -- refusals ---------------------------------------------------------------------------------


def test_another_picture_is_refused(kept, tmp_path):
    folder, _ = kept
    other = make_tile(1)
    with pytest.raises(SessionError, match="other pixels"):
        restore(folder, other)
    with pytest.raises(SessionError, match="other pixels"):
        keep(new_session(other), tmp_path, folder)


def test_a_picture_that_was_changed_is_refused_and_one_missing_is_asked_for(kept):
    folder, _ = kept
    other = make_tile(1)
    (folder / "picture.tif").unlink()
    with pytest.raises(SessionError, match="together with its picture"):
        restore(folder)
    assert restore(folder, TILE).problem is None
    from napari_uninuc.journal.picture import write_picture

    write_picture(folder, other.rgb)
    with pytest.raises(SessionError, match="not the picture"):
        restore(folder)


@pytest.mark.parametrize("name", ["journal-0001", "snapshot-0001", "session.json", "picture.tif"])
def test_links_are_refused(kept, tmp_path, name):
    folder, _ = kept
    (folder / name).rename(tmp_path / "elsewhere")
    (folder / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SessionError, match=name):
        restore(folder)
    (folder / name).unlink()
    (tmp_path / "elsewhere").rename(folder / name)
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(SessionError, match="link"):
        restore(tmp_path / "link")
    assert restore(folder).problem is None


@pytest.mark.parametrize("made", ["nothing", "file", "empty folder", "foreign folder"])
def test_what_is_no_session_is_refused_in_one_line(tmp_path, made):
    path = tmp_path / "session"
    if made == "file":
        path.write_text("text")
    elif made != "nothing":
        path.mkdir()
    if made == "foreign folder":
        (path / "session.json").write_text('{"format": 1}')
    with pytest.raises(SessionError, match=r"session") as caught:
        restore(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"format": 1', '"format": 2'),
        ("[\n  40", "[\n  99999999"),
        (f'"{TILE.digest}"', '"../../../../../etc"'),
        ('"mpp": 0.25', '"mpp": -1'),
        ('"mpp": 0.25', '"mpp": 0.25, "more": 1'),
    ],
)
def test_a_heading_that_cannot_be_is_refused(kept, old, new):
    path = kept[0] / "session.json"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(SessionError, match=r"session\.json"):
        restore(kept[0])


@settings(max_examples=25)
@given(st.data())
def test_a_hostile_journal_is_refused_or_read_but_nothing_else(kept_once, data):
    folder, payloads = kept_once
    changed = []
    for payload in payloads:
        raw = bytearray(payload)
        if data.draw(st.booleans()):
            raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
        changed.append(bytes(raw))
    path = folder / "journal-0001"
    path.unlink()
    writer = JournalWriter(path)
    for payload in changed:  # every check value is right: only what is said is wrong
        writer.append(payload)
    writer.close()
    back = restore(folder, TILE)
    assert back.changes <= len(payloads)
    assert (back.problem is None) or "cannot be used" in back.problem
    if changed == payloads:
        assert back.problem is None


@pytest.fixture(scope="module")
def kept_once(tmp_path_factory):
    session = new_session()
    autosave = keep(session, tmp_path_factory.mktemp("sessions"))
    session.add_automatic([block(3, 3), block(3, 20, score=0.3)], [None, None])
    paint(session, 20, 3)
    autosave.close()
    return autosave.folder, list(JournalReader(autosave.folder / "journal-0001").records())


# -- two windows ------------------------------------------------------------------------------


def test_a_second_window_begins_its_own_folder(tmp_path):
    first, second = new_session(), new_session()
    one, two = keep(first, tmp_path), keep(second, tmp_path)
    paint(first, 3, 3)
    paint(second, 20, 20)
    one._background._writing.drain(5)
    two._background._writing.drain(5)
    assert one.folder != two.folder
    third = keep(restore(one.folder, TILE).session, tmp_path, one.folder)
    assert third.folder is None  # the first still writes there
    paint(third._session, 30, 3)
    for autosave in (one, two, third):
        autosave.close()
    assert len({one.folder, two.folder, third.folder}) == 3
    assert restore(third.folder).session.labels.at((5, 5))
    fourth = keep(restore(one.folder).session, tmp_path, one.folder)
    assert fourth.folder == one.folder
    fourth.close()


# -- what can be restored ---------------------------------------------------------------------


def test_sessions_of_a_picture_are_found_newest_first(tmp_path, monkeypatch):
    monkeypatch.setenv("UNINUC_SESSIONS", str(tmp_path))
    assert find_sessions(TILE.digest) == []
    autosaves = []
    for count in (1, 3):
        session = new_session()
        autosaves.append(Autosave(session, on_problem=fails))
        for x in range(count):
            paint(session, 3, 7 * x)
        autosaves[-1].close()
    other = new_session(make_tile(1))
    elsewhere = Autosave(other, on_problem=fails)
    paint(other, 3, 3)
    open_ = new_session()
    autosave = Autosave(open_, on_problem=fails)
    paint(open_, 3, 3)
    autosave._background._writing.drain(5)
    broken = autosaves[0].folder / "journal-0001"
    broken.write_bytes(broken.read_bytes()[:-9])
    found = find_sessions(TILE.digest)
    assert [each.path for each in found] == [autosave.folder, *(k.folder for k in autosaves[::-1])]
    assert [(each.nuclei, each.changes) for each in found] == [(1, 1), (3, 3), (1, 1)]
    assert [each.in_use for each in found] == [True, False, False]
    assert [each.closed for each in found] == [False, True, False]
    assert [each.problem is None for each in found] == [True, True, False]
    assert "cut short" in found[2].problem
    assert {each.name for each in found} == {TILE.name}
    autosave.close()
    elsewhere.close()


def test_a_digest_is_not_a_path(tmp_path):
    with pytest.raises(SessionError, match="32 hexadecimal"):
        find_sessions("../../etc", tmp_path)


def test_one_bad_folder_does_not_hide_the_others(kept, tmp_path):
    folder, _ = kept
    bad = folder.with_name("bad")
    shutil.copytree(folder, bad)
    (bad / "session.json").write_text("{}")
    folder.with_name("empty").mkdir()
    found = {each.path: each for each in find_sessions(TILE.digest, tmp_path)}
    assert found.keys() == {folder, bad}
    assert found[folder].problem is None
    assert "session.json" in found[bad].problem


# -- disks that refuse ------------------------------------------------------------------------


class Told(list):
    """Problems told, in order."""

    def __call__(self, problem):
        self.append(problem)


def test_a_place_where_nobody_may_write_is_told_once_and_work_goes_on(tmp_path):
    (tmp_path / "root").write_text("a file in the folder's place")
    told, session = Told(), new_session()
    autosave = keep(session, tmp_path / "root", on_problem=told)
    for x in range(0, 30, 6):
        paint(session, 3, x)
    autosave.close()
    assert len(session.labels) == 5
    assert len(told) == 1
    assert isinstance(told[0], UniNucError)
    assert "not being saved" in str(told[0])
    assert "\n" not in str(told[0])
    assert (tmp_path / "root").read_text() == "a file in the folder's place"


def test_a_disk_that_fills_up_is_told_once_and_saving_goes_on_when_there_is_room(
    tmp_path, monkeypatch
):
    full = False
    append = JournalWriter.append

    def refusing(self, payload):
        if full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        append(self, payload)

    for module in (writer, snapshot):
        monkeypatch.setattr(module.JournalWriter, "append", refusing)
    monkeypatch.setattr(background_writer, "_RETRY_AFTER_S", 0.0)
    told, session = Told(), new_session()
    autosave = keep(session, tmp_path, on_problem=told)
    paint(session, 3, 0)
    autosave._background._writing.drain(5)
    full = True
    for x in (6, 12, 18):
        paint(session, 3, x)
        autosave._background._writing.drain(5)
    kept = restore(autosave.folder, TILE)
    assert (kept.changes, kept.problem) == (1, None)
    full = False
    for x in (24, 30):
        paint(session, 3, x)
        autosave._background._writing.drain(5)
    autosave.close()
    assert len(told) == 1
    assert "No space left" in str(told[0])
    back = restore(autosave.folder)
    assert back.problem is None
    assert state(back.session) == state(session)
    gaps = [head.missing for head in heads(autosave.folder) if isinstance(head, Gap)]
    assert sum(gaps) + sum(head.what == "edit" for head in heads(autosave.folder)) == 6
    assert len(gaps) == 1


def test_a_listener_that_fails_does_not_end_the_saving(tmp_path, caplog):
    root = tmp_path / "root"
    root.write_text("in the way")
    session = new_session()
    autosave = keep(session, root, on_problem=fails)
    paint(session, 3, 3)
    autosave._background._writing.drain(5)
    assert "saving failed" in caplog.text
    root.unlink()
    autosave.close()
    assert state(restore(autosave.folder).session) == state(session)


def test_closing_tries_once_more(tmp_path, monkeypatch):
    root = tmp_path / "root"
    root.write_text("in the way")
    told, session = Told(), new_session()
    autosave = keep(session, root, on_problem=told)
    paint(session, 3, 3)
    autosave._background._writing.drain(5)
    root.unlink()
    assert autosave.close()
    assert len(told) == 1
    assert state(restore(autosave.folder).session) == state(session)


def test_a_heading_says_what_the_session_is_about(kept):
    heading = read_heading(kept[0])
    assert (heading.name, heading.digest, heading.shape) == (TILE.name, TILE.digest, SHAPE)
    assert heading.palette == PALETTE
    assert heading.starts_empty
    assert heading.made_by.startswith("napari-uninuc ")
