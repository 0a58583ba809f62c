"""Colours of many nuclei at once are those of each by itself."""

import math
from dataclasses import replace

import numpy as np
import pytest
from skimage.color import rgb2lab

from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.edits import Edit
from napari_uninuc.core.labels import LabelMap
from napari_uninuc.core.nuclei import Nucleus, Status
from napari_uninuc.gui.canvas.marks import MARK_COLOURS, Mark
from napari_uninuc.gui.layers import colours
from napari_uninuc.gui.layers.colours import NucleusColours
from napari_uninuc.gui.layers.reader_outlines import READER_COLOURS


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


# -- kinds of vision --------------------------------------------------------------------------

_SEEN_BY = {
    # Linear red, green and blue as seen: Machado, Oliveira and Fernandes 2009, severity 1.0;
    # and Vienot, Brettel and Mollon 1999.
    "anybody": np.eye(3),
    "protanopia (2009)": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia (2009)": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "protanopia (1999)": [[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]],
    "deuteranopia (1999)": [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]],
}


def seen_lab(hex_colours, matrix):
    """CIELAB of colours ``#rrggbb`` as somebody sees them, (n, 3)."""
    rgb = np.array([[int(each[k : k + 2], 16) for k in (1, 3, 5)] for each in hex_colours]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.asarray(matrix).T, 0, 1)
    shown = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)
    return rgb2lab(shown)


_MARKED = [MARK_COLOURS[Mark.SELECTED], MARK_COLOURS[Mark.IN_HAND]]
_TEN_CLASSES = [each.colour for each in ClassPalette.of_names([*"abcdefghij"]).classes]
_SEEN_TOGETHER = {
    "classes and statuses": [*_TEN_CLASSES, *colours.STATUS_COLOURS.values(), *_MARKED],
    "staining": [*colours.STAIN_COLOURS, colours._UNKNOWN_SCORE_COLOUR, *_MARKED],
    "readers": [*READER_COLOURS, "#ffffff"],
}


@pytest.mark.parametrize("kind", _SEEN_BY)
@pytest.mark.parametrize("what", _SEEN_TOGETHER)
def test_colours_stay_apart_in_every_kind_of_vision(kind, what):
    used = _SEEN_TOGETHER[what]
    lab = seen_lab(used, _SEEN_BY[kind])
    apart = np.linalg.norm(lab[:, None] - lab[None], axis=-1) + 1e9 * np.eye(len(used))
    nearest = np.unravel_index(apart.argmin(), apart.shape)
    assert apart.min() >= 25, [used[place] for place in nearest]
