"""Undo and redo as a person means them: nothing is thrown away, classes go along, restarts too."""

from contextlib import closing

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.edits import fold_edits, swap_edits
from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.labels import LabelMap
from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.core.tile import Tile
from napari_uninuc.core.verbs import add_nucleus, delete
from napari_uninuc.errors import LabelsError
from napari_uninuc.session import AnnotationSession
from napari_uninuc.session.autosave import Actor, Autosave, restore

SHAPE = (60, 80)


def square(y: int, x: int, side: int = 8, score: float = 0.9) -> InstanceMask:
    return InstanceMask((y, x), np.ones((side, side), bool), score, 0, 0.8)


@pytest.fixture
def session() -> AnnotationSession:
    tile = Tile.from_array(np.full((*SHAPE, 3), 230, np.uint8), mpp=0.25)
    return AnnotationSession(tile, ClassPalette.of_names(["nucleus", "tumour", "stroma"]))


def add(session: AnnotationSession, y: int, x: int) -> int:
    session.do(add_nucleus(session.labels, square(y, x), session.current_class))
    return session.labels.next_id - 1


def state(session: AnnotationSession) -> tuple[object, ...]:
    return session.labels.pixels.tobytes(), dict(session.labels.nuclei), session.classes


# -- nothing is thrown away -------------------------------------------------------------------


def test_what_was_taken_back_before_an_edit_can_be_reached(session):
    add(session, 5, 5)
    add(session, 20, 20)
    add(session, 40, 40)
    all_three = state(session)
    assert session.undo()
    assert session.undo()
    add(session, 5, 40)
    seen = []
    while session.undo():
        seen.append(state(session))
    assert all_three in seen
    assert not session.labels.pixels.any()
    while session.redo():
        pass
    assert sorted(session.labels.nuclei) == [1, 4]


def test_a_run_taken_back_before_an_edit_stays_one_step(session):
    session.begin_automatic()
    session.add_automatic([square(5, 5)], [None])
    session.add_automatic([square(20, 20)], [None])
    outlined = state(session)
    session.undo()
    add(session, 40, 40)
    session.undo()  # the nucleus
    session.undo()  # that the run was taken back
    assert state(session) == outlined
    session.undo()
    assert not session.labels.pixels.any()


# -- an automatic run is one step, whatever is done meanwhile ---------------------------------


def test_nuclei_added_during_a_run_leave_it_one_step(session):
    session.begin_automatic()
    session.add_automatic([square(5, 5)], [None])
    added = [add(session, 40, 40), add(session, 40, 60)]
    session.add_automatic([square(20, 20)], [None])
    session.set_class(added[:1], 1)
    session.add_automatic([square(44, 30, 12)], [None])  # reaches into the crop of the first
    everything = state(session)
    assert session.undo()  # the class
    assert session.undo()
    assert session.undo()
    assert not session.labels.area(added[0])
    assert len(session.labels) == 3
    assert session.undo()
    assert not session.labels.pixels.any()
    assert not session.undo()
    while session.redo():
        pass
    assert state(session) == everything


def test_a_run_on_pixels_that_a_person_freed_is_taken_back_first(session):
    session.begin_automatic()
    session.add_automatic([square(5, 5)], [None])
    before = state(session)
    session.delete([1])
    session.add_automatic([square(5, 5)], [None])
    session.undo()
    session.undo()
    assert state(session) == before


@given(st.data())
def test_edits_in_the_other_order_do_the_same(data):
    place = st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(1, 9))
    labels = LabelMap((30, 30))
    for _ in range(2):
        made = add_nucleus(labels, square(*data.draw(place)), 0)
        if made is not None:
            labels.apply(made)
    begin = labels.snapshot()
    edits = []
    for _ in range(2):
        if data.draw(st.booleans()) and labels.nuclei:
            made = delete(labels, [data.draw(st.sampled_from(sorted(labels.nuclei)))])
        else:
            made = add_nucleus(labels, square(*data.draw(place)), 0)
        if made is None:
            return
        labels.apply(made)
        edits.append(made)
    swapped = swap_edits(*edits)
    changed = [edit.before != edit.after for edit in edits]
    if swapped is None:
        folded = fold_edits(edits, "", labels.pixels)
        pixels = 0 if folded is None else int((folded.before != folded.after).sum())
        by_both = sum(map(np.sum, changed)) > pixels
        assert by_both or edits[0].ids & edits[1].ids
        return
    for edit in swapped:
        begin.apply(edit)
    np.testing.assert_array_equal(begin.pixels, labels.pixels)
    assert dict(begin.nuclei) == dict(labels.nuclei)


# -- classes ----------------------------------------------------------------------------------


def test_a_misspelt_class_is_put_right_and_no_outline_is_touched(session):
    session.add_class("tumuor cell")
    session.current_class = 3
    id_ = add(session, 5, 5)
    session.rename_class(3, "tumour cell")
    assert session.classes.name_of(session.labels.nuclei[id_].class_id) == "tumour cell"
    session.undo()
    assert session.classes.names[3] == "tumuor cell"
    session.redo()
    assert session.classes.names[3] == "tumour cell"
    assert session.labels.area(id_)


