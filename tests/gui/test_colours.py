"""Colours of many nuclei at once are those of each by itself."""

import math
from dataclasses import replace

import numpy as np
import pytest

from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.edits import Edit
from napari_uninuc.core.labels import LabelMap
from napari_uninuc.core.nuclei import Nucleus, Status
from napari_uninuc.gui.layers import colours
from napari_uninuc.gui.layers.colours import NucleusColours


def edit_of(count):
    """Classes of some change, some were hidden, some go, some are far above the others."""
    ids = [*range(1, count), 5_000_000]
    before = {id_: Nucleus(id_, 0, math.nan, math.nan, Status.EDITED) for id_ in ids}
    after: dict = {id_: replace(each, class_id=id_ % 3) for id_, each in before.items()}
    before[4] = replace(before[4], status=Status.HIDDEN)
    before[5], after[7] = None, None
    return Edit.of_rows("class", before, after)


@pytest.mark.parametrize("few", [0, 10**6])
def test_many_are_followed_like_few(monkeypatch, few):
    monkeypatch.setattr(colours, "_FEW", few)
    shown = NucleusColours(LabelMap((4, 4)), ClassPalette.of_names(["a", "b", "c"]))
    edit = edit_of(40)
    changed = {id_ for id_, row in edit.rows_after.items() if row is not None and row.class_id}
    assert set(shown.follow(edit)) == changed - {4, 5, 7}
    for id_, row in edit.rows_after.items():
        if row is not None:
            assert shown.colormap.slot_of(id_) == 1 + row.class_id
    assert shown.follow(edit) == []
    ids = np.array([1, 5, 5_000_000])
    assert shown.colormap.map(ids).shape == (3, 4)
