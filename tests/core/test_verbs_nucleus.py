import math

import numpy as np
import pytest

from napari_uninuc.core import verbs
from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.labels import LabelMap
from napari_uninuc.core.nuclei import MAX_ID, Nucleus, Status
from napari_uninuc.errors import LabelsError


def block(y, x, height, width, score=0.5, iou=0.9):
    return InstanceMask((y, x), np.ones((height, width), dtype=bool), score, 1, iou)


@pytest.fixture
def labels():
    """Automatic 1 at (2..6, 2..6) and reviewed 2 right of it at (2..6, 6..10); 3 is hidden."""
    pixels = np.zeros((12, 14), dtype=np.int32)
    pixels[2:6, 2:6] = 1
    pixels[2:6, 6:10] = 2
    rows = {
        1: Nucleus(1, 1, 0.6, 0.8, Status.AUTOMATIC, (2.0, 2.0, 6.0, 6.0)),
        2: Nucleus(2, 0, 0.7, 0.8, Status.REVIEWED),
        3: Nucleus(3, 0, 0.1, 0.8, Status.HIDDEN),
    }
    return LabelMap.from_labels(pixels, rows)


def test_a_new_nucleus_takes_free_pixels_only(labels):
    labels.apply(verbs.add_nucleus(labels, block(4, 8, 4, 20), 3))
    assert labels.area(2) == 16
    assert labels.area(4) == 2 * 4 + 2 * 6
    assert labels.nuclei[4] == Nucleus(4, 3, 0.5, 0.9, Status.EDITED)


@pytest.mark.parametrize("mask", [block(3, 3, 2, 5), block(20, 20, 3, 3), block(-5, 0, 3, 3)])
def test_a_nucleus_without_a_free_pixel_is_not_added(labels, mask):
    assert verbs.add_nucleus(labels, mask, 0) is None


def test_a_nucleus_cannot_be_added_hidden_or_past_the_last_id(labels):
    with pytest.raises(LabelsError, match="hidden"):
        verbs.add_nucleus(labels, block(8, 8, 2, 2), 0, Status.HIDDEN)
    full = LabelMap.from_labels(np.array([[MAX_ID, 0]]))
    with pytest.raises(LabelsError, match="ids must be"):
        verbs.add_nucleus(full, block(0, 0, 1, 2), 0)


def test_refining_moves_the_outline_and_keeps_id_class_score_and_neighbours(labels):
    edit = verbs.refine(labels, 1, block(4, 0, 4, 8, score=0.99, iou=0.3))
    labels.apply(edit)
    assert edit.verb == "refine"
    assert edit.ids == {1}
    assert labels.box(1) == (4, 0, 8, 8)
    assert labels.area(1) == 4 * 8 - 2 * 2
    assert labels.area(2) == 16
    row = labels.nuclei[1]
    assert (row.class_id, row.score, row.predicted_iou) == (1, 0.6, 0.3)
    assert row.status is Status.EDITED


@pytest.mark.parametrize(
    "mask", [block(2, 2, 4, 4), block(2, 2, 4, 8), block(3, 7, 2, 2), block(-9, 0, 2, 2)]
)
def test_refining_to_the_same_or_to_nothing_is_no_edit(labels, mask):
    assert verbs.refine(labels, 1, mask) is None


@pytest.mark.parametrize("id_", [0, 3, 77])
def test_nuclei_that_cannot_be_seen_cannot_be_refined(labels, id_):
    with pytest.raises(LabelsError, match=f"nucleus {id_}"):
        verbs.refine(labels, id_, block(0, 0, 2, 2))


def test_deleting_takes_hidden_ones_if_asked_and_refuses_unknown_ones(labels):
    assert verbs.delete(labels, []) is None
    with pytest.raises(LabelsError, match=r"\[8\]"):
        verbs.delete(labels, [1, 8])
    labels.apply(verbs.delete(labels, [3, 1, 1]))
    assert set(labels.nuclei) == {2}
    assert labels.box(2) == (2, 6, 6, 10)


def test_naming_protects_from_the_filter_but_keeps_a_review(labels):
    edit = verbs.set_class(labels, [1, 2], 4)
    assert edit.after.size == 0
    labels.apply(edit)
    assert [labels.nuclei[i].class_id for i in (1, 2)] == [4, 4]
    assert [labels.nuclei[i].status for i in (1, 2)] == [Status.EDITED, Status.REVIEWED]
    assert verbs.set_class(labels, [1, 2], 4) is None
    with pytest.raises(LabelsError, match="hidden"):
        verbs.set_class(labels, [3], 1)
    with pytest.raises(LabelsError, match="class"):
        verbs.set_class(labels, [1], -1)


def test_reviewing_marks_only_what_is_not_yet_marked(labels):
    edit = verbs.set_status(labels, [1, 2], Status.REVIEWED)
    assert edit.ids == {1}
    labels.apply(edit)
    assert labels.nuclei[1].status is Status.REVIEWED
    assert verbs.set_status(labels, [1, 2], Status.REVIEWED) is None
    with pytest.raises(LabelsError, match="filter"):
        verbs.set_status(labels, [1], Status.HIDDEN)


def test_a_brush_makes_edits_and_removes_nuclei(labels):
    after = np.array(labels.pixels[2:6, 4:14])
    after[:, :2] = 0  # the right half of 1 erased
    after[after == 2] = 0  # 2 erased
    after[0, 8:] = 40  # a new one drawn
    after[3, 8:] = 3  # the hidden one's id picked up
    labels.apply(verbs.paint(labels, (2, 4, 6, 14), after.astype(np.int64), class_id=2))
    assert set(labels.nuclei) == {1, 3, 40}
    assert labels.nuclei[1].status is Status.EDITED
    assert labels.nuclei[1].score == 0.6
    assert labels.box(1) == (2, 2, 6, 4)
    assert labels.nuclei[40] == Nucleus(40, 2, math.nan, math.nan, Status.EDITED)
    assert labels.nuclei[3].status is Status.EDITED
    assert labels.next_id == 41


def test_a_brush_that_changed_nothing_is_no_edit(labels):
    assert verbs.paint(labels, (0, 0, 12, 14), np.array(labels.pixels)) is None
    assert verbs.paint(labels, (3, 3, 3, 3), np.zeros((0, 0), dtype=np.int32)) is None


@pytest.mark.parametrize(
    ("box", "after"),
    [
        ((0, 0, 1, 1), np.array([[-1]])),
        ((0, 0, 1, 1), np.array([[2_000_000]])),
        ((0, 0, 1, 1), np.array([[2**40]])),
        ((0, 0, 1, 2), np.array([[1]])),
        ((0, 0, 1, 1), np.array([[1.0]])),
        ((11, 13, 12, 15), np.array([[1, 1]])),
        ((-1, 0, 0, 1), np.array([[1]])),
    ],
)
def test_strokes_that_make_no_sense_are_refused(labels, box, after):
    with pytest.raises(LabelsError):
        verbs.paint(labels, box, after)


def test_pieces_of_a_broken_nucleus_all_stay(labels):
    after = np.array(labels.pixels[2:6, 2:6])
    after[:, 1] = 0
    labels.apply(verbs.paint(labels, (2, 2, 6, 6), after))
    assert labels.area(1) == 12
    assert labels.box(1) == (2, 2, 6, 6)