def test_a_class_that_is_removed_gives_its_nuclei_to_another(session):
    ids = []
    for class_id in range(3):
        session.current_class = class_id
        ids.append(add(session, 5, 10 * class_id))
    before = state(session)
    session.remove_class(1, into=2)
    assert session.classes.names == ("nucleus", "stroma")
    assert [session.labels.nuclei[id_].class_id for id_ in ids] == [0, 1, 1]
    assert session.current_class == 1
    session.undo()
    assert state(session) == before
    with pytest.raises(LabelsError, match="another class"):
        session.remove_class(1, into=1)
    assert state(session) == before


def test_a_class_that_is_moved_keeps_its_nuclei(session):
    ids = []
    for class_id in range(3):
        session.current_class = class_id
        ids.append(add(session, 5, 10 * class_id))
    session.move_class(0, 2)
    assert session.classes.names == ("tumour", "stroma", "nucleus")
    names = [session.classes.name_of(session.labels.nuclei[id_].class_id) for id_ in ids]
    assert names == ["nucleus", "tumour", "stroma"]


def test_classes_that_came_with_nuclei_go_and_come_with_them(session):
    names = session.classes.names
    session.add_class("own")
    labels = np.zeros(session.tile.shape, np.int32)
    labels[2:6, 2:6] = 1
    bare = Segmentation.from_labels(labels)
    drawn = Segmentation(labels, bare.table.assign(**{"class": "brought"}), {})
    assert session.adopt(drawn)
    assert session.classes.names == (*names, "own", "brought")
    session.undo()
    session.undo()
    assert session.classes.names == names
    session.redo()
    session.redo()
    assert session.segmentation().table["class"].tolist() == ["brought"]


def test_classes_are_joined_in_one_step(session):
    before = session.classes
    session.join_classes(ClassPalette.of_names(["own", before.names[0]]))
    assert session.classes.names == (*before.names, "own")
    assert session.undo()
    assert session.classes == before
    session.join_classes(before)
    assert not session.steps.history.can_undo


def test_new_nuclei_get_the_class_they_got_before_wherever_it_stands_now(session):
    told = []
    session.current_class_changed.connect(told.append)
    session.current_class = 1
    name = session.classes.name_of(1)
    session.move_class(1, 2)
    assert session.classes.name_of(session.current_class) == name
    session.move_class(session.current_class, 0)
    assert session.classes.name_of(session.current_class) == name
    session.rename_class(0, "anew")
    assert session.current_class == 0
    session.undo()
    session.undo()
    assert session.classes.name_of(session.current_class) == name
    session.remove_class(0, into=1)
    assert session.classes.name_of(session.current_class) == name
    assert told == [1, 2, 0, 2, 1]


def test_two_classes_of_one_name_are_refused_and_nothing_changes(session):
    before = state(session)
    with pytest.raises(LabelsError, match="different names"):
        session.rename_class(0, "stroma")
    with pytest.raises(LabelsError, match="different names"):
        session.add_class("stroma")
    assert state(session) == before
    assert not session.steps.history.can_undo


# -- over a restart ---------------------------------------------------------------------------


def _work(session, autosave, rounds):
    rng = np.random.default_rng(0)
    for n in range(rounds):
        y, x = int(rng.integers(0, 50)), int(rng.integers(0, 70))
        if n % 50 == 7:
            with autosave.by(Actor("model")):
                autosave.begin_run(Actor("model"))
                session.begin_automatic()
                session.add_automatic([square(y, x, 6)], [None])
            add(session, x % 50, y % 70)
            with autosave.by(Actor("model")):
                session.add_automatic([square(x % 50, y, 6)], [None])
        elif n % 11 == 3:
            session.rename_class(n % 3, f"class {n}")
        elif n % 13 == 5:
            session.set_filter(float(rng.random()), int(rng.integers(0, 40)))
        elif n % 17 == 2:
            session.undo()
        else:
            after = np.full((5, 5), session.labels.next_id, np.int32)
            session.paint((y, x, y + 5, x + 5), after)


def test_500_undos_and_redos_over_a_restart_lead_to_the_same_bytes(session, tmp_path):
    with closing(Autosave(session, root=tmp_path, on_problem=pytest.fail)) as autosave:
        _work(session, autosave, 600)
        end = state(session)
        states = [end]
        for _ in range(250):
            assert session.undo()
            states.append(state(session))
    again = restore(autosave.folder).session
    assert state(again) == states[-1]
    kept = Autosave(again, autosave.folder, root=tmp_path, on_problem=pytest.fail)
    with closing(kept):
        for wanted in reversed(states[:-1]):
            assert again.redo()
            assert state(again) == wanted
        assert state(again) == end
        for wanted in states[1:]:
            assert again.undo()
            assert state(again) == wanted
    assert kept.folder == autosave.folder
    third = restore(kept.folder).session
    for wanted in reversed(states[:-1]):
        assert third.redo()
        assert state(third) == wanted


def test_a_record_by_a_version_that_threw_away_redo_is_read(session, tmp_path):
    """There the taking back of x follows that of z, though y had been taken back before z."""
    with closing(Autosave(session, root=tmp_path, on_problem=pytest.fail)) as autosave:
        for y, x in ((5, 5), (20, 20)):
            add(session, y, x)
        session.undo()
        session.steps.history._undone.clear()
        session.steps._undone.clear()
        add(session, 40, 40)
        session.undo()
        session.undo()
        assert not len(session.labels)
        last = add(session, 5, 60)
    again = restore(autosave.folder)
    assert again.problem is None
    assert state(again.session) == state(session)
    assert again.session.undo()
    assert not again.session.labels.area(last)
    assert again.session.redo()
    assert state(again.session) == state(session)
