"""Classes derived from examples lie over a session and change nothing in it."""

import numpy as np
import pytest

from napari_uninuc import Segmentation
from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.segmentation import CLASS_PROBABILITY
from napari_uninuc.errors import CheckpointError
from napari_uninuc.io.classifiers import Teacher
from napari_uninuc.io.table import measure_nuclei
from napari_uninuc.session import AnnotationSession
from napari_uninuc.session.autosave import Autosave, restore
from napari_uninuc.session.lessons import lesson_of
from napari_uninuc.testing import FakeAnnotator, make_tile

TEACHER = Teacher("fake", "", 1)


@pytest.fixture
def session():
    tissue = make_tile((300, 300), n_nuclei=40, radius_px=(4.0, 11.0))
    made = AnnotationSession(tissue.tile, ClassPalette.of_names(["nucleus", "small", "large"]))
    made.adopt(Segmentation.from_labels(tissue.labels))
    return made


def learnt(session, brought=None):
    lesson = lesson_of(session)
    return lesson.learn(FakeAnnotator().describe(session.tile, lesson.masks()), TEACHER, brought)


def by_size(session):
    return sorted(session.labels.nuclei, key=session.labels.area)


def taught(session):
    order = by_size(session)
    session.set_class(order[:2], 1)
    session.set_class(order[-2:], 2)
    return learnt(session)


def test_two_examples_a_class_tell_small_from_large(session):
    outcome = taught(session)
    session.derived = outcome.derived
    order = by_size(session)
    assert all(session.class_of(session.labels.nuclei[i])[0] == 1 for i in order[:8])
    assert all(session.class_of(session.labels.nuclei[i])[0] == 2 for i in order[-8:])
    assert sum(session.counts().values()) == len(session.labels)


def test_what_a_person_said_is_never_overruled(session):
    order = by_size(session)
    session.set_class([order[-1]], 1)  # against all appearances
    session.derived = dict.fromkeys(order, (2, 0.9))
    assert session.class_of(session.labels.nuclei[order[-1]])[0] == 1
    table = session.segmentation().table.set_index("id")
    assert np.isnan(table.loc[order[-1], CLASS_PROBABILITY])
    assert (table.drop(order[-1])[CLASS_PROBABILITY] == 0.9).all()


def test_without_it_everything_is_as_before_to_the_byte(session):
    rows, pixels = dict(session.labels.nuclei), session.labels.pixels.tobytes()
    before = session.segmentation().table
    for _ in range(100):
        session.derived = taught(session).derived
        assert session.undo()
        assert session.undo()
    session.derived = {}
    assert session.labels.pixels.tobytes() == pixels
    assert dict(session.labels.nuclei) == rows
    assert session.segmentation().table.equals(before)


def test_examples_of_one_class_teach_nothing(session):
    assert learnt(session) is None
    session.set_class(by_size(session)[:5], 1)
    assert learnt(session) is None


def test_saying_the_class_it_has_makes_an_example(session):
    first = by_size(session)[0]
    assert not session.labels.nuclei[first].class_said
    assert session.set_class([first], 0)
    assert session.labels.nuclei[first].class_said
    assert not session.set_class([first], 0)


@pytest.mark.parametrize("change", ["rename", "move", "remove"])
def test_a_class_that_is_renamed_moved_or_merged_takes_its_examples_along(session, change):
    session.derived = taught(session).derived
    {
        "rename": lambda: session.rename_class(1, "tiny"),
        "move": lambda: session.move_class(1, 2),
        "remove": lambda: session.remove_class(0, 1),
    }[change]()
    assert not session.derived  # until it is learnt again
    outcome = learnt(session)
    names = session.classes.names
    small = names[outcome.derived[by_size(session)[4]][0]]
    assert small == ("tiny" if change == "rename" else "small")
    session.undo()
    assert learnt(session) is not None


def test_what_was_taught_elsewhere_is_gone_on_with(session):
    brought = taught(session).taught
    tissue = make_tile((300, 300), n_nuclei=30, radius_px=(4.0, 11.0), seed=5)
    other = AnnotationSession(tissue.tile, ClassPalette.of_names(["nucleus", "small", "large"]))
    other.adopt(Segmentation.from_labels(tissue.labels))
    outcome = learnt(other, brought)
    order = by_size(other)
    assert [outcome.derived[i][0] for i in (order[0], order[-1])] == [1, 2]
    assert len(outcome.taught.examples) == 4
    assert outcome.taught.scale.count == len(session.labels) + len(other.labels)
    with pytest.raises(CheckpointError):
        outcome.taught.ready_for(Teacher("uninuc-n", "ab", 1))


def test_a_picture_without_nuclei_has_nothing_to_learn(session):
    brought = taught(session).taught
    session.delete(list(session.labels.nuclei))
    assert learnt(session, brought) is None


def test_who_said_a_class_survives_reopening(session, tmp_path):
    autosave = Autosave(session, root=tmp_path, on_problem=print)
    said = by_size(session)[:2]
    session.set_class(said, 1)
    autosave.close()
    again = restore(autosave.folder).session
    assert {i for i, row in again.labels.nuclei.items() if row.class_said} == set(said)


def test_the_exported_table_says_what_was_derived(session):
    session.derived = taught(session).derived
    table = measure_nuclei(session.segmentation(), 0.25, session.tile).set_index("id")
    said = table[CLASS_PROBABILITY].isna()
    assert said.sum() == 4
    assert table[~said][CLASS_PROBABILITY].between(0.3, 1).all()
