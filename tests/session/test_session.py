"""A session driven as a person would drive it, with answers made by hand."""

import numpy as np
import pytest

from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.labels import LabelMap
from napari_uninuc.core.nuclei import Status
from napari_uninuc.core.prompts import Answer, MaskLogits
from napari_uninuc.core.tile import Tile
from napari_uninuc.session import AnnotationSession, Draft, Filter

SHAPE = (60, 80)
PALETTE = ClassPalette.of_names(["nucleus", "tumour"])


def square(y: int, x: int, side: int = 8, score: float = 0.9) -> InstanceMask:
    return InstanceMask((y, x), np.ones((side, side), bool), score, 0, 0.8)


def answer(y: int, x: int, side: int = 8) -> Answer:
    mask = square(y, x, side)
    return Answer(mask, MaskLogits.from_mask(mask))


@pytest.fixture
def session() -> AnnotationSession:
    """Nuclei 1 at (5, 5) and 2 at (30, 40), both drawn by a person."""
    labels = np.zeros(SHAPE, np.int32)
    labels[5:13, 5:13] = 1
    labels[30:38, 40:48] = 2
    tile = Tile.from_array(np.full((*SHAPE, 3), 230, np.uint8), mpp=0.25)
    return AnnotationSession(tile, PALETTE, LabelMap.from_labels(labels))


def bytes_of(session: AnnotationSession) -> tuple[bytes, dict[int, object]]:
    return session.labels.pixels.tobytes(), dict(session.labels.nuclei)


# -- the nucleus in hand ----------------------------------------------------------------------


def test_a_click_answered_and_kept_adds_a_nucleus(session: AnnotationSession) -> None:
    draft = session.hand.click((50, 20), True)
    assert session.hand.show(draft.generation, answer(46, 16))
    assert session.labels.at((50, 20)) == 0  # nothing is written before it is kept
    session.hand.keep()
    added = session.labels.at((50, 20))
    assert added == 3
    assert session.labels.nuclei[added].status is Status.EDITED
    assert session.hand.draft is None


def test_taking_in_hand_and_letting_go_changes_nothing(session: AnnotationSession) -> None:
    before = bytes_of(session)
    session.hand.pick(1)
    session.hand.keep()
    assert bytes_of(session) == before
    assert not session.steps.history.can_undo


def test_refining_keeps_id_class_and_neighbours(session: AnnotationSession) -> None:
    session.set_class([1], 1)
    session.hand.pick(1)
    draft = session.hand.click((20, 20), True)
    assert draft.prompt.previous is not None  # its mask is the mask prompt
    session.hand.show(draft.generation, answer(5, 5, 40))  # reaches over nucleus 2
    session.hand.keep()
    assert session.labels.nuclei[1].class_id == 1
    assert session.labels.area(2) == 64
    assert session.labels.area(1) == 40 * 40 - 8 * 5


def test_the_answer_becomes_the_next_mask_prompt(session: AnnotationSession) -> None:
    first = session.hand.click((50, 20), True)
    given = answer(46, 16)
    session.hand.show(first.generation, given)
    second = session.hand.click((50, 30), False)
    assert second.prompt.previous is given.logits
    assert second.prompt.inside == (True, False)
    assert second.answer is given  # still shown until the new answer is there


def test_an_overtaken_answer_is_not_shown(session: AnnotationSession) -> None:
    first = session.hand.click((50, 20), True)
    second = session.hand.click((50, 24), True)
    assert not session.hand.show(first.generation, answer(1, 60))
    assert session.hand.show(second.generation, answer(46, 16))


def test_kept_before_its_answer_it_is_made_when_the_answer_comes(
    session: AnnotationSession,
) -> None:
    draft = session.hand.click((50, 20), True)
    session.hand.keep()
    assert session.labels.at((50, 20)) == 0
    assert draft.generation in session.hand.waiting
    assert session.hand.show(draft.generation, answer(46, 16))
    assert session.labels.at((50, 20)) == 3
    assert not session.hand.waiting


def test_dropped_is_dropped_even_when_the_answer_comes_late(session: AnnotationSession) -> None:
    before = bytes_of(session)
    session.hand.pick(1)
    draft = session.hand.click((20, 20), True)
    session.hand.drop()
    assert not session.hand.show(draft.generation, answer(5, 5, 20))
    assert bytes_of(session) == before


def test_undo_takes_back_clicks_before_edits(session: AnnotationSession) -> None:
    session.set_class([1], 1)
    session.hand.pick(1)
    first = session.hand.click((15, 15), True)
    session.hand.show(first.generation, answer(5, 5, 10))
    session.hand.click((15, 15), False)
    assert session.undo()
    assert session.hand.draft is not None
    assert session.hand.draft.prompt.inside == (True,)
    assert session.undo()
    assert session.hand.draft.prompt.inside == ()
    assert session.labels.nuclei[1].class_id == 1
    assert session.undo()
    assert session.labels.nuclei[1].class_id == 0


