import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_uninuc.core.edits import Edit, fold_edits
from napari_uninuc.core.nuclei import MAX_ID, Nucleus, Status
from napari_uninuc.core.packing import PackedEdit
from napari_uninuc.errors import LabelsError

ROW = Nucleus(1, 0, 0.5, 0.5, Status.EDITED)


def crop(*values):
    return np.array([values], dtype=np.int32)


def test_unknown_scores_are_equal_and_other_fields_are_compared():
    unknown = [Nucleus(1, 0, float("nan"), float("nan"), Status.EDITED) for _ in range(2)]
    assert unknown[0] == unknown[1]
    assert hash(unknown[0]) == hash(unknown[1])
    assert unknown[0] != ROW
    assert Nucleus(1, 0, 0.5, 0.5, Status.EDITED, (0.0, 0.0, 1.0, 1.0)) != ROW
    assert Nucleus(1, 0, 0.5, 0.5, Status.REVIEWED) != ROW


@pytest.mark.parametrize(
    "fields",
    [
        (0, 0, 0.5, 0.5, Status.EDITED),
        (MAX_ID + 1, 0, 0.5, 0.5, Status.EDITED),
        (1, -1, 0.5, 0.5, Status.EDITED),
        (1, 0, 0.5, 0.5, Status.EDITED, (1.0, 2.0)),
    ],
)
def test_rows_out_of_range_are_refused(fields):
    with pytest.raises(LabelsError):
        Nucleus(*fields)


@pytest.mark.parametrize(
    ("before", "after", "rows_before"),
    [
        (crop(0), crop(1, 1), {1: None}),
        (crop(0)[0], crop(1)[0], {1: None}),
        (crop(0).astype(np.int64), crop(1), {1: None}),
        (crop(0), crop(1), {}),
    ],
)
def test_edits_that_make_no_sense_are_refused(before, after, rows_before):
    with pytest.raises(LabelsError):
        Edit("add", (0, 0), before, after, rows_before, {1: ROW})


def test_an_edit_is_read_only_and_its_inverse_its_mirror():
    edit = Edit("add", (2, 3), crop(0, 0), crop(0, 1), {1: None}, {1: ROW})
    with pytest.raises(ValueError, match="read-only"):
        edit.after[0, 0] = 5
    with pytest.raises(TypeError):
        edit.rows_after[1] = None
    assert edit.box_yxyx == (2, 3, 3, 5)
    assert edit.ids == {1}
    back = edit.inverse()
    assert (back.verb, back.box_yxyx, back.ids) == ("add", (2, 3, 3, 5), {1})
    assert back.rows_after == {1: None}
    np.testing.assert_array_equal(back.after, edit.before)
    assert edit.nbytes >= 16


def test_trimming_keeps_what_changes():
    other = Nucleus(2, 0, math.nan, math.nan, Status.EDITED)
    rows = {1: None, 2: other}, {1: ROW, 2: other}
    edit = Edit.trimmed("add", (5, 5), crop(2, 0, 0, 2), crop(2, 1, 0, 2), *rows)
    assert edit.box_yxyx == (5, 6, 6, 7)
    assert edit.ids == {1}
    assert Edit.trimmed("add", (5, 5), crop(2), crop(2), {2: other}, {2: other}) is None
    table = Edit.trimmed("class", (5, 5), crop(2), crop(2), *rows)
    assert table.box_yxyx == (0, 0, 0, 0)
    assert table.ids == {1}


def test_folding_edits_far_apart_keeps_what_lies_between():
    pixels = np.array([[1, 3, 0, 2]], dtype=np.int32)
    second = Nucleus(2, 0, 0.5, 0.5, Status.EDITED)
    edits = [
        Edit("add", (0, 0), crop(0), crop(1), {1: None}, {1: ROW}),
        Edit("add", (0, 3), crop(0), crop(2), {2: None}, {2: second}),
    ]
    folded = fold_edits(edits, "both", pixels)
    assert (folded.verb, folded.box_yxyx, folded.ids) == ("both", (0, 0, 1, 4), {1, 2})
    np.testing.assert_array_equal(folded.before, crop(0, 3, 0, 0))
    np.testing.assert_array_equal(folded.after, pixels)


def test_folding_edits_that_cancel_out_leaves_nothing():
    edit = Edit("add", (0, 0), crop(0), crop(1), {1: None}, {1: ROW})
    assert fold_edits([edit, edit.inverse()], "add", crop(0)) is None
    assert fold_edits([], "add", crop(0)) is None


crops = hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=9).flatmap(
    lambda shape: st.tuples(*2 * [hnp.arrays(np.int32, shape, elements=st.integers(0, 2**31 - 1))])
)


@given(crops)
def test_packing_gives_back_the_same_edit(pair):
    edit = Edit("paint", (4, 7), *pair, {1: None}, {1: ROW})
    back = PackedEdit.of(edit).edit()
    assert (back.verb, back.origin_yx) == (edit.verb, edit.origin_yx)
    assert (back.rows_before, back.rows_after) == (edit.rows_before, edit.rows_after)
    np.testing.assert_array_equal(back.before, edit.before)
    np.testing.assert_array_equal(back.after, edit.after)


def test_packing_makes_nuclei_small():
    after = np.kron(np.arange(1, 101).reshape(10, 10), np.ones((40, 40))).astype(np.int32)
    edit = Edit("automatic", (0, 0), np.zeros_like(after), after, {}, {})
    assert PackedEdit.of(edit).nbytes < edit.nbytes / 50
