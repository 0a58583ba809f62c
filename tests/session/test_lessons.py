"""Classes derived from examples lie over a session and change nothing in it."""

import numpy as np
import pytest

from napari_uninuc import Segmentation
from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.labels import LabelMap
from napari_uninuc.core.segmentation import CLASS_BY, CLASS_PROBABILITY
from napari_uninuc.errors import CheckpointError, LabelsError
from napari_uninuc.io.classifiers import Teacher
from napari_uninuc.io.table import measure_nuclei
from napari_uninuc.session import AnnotationSession
from napari_uninuc.session.autosave import Autosave, restore
from napari_uninuc.session.lessons import Describing, Lesson, lesson_of
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


def test_the_table_says_who_gave_each_class(session):
    assert CLASS_BY not in session.segmentation().table
    session.derived = taught(session).derived
    table = measure_nuclei(session.segmentation(), 0.25, session.tile)
    assert table[CLASS_BY].value_counts().to_dict() == {"examples": 36, "person": 4}
    assert (table[CLASS_BY] == "person").equals(table[CLASS_PROBABILITY].isna())


def test_what_was_derived_is_there_again_after_reopening(session, tmp_path):
    autosave = Autosave(session, root=tmp_path, on_problem=print)
    session.derived = taught(session).derived
    table = session.segmentation().table
    autosave.close()
    again = restore(autosave.folder).session
    assert again.segmentation().table.equals(table)
    assert dict(again.derived) == dict(session.derived)

    later = Autosave(again, autosave.folder, root=tmp_path, on_problem=print)  # from a snapshot
    assert later.close()
    again = restore(later.folder).session
    assert again.segmentation().table.equals(table)
    third = Autosave(again, later.folder, root=tmp_path, on_problem=print)
    again.derived = {}
    third.close()
    assert not restore(third.folder).session.derived


def test_undo_after_reopening_leads_to_the_bytes_before_any_example(session, tmp_path):
    autosave = Autosave(session, root=tmp_path, on_problem=print)
    rows, pixels = dict(session.labels.nuclei), session.labels.pixels.tobytes()
    for _ in range(3):
        session.derived = taught(session).derived
        assert session.undo()
        assert session.undo()
    session.derived = taught(session).derived
    autosave.close()
    again = restore(autosave.folder).session
    assert again.undo()
    assert again.undo()
    again.derived = {}
    assert again.labels.pixels.tobytes() == pixels
    assert dict(again.labels.nuclei) == rows


def test_a_class_in_doubt_comes_first_in_the_review_and_a_said_one_is_in_none(session):
    order = by_size(session)
    session.set_class([order[0]], 1)
    session.derived = dict.fromkeys(order, (1, 1.0)) | {order[7]: (1, 0.4), order[0]: (2, 0.1)}
    assert session.queue.order()[0] == order[7]
    assert session.queue.uncertainty_of(order[7]).main_reason(session.queue.weights) == (
        "class_doubt"
    )
    assert session.queue.uncertainty_of(order[0]).class_doubt == 0
    session.set_class([order[7]], 1)
    assert session.queue.uncertainty_of(order[7]).class_doubt == 0
    session.undo()
    session.derived = {}
    assert session.queue.uncertainty_of(order[7]).class_doubt == 0


def test_only_nuclei_whose_outline_is_new_are_described_again(session):
    describer, describing = FakeAnnotator(), Describing()

    def rows():
        lesson = lesson_of(session)
        found = describing.rows(lesson, session.tile, describer, TEACHER)
        everything = FakeAnnotator().describe(session.tile, lesson.masks())
        assert np.array_equal(found, everything)
        looked_at, describer.described = describer.described, 0
        return looked_at

    assert rows() == 40
    session.set_class(by_size(session)[:3], 1)
    assert rows() == 0
    session.delete(by_size(session)[:2])
    assert rows() == 0
    session.merge(by_size(session)[:2])
    assert rows() == 1
    session.undo()
    assert rows() == 2
    lesson = lesson_of(session)
    describing.rows(lesson, session.tile, describer, Teacher("another", "", 1))
    assert describer.described == len(lesson.ids)


