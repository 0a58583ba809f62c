"""Nuclei get the class of a name, which may be new: one step, and back."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.labels import LabelMap
from napari_uninuc.core.nuclei import Nucleus, Status
from napari_uninuc.core.tile import Tile
from napari_uninuc.session import AnnotationSession

NAMES = ("nucleus", "spindle")


def session_of(count: int) -> AnnotationSession:
    labels = np.zeros((4, 4 * count), np.int32)
    for k in range(count):
        labels[1:3, 4 * k : 4 * k + 2] = k + 1
    rows = {k: Nucleus(k, 0, 0.9, 0.9, Status.AUTOMATIC) for k in range(1, count + 1)}
    tile = Tile.from_array(np.full((*labels.shape, 3), 200, np.uint8), 0.25)
    return AnnotationSession(tile, ClassPalette.of_names(NAMES), LabelMap.from_labels(labels, rows))


@given(
    st.sets(st.integers(1, 6), min_size=1),
    st.sampled_from(["spindle", "inflammatory", "nucleus"]),
)
def test_one_step_there_and_back_and_there_again(ids, name):
    session = session_of(6)
    rows, palette = dict(session.labels.nuclei), session.classes
    assert session.set_class_named(ids, name)
    after, named = dict(session.labels.nuclei), session.classes
    assert {named.name_of(after[id_].class_id) for id_ in ids} == {name}
    assert {id_ for id_, row in after.items() if row.class_said} == ids
    assert session.undo()
    assert (dict(session.labels.nuclei), session.classes) == (rows, palette)
    assert not session.undo()
    assert session.redo()
    assert (dict(session.labels.nuclei), session.classes) == (after, named)


def test_of_no_nucleus_no_class_is_added():
    session = session_of(2)
    assert not session.set_class_named([], "inflammatory")
    assert not session.set_class_named([77], "inflammatory")
    assert session.classes.names == NAMES