def test_undo_is_not_used_up_by_a_nucleus_that_was_only_taken_in_hand(
    session: AnnotationSession,
) -> None:
    session.set_class([1], 1)
    session.delete([2])
    session.hand.pick(1)
    assert session.undo()
    assert session.labels.area(2)
    assert session.hand.draft is not None
    assert session.hand.draft.nucleus_id == 1  # the review goes on from it
    assert session.undo()
    assert session.labels.nuclei[1].class_id == 0
    assert session.undo()
    assert session.hand.draft is None
    assert not session.undo()


def test_undo_lets_go_of_what_it_takes_away(session: AnnotationSession) -> None:
    session.split(1, (9, 0), (9, 40))
    made = max(session.labels.nuclei)
    session.hand.pick(made)
    assert session.undo()
    assert session.hand.draft is None
    assert not session.labels.area(made)


def test_a_click_taken_back_before_its_answer_is_asked_again_under_a_new_number(
    session: AnnotationSession,
) -> None:
    first = session.hand.click((50, 20), True)
    session.hand.click((50, 24), True)
    session.undo()
    draft = session.hand.draft
    assert draft is not None
    assert not draft.answered
    assert draft.generation > first.generation
    assert draft.prompt.points_yx == ((50, 20),)


def test_a_failed_prompt_takes_its_click_back(session: AnnotationSession) -> None:
    session.hand.pick(1)
    draft = session.hand.click((15, 15), True)
    session.hand.fail(draft.generation)
    assert session.hand.draft is not None
    assert session.hand.draft.prompt.points_yx == ()


def test_a_box_over_a_nucleus_redraws_it_and_elsewhere_adds_one(
    session: AnnotationSession,
) -> None:
    draft = session.hand.box((29.0, 39.0, 39.0, 49.0))
    assert draft.nucleus_id == 2
    assert draft.prompt.previous is None
    session.hand.show(draft.generation, answer(30, 40, 6))
    session.hand.keep()
    assert session.labels.area(2) == 36
    assert session.hand.box((40.0, 5.0, 50.0, 15.0)).nucleus_id == 0


def test_an_answer_without_pixels_changes_nothing(session: AnnotationSession) -> None:
    before = bytes_of(session)
    draft = session.hand.click((50, 20), True)
    empty = InstanceMask((0, 0), np.zeros((0, 0), bool), 1.0, 0, 0.0)
    session.hand.show(draft.generation, Answer(empty, MaskLogits((0, 0), np.zeros((1, 1), "f4"))))
    session.hand.keep()
    assert bytes_of(session) == before


def test_what_was_deleted_meanwhile_stays_deleted(session: AnnotationSession) -> None:
    session.hand.pick(1)
    draft = session.hand.click((15, 15), True)
    session.hand.keep()
    session.delete([1])
    assert session.hand.show(draft.generation, answer(5, 5, 10))
    assert 1 not in session.labels.nuclei


def test_every_change_of_hand_is_told(session: AnnotationSession) -> None:
    told: list[Draft | None] = []
    session.hand.changed.connect(told.append)
    session.hand.pick(1)
    session.hand.click((20, 20), True)
    session.hand.drop()
    assert [None if draft is None else draft.nucleus_id for draft in told] == [1, 1, None]


# -- verbs ------------------------------------------------------------------------------------


def test_verbs_act_on_selection_then_hand_then_cursor(session: AnnotationSession) -> None:
    assert session.targets(hovered=2) == {2}
    session.hand.pick(1)
    assert session.targets(hovered=2) == {1}
    session.hand.drop()
    session.select([2])
    assert session.targets(hovered=1) == {2}


def test_taking_in_hand_ends_the_selection(session: AnnotationSession) -> None:
    session.select([1, 2])
    session.hand.pick(1)
    assert not session.selection


def test_deleted_nuclei_leave_the_selection(session: AnnotationSession) -> None:
    session.select([1, 2])
    session.delete([1])
    assert session.selection == {2}


def test_deleting_what_is_in_hand_drops_its_clicks(session: AnnotationSession) -> None:
    session.hand.pick(1)
    draft = session.hand.click((15, 15), True)
    session.hand.show(draft.generation, answer(5, 5, 10))
    assert session.delete([1])
    assert 1 not in session.labels.nuclei
    assert session.undo()
    assert session.labels.area(1) == 64


def test_the_table_names_class_and_status(session: AnnotationSession) -> None:
    session.set_class([2], 1)
    session.review([2])
    table = session.segmentation().table.set_index("id")
    assert table.loc[2, "class"] == "tumour"
    assert table.loc[2, "status"] == "reviewed"
    assert table.loc[1, "class"] == "nucleus"