def test_nuclei_like_three_are_found_and_counter_examples_take_others_away(session):
    lesson, order = lesson_of(session), by_size(session)
    rows = FakeAnnotator().describe(session.tile, lesson.masks())
    found = [id_ for id_, _ in lesson.alike(rows, order[-3:], [])]
    assert set(found) == set(order[:-3])
    place = {id_: k for k, id_ in enumerate(order)}
    assert np.mean([place[i] for i in found[:8]]) > np.mean([place[i] for i in found[-8:]]) + 15
    without = [id_ for id_, _ in lesson.alike(rows, order[-3:], [found[0]])]
    assert found[0] not in without
    session.set_class([found[1]], 1)
    assert found[1] not in [i for i, _ in lesson_of(session).alike(rows, order[-3:], [])]
    with pytest.raises(LabelsError, match="got none"):
        lesson.alike(rows, [], [])


@pytest.mark.parametrize("change", ["rename", "merge", "delete"])
def test_examples_brought_along_follow_what_becomes_of_their_class(session, change):
    brought = taught(session).taught
    assert brought.examples.renamed({"small": "large"}).names == ("nucleus", "large")
    called, into = {
        "rename": ({"small": "tiny"}, "tiny"),
        "merge": ({"small": "large"}, "large"),
        "delete": ({}, None),
    }[change]
    tissue = make_tile((300, 300), n_nuclei=30, radius_px=(4.0, 11.0), seed=5)
    names = ["nucleus", *dict.fromkeys([into or "large", "large"])]
    other = AnnotationSession(tissue.tile, ClassPalette.of_names(names))
    other.adopt(Segmentation.from_labels(tissue.labels))
    other.set_class(by_size(other)[:1], 0)
    lesson = lesson_of(other)
    rows = FakeAnnotator().describe(other.tile, lesson.masks())
    examples = lesson.learn(rows, TEACHER, brought, called).taught.examples
    counted = np.bincount(examples.classes, minlength=len(examples.names))
    expected = {
        "rename": {"nucleus": 1, "tiny": 2, "large": 2},
        "merge": {"nucleus": 1, "large": 4},
        "delete": {"nucleus": 1, "large": 2},
    }[change]
    assert dict(zip(examples.names, counted.tolist(), strict=True)) == expected


def test_what_is_brought_twice_counts_once(session):
    brought = taught(session).taught
    assert brought.joined(brought) is brought
    assert len(learnt(session, brought).taught.examples) == 4


def test_fifty_thousand_nuclei_are_classed(session):
    many = 50_000
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(many, 24)).astype(np.float32)
    rows[: many // 2] += 2
    said = {1: 0, 2: 0, many - 1: 1, many: 1}
    lesson = Lesson(
        np.arange(1, many + 1), LabelMap((8, 8)), said, ClassPalette.of_names(["a", "b"]), object()
    )
    derived = lesson.learn(rows, TEACHER, None).derived
    assert len(derived) == many
    right = sum(class_id == (id_ > many // 2) for id_, (class_id, _) in derived.items())
    assert right > 0.9 * many


def test_a_persons_word_on_staining_is_an_edit_like_any_other(session, tmp_path):
    autosave = Autosave(session, root=tmp_path, on_problem=print)
    first, second = by_size(session)[:2]
    assert "stain_said" not in session.segmentation().table
    assert session.set_stains({first: 3, second: 0})
    assert not session.set_stain([first], 3)
    session.set_class([first], 1)
    session.merge([first, by_size(session)[10]])
    autosave.close()
    again = restore(autosave.folder).session
    said = measure_nuclei(again.segmentation(), 0.25, again.tile).set_index("id")["stain_said"]
    assert said[first] == 3
    assert said[second] == 0
    assert said.notna().sum() == 2
    for _ in range(3):
        again.undo()
    assert again.labels.nuclei[first].stain_said is None
    with pytest.raises(LabelsError):
        again.set_stain([first], 4)
