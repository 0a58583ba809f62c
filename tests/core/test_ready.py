"""Edits made beforehand on a copy of the label map."""

import threading

import numpy as np
import pytest
from psygnal import EmitLoopError

from napari_uninuc.core import extents, verbs
from napari_uninuc.core.edits import Edit
from napari_uninuc.core.history import EditHistory
from napari_uninuc.core.labels import LabelMap
from napari_uninuc.core.nuclei import Nucleus, Status
from napari_uninuc.core.ready import ReadyEdit

SHAPE = (40, 50)


def row(id_):
    return Nucleus(id_, 0, 0.5, 0.5, Status.EDITED)


def all_of(labels, id_, verb="fill"):
    """Make every pixel one nucleus."""
    gone = {each: labels.nuclei[each] for each in labels.nuclei}
    after = np.full(labels.shape, id_, np.int32)
    rows = {**dict.fromkeys(gone), id_: row(id_)}
    before = {each: labels.nuclei.get(each) for each in rows}
    return Edit.trimmed(verb, (0, 0), labels.pixels, after, before, rows)


def two():
    pixels = np.zeros(SHAPE, np.int32)
    pixels[2:6, 3:9], pixels[20:30, 5:45] = 4, 9
    return LabelMap.from_labels(pixels)


def test_an_edit_made_ready_does_what_it_does_made_at_once():
    at_once, beforehand = two(), two()
    cut = verbs.split_by_line(at_once, 9, (18, 20), (32, 21))
    at_once.apply(cut)
    ready = ReadyEdit.on(beforehand.snapshot(), cut)
    assert beforehand.area(9) == 400  # nothing has happened yet
    history = EditHistory(beforehand)
    assert history.do_ready(ready)
    np.testing.assert_array_equal(beforehand.pixels, at_once.pixels)
    assert dict(beforehand.nuclei) == dict(at_once.nuclei)
    assert beforehand.next_id == at_once.next_id
    for id_ in at_once.nuclei:
        assert beforehand.box(id_) == at_once.box(id_)
        assert beforehand.area(id_) == at_once.area(id_)
    assert history.undo() is not None
    np.testing.assert_array_equal(beforehand.pixels, two().pixels)


def test_one_that_is_out_of_date_changes_nothing():
    labels = two()
    history = EditHistory(labels)
    ready = ReadyEdit.on(labels.snapshot(), all_of(labels, 7))
    history.do(verbs.delete(labels, [4]))
    pixels = labels.pixels.copy()
    assert not history.do_ready(ready)
    np.testing.assert_array_equal(labels.pixels, pixels)
    history.undo()
    assert not history.do_ready(ready)  # the same pixels again, but not the same moment


def test_a_listener_that_fails_leaves_it_to_be_undone():
    labels = two()
    history = EditHistory(labels)
    ready = ReadyEdit.on(labels.snapshot(), all_of(labels, 7))

    def fail(_edit):
        raise ValueError

    labels.changed.connect(fail)
    with pytest.raises(EmitLoopError):
        history.do_ready(ready)
    labels.changed.disconnect(fail)
    assert labels.area(7) == SHAPE[0] * SHAPE[1]
    assert history.undo_name == "fill"
    history.undo()
    np.testing.assert_array_equal(labels.pixels, two().pixels)


def test_a_snapshot_of_another_thread_is_never_half_of_an_edit():
    labels, wrong, stop = LabelMap((700, 700)), [], threading.Event()
    taken = []

    def look():
        while not stop.is_set():
            seen = labels.snapshot()
            ids = np.unique(seen.pixels).tolist()
            taken.append(ids[0])
            if len(ids) != 1 or set(seen.nuclei) != set(ids) - {0}:
                wrong.append((ids, set(seen.nuclei)))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        id_ = 0
        while (id_ < 100 or len(set(taken)) < 5) and id_ < 5000:
            id_ += 1
            labels.apply(all_of(labels, id_))
    finally:
        stop.set()
        looking.join()
    assert not wrong
    assert len(set(taken)) >= 5


@pytest.mark.parametrize("at_once", [1, 7, 64])
def test_ids_are_counted_the_same_in_any_portions(monkeypatch, at_once):
    values = np.array([5, 0, 5, 2, 9, 9, 9, 0, 1, 12], np.int32)
    monkeypatch.setattr(extents, "_COUNTED_AT_ONCE", at_once)
    assert extents.count_ids(values) == {5: 2, 2: 1, 9: 3, 1: 1, 12: 1}