# -- automatic outlines -----------------------------------------------------------------------


def found(session: AnnotationSession) -> None:
    masks = [square(5, 30, score=0.9), square(20, 20, score=0.3), square(45, 60, score=0.6)]
    session.add_automatic(masks, [(5.0, 30.0, 13.0, 38.0), None, None])


def test_the_filter_hides_and_shows_with_the_same_ids(session: AnnotationSession) -> None:
    session.set_filter(0.5, 0)
    found(session)
    assert session.labels.at((21, 21)) == 0
    shown = session.labels.at((6, 31))
    session.set_filter(0.2, 0)
    low = session.labels.at((21, 21))
    assert low not in (0, shown)
    session.set_filter(0.95, 0)
    assert session.labels.at((6, 31)) == 0
    session.set_filter(0.2, 0)
    assert session.labels.at((6, 31)) == shown
    assert session.labels.at((21, 21)) == low
    assert session.labels.area(1) == 64  # drawn by a person: no filter


def test_one_drag_of_the_slider_is_one_step(session: AnnotationSession) -> None:
    session.set_filter(0.0, 0)
    found(session)
    before = bytes_of(session)
    for threshold in (0.4, 0.7, 0.8):
        session.set_filter(threshold, 0)
    session.undo()
    assert bytes_of(session) == before
    assert session.steps.filter == Filter(0.0, 0)
    session.redo()
    assert session.steps.filter == Filter(0.8, 0)


def test_a_slider_brought_back_leaves_no_step_behind(session: AnnotationSession) -> None:
    session.set_filter(0.0, 0)
    found(session)
    session.set_filter(0.8, 0)
    session.set_filter(0.0, 0)
    session.undo()  # the automatic run
    assert len(session.labels) == 2


def test_a_run_over_several_fields_is_one_step(session: AnnotationSession) -> None:
    before = bytes_of(session)
    session.steps.begin_run()
    session.add_automatic([square(5, 30)], [None])
    session.delete([2])
    session.add_automatic([square(45, 60)], [None])
    session.add_automatic([square(45, 10)], [None])
    session.undo()  # the delete, which has nothing to do with the run
    assert len(session.labels) == 5
    session.undo()
    assert bytes_of(session) == before
    assert not session.undo()
    for _ in range(2):
        assert session.redo()
    assert len(session.labels) == 4


def test_two_runs_are_two_steps(session: AnnotationSession) -> None:
    for place in (30, 60):
        session.steps.begin_run()
        session.add_automatic([square(5, place)], [None])
    session.undo()
    assert len(session.labels) == 3


def test_undoing_everything_gives_the_first_bytes(session: AnnotationSession) -> None:
    before = bytes_of(session)
    session.steps.begin_run()
    found(session)
    session.set_filter(0.4, 0)
    session.merge([1, 2])
    session.set_class([1], 1)
    session.split(1, (0.0, 0.0), (59.0, 79.0))
    session.paint((40, 0, 44, 4), np.full((4, 4), 99, np.int32))
    session.smooth([99])
    after = bytes_of(session)
    steps = 0
    while session.undo():
        steps += 1
    assert bytes_of(session) == before
    for _ in range(steps):
        session.redo()
    assert bytes_of(session) == after


def test_nuclei_of_a_file_keep_class_score_and_status():
    import pandas as pd

    from napari_uninuc.core.segmentation import Segmentation

    tile = Tile.from_array(np.zeros((64, 64, 3), np.uint8))
    session = AnnotationSession(tile, ClassPalette.of_names(["nucleus"]))
    labels = np.zeros(tile.shape, np.int32)
    labels[4:9, 4:9], labels[20:25, 20:25], labels[40:45, 40:45] = 2, 5, 9
    bare = Segmentation.from_labels(labels)
    table = bare.table.assign(
        **{"class": ["tumour", "nucleus", "tumour"], "score": [0.5, np.nan, 0.25]},
        status=pd.Series(["reviewed", "", "automatic"]),
    )
    assert session.adopt(Segmentation(labels, table, {}))
    assert session.classes.names == ("nucleus", "tumour")
    rows = session.labels.nuclei
    assert [rows[id_].class_id for id_ in (2, 5, 9)] == [1, 0, 1]
    assert [str(rows[id_].status) for id_ in (2, 5, 9)] == ["reviewed", "edited", "automatic"]
    assert rows[2].score == 0.5
    again = session.segmentation()
    np.testing.assert_array_equal(again.labels, labels)
    assert list(again.table["class"]) == ["tumour", "nucleus", "tumour"]
    assert session.undo()
    assert len(session.labels) == 0
