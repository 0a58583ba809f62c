import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psygnal import EmitLoopError

from napari_uninuc.core import verbs
from napari_uninuc.core.history import EditHistory
from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.labels import LabelMap
from napari_uninuc.core.nuclei import Status
from napari_uninuc.errors import LabelsError


def state(labels):
    return labels.pixels.tobytes(), dict(labels.nuclei)


def block(y, x, side, score=0.5):
    return InstanceMask((y, x), np.ones((side, side), dtype=bool), score, 0, 0.9)


@pytest.fixture
def labels():
    return LabelMap((300, 300))


@given(data=st.data(), steps=st.integers(1, 10))
def test_undoing_all_gives_the_first_bytes_and_redoing_all_the_last(scenes, data, steps):
    scene = data.draw(scenes)
    history, states, undone = EditHistory(scene.labels), [state(scene.labels)], []
    for _ in range(steps):
        edit = scene.gesture().edit
        if edit is not None:
            history.do(edit)
            # What was taken back stays a part of what was done, and its taking back is one.
            there_and_back = [states[-1], *reversed(undone)]
            states += [*there_and_back[1:], *reversed(there_and_back[:-1])]
            states.append(state(scene.labels))
            undone = []
        if data.draw(st.integers(0, 3)) == 0 and history.can_undo:
            history.undo()
            undone.append(states.pop())
            assert state(scene.labels) == states[-1]
    held = history.nbytes
    for expected in reversed(states[:-1]):
        assert history.undo() is not None
        assert state(scene.labels) == expected
    assert history.undo() is None
    assert not history.can_undo
    for expected in states[1:]:
        assert history.redo().verb == history.undo_name
        assert state(scene.labels) == expected
    while history.redo():
        pass
    assert not history.can_redo
    assert history.nbytes >= held


@given(data=st.data(), steps=st.integers(1, 6))
def test_amending_and_grouping_make_one_entry(scenes, data, steps):
    scene = data.draw(scenes)
    history, before = EditHistory(scene.labels), state(scene.labels)
    if data.draw(st.booleans()):
        history.do_all((scene.gesture().edit for _ in range(steps)), "group")
    else:
        for _ in range(steps):
            edit = scene.move_filter().edit
            if edit is not None:
                history.do(edit, amend=True)
    after = state(scene.labels)
    assert history.can_undo == (after != before)
    history.undo()
    assert not history.can_undo
    assert state(scene.labels) == before
    history.redo()
    assert state(scene.labels) == after


def test_names_follow_the_entries(labels):
    history = EditHistory(labels)
    assert history.undo_name is None
    history.do(verbs.add_nucleus(labels, block(0, 0, 4), 0))
    history.do(verbs.set_class(labels, [1], 2))
    assert history.undo_name == "class"
    history.undo()
    assert history.undo_name == "add"
    history.do(verbs.delete(labels, [1]))
    assert history.undo_name == "delete"
    assert not history.can_redo
    history.undo()
    assert history.undo_name == "class"  # that it was taken back


def test_only_the_same_verb_is_amended(labels):
    history = EditHistory(labels)
    history.do(verbs.add_nucleus(labels, block(0, 0, 4), 0))
    history.do(verbs.set_class(labels, [1], 2), amend=True)
    history.do(verbs.set_class(labels, [1], 3), amend=True)
    history.undo()
    assert labels.nuclei[1].class_id == 0
    assert history.undo_name == "add"


def test_a_drag_that_ends_where_it_began_leaves_no_entry(labels):
    history = EditHistory(labels)
    masks = {1: block(0, 0, 9, 0.3), 2: block(50, 50, 9, 0.8)}
    history.do(verbs.add_automatic(labels, list(masks.values()), [None, None]))
    for threshold in (0.5, 0.9, 0.0):
        history.do(verbs.set_filter(labels, masks, threshold, 0), amend=True)
    assert history.undo_name == "outline all nuclei"


def test_a_group_that_fails_takes_back_what_it_did(labels):
    history = EditHistory(labels)
    first = verbs.add_nucleus(labels, block(0, 0, 4), 0)
    stale = verbs.add_nucleus(labels, block(2, 2, 4), 0)
    with pytest.raises(LabelsError, match="make it again"):
        history.do_all([first, None, stale], "group")
    assert not labels.pixels.any()
    assert not labels.nuclei
    assert not history.can_undo
    assert history.do_all([None], "group") is None


def test_a_refused_edit_leaves_the_history_alone(labels):
    history = EditHistory(labels)
    edit = verbs.add_nucleus(labels, block(0, 0, 4), 0)
    history.do(edit)
    history.undo()
    with pytest.raises(LabelsError):
        history.do(edit.inverse())
    assert history.can_redo
    assert history.nbytes == edit.nbytes


def test_a_change_past_the_history_is_noticed(labels):
    history = EditHistory(labels)
    history.do(verbs.add_nucleus(labels, block(0, 0, 4), 0))
    labels.apply(verbs.set_status(labels, [1], Status.REVIEWED))
    with pytest.raises(LabelsError, match="made when nucleus 1"):
        history.undo()
    assert history.can_undo
    assert not history.can_redo


def test_a_failing_listener_does_not_cost_the_entry(labels):
    history = EditHistory(labels)
    fail = labels.changed.connect(lambda edit: 1 / 0)
    with pytest.raises(EmitLoopError):
        history.do(verbs.add_nucleus(labels, block(0, 0, 4), 0))
    with pytest.raises(EmitLoopError):
        history.undo()
    assert not labels.nuclei
    labels.changed.disconnect(fail)
    history.redo()
    assert labels.area(1) == 16


def test_the_oldest_entries_go_when_the_bytes_run_out(labels):
    history = EditHistory(labels, max_bytes=20_000)
    for k in range(60):
        history.do(verbs.add_nucleus(labels, block(20 * (k // 10), 20 * (k % 10), 15), 0))
        assert history.nbytes <= 20_000
    undone = 0
    while history.undo():
        undone += 1
    assert 5 <= undone < 60
    assert len(labels) == 60 - undone, "what cannot be undone stays"


def test_large_entries_are_packed(labels):
    history = EditHistory(labels)
    edit = verbs.add_nucleus(labels, block(0, 0, 200), 0)
    before = state(labels)
    history.do(edit)
    assert history.nbytes < edit.nbytes / 50
    history.undo()
    assert state(labels) == before
    history.redo()
    assert labels.area(1) == 200 * 200
