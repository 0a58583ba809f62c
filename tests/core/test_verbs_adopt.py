"""Nuclei drawn elsewhere, in the place of those there are or beside them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_uninuc.core import verbs
from napari_uninuc.core.labels import LabelMap
from napari_uninuc.core.nuclei import Nucleus, Status
from napari_uninuc.errors import LabelsError

SHAPE = (9, 11)
images = hnp.arrays(np.int32, SHAPE, elements=st.integers(0, 5))


def rows_of(pixels, class_id=0, status=Status.EDITED):
    ids = np.unique(pixels[pixels > 0]).tolist()
    return {id_: Nucleus(id_, class_id, math.nan, math.nan, status) for id_ in ids}


def map_of(pixels):
    return LabelMap.from_labels(pixels, rows_of(pixels, status=Status.REVIEWED))


@given(mine=images, theirs=images)
def test_in_the_place_of_mine_is_what_the_file_has(mine, theirs):
    labels, rows = map_of(mine), rows_of(theirs, 2)
    edit = verbs.adopt(labels, theirs, rows)
    if edit is not None:
        labels.apply(edit)
    np.testing.assert_array_equal(labels.pixels, theirs)
    assert dict(labels.nuclei) == rows


@given(mine=images, theirs=images)
def test_beside_mine_none_of_mine_changes_and_little_of_theirs_is_lost(mine, theirs):
    labels = map_of(mine)
    before = dict(labels.nuclei)
    edit = verbs.adopt(labels, theirs, rows_of(theirs, 2), beside=True)
    if edit is not None:
        labels.apply(edit)
    np.testing.assert_array_equal(labels.pixels[mine > 0], mine[mine > 0])
    assert {id_: labels.nuclei[id_] for id_ in before} == before
    new = labels.nuclei.keys() - before.keys()
    for id_ in np.unique(theirs[theirs > 0]):
        drawn = theirs == id_
        free = drawn & (mine == 0)
        added = set(np.unique(labels.pixels[free])) - {0}
        if 2 * free.sum() >= drawn.sum():
            (number,) = added
            assert number in new
            assert number == id_ or id_ in before
            np.testing.assert_array_equal(labels.pixels == number, free)
        else:
            assert not added
    assert all(labels.nuclei[id_].class_id == 2 for id_ in new)


def test_hidden_ones_go_when_all_are_replaced():
    pixels = np.zeros(SHAPE, np.int32)
    labels = LabelMap.from_labels(pixels, {7: Nucleus(7, 0, 0.1, 0.5, Status.HIDDEN)})
    pixels[2:4, 2:4] = 3
    labels.apply(verbs.adopt(labels, pixels, rows_of(pixels)))
    assert set(labels.nuclei) == {3}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda pixels: pixels[:-1], "like the picture"),
        (lambda pixels: pixels.astype(float), "integers"),
        (lambda pixels: -pixels, "label ids must be 0"),
        (lambda pixels: pixels + 2_000_000, "relabel them"),
        (lambda pixels: pixels + 1, "no row"),
    ],
)
def test_what_cannot_be_taken_over_is_refused(change, words):
    pixels = np.ones(SHAPE, np.int32)
    labels = map_of(np.zeros(SHAPE, np.int32))
    with pytest.raises(LabelsError, match=words):
        verbs.adopt(labels, change(pixels), rows_of(pixels))
    assert len(labels) == 0
