"""Dense maps to basins, on maps made from label images of known nuclei."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_uninuc.engine.peaks import PeakSettings, find_basins
from napari_uninuc.errors import PromptError

PLACES = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=0, max_size=8, unique=True
)


def maps_of(labels: np.ndarray) -> np.ndarray:
    """What a perfect network would say: nucleus, distance (1 at the deepest), no contact."""
    depth = np.zeros(labels.shape)
    for nucleus in np.unique(labels[labels > 0]):
        one = ndimage.distance_transform_edt(np.pad(labels == nucleus, 1))[1:-1, 1:-1]
        depth = np.maximum(depth, one / one.max())
    return np.stack([labels > 0, depth, np.zeros(labels.shape)]).astype(np.float32)


def discs(places, radius=5, pitch=16) -> np.ndarray:
    labels = np.zeros((4 * pitch, 4 * pitch), np.int32)
    ys, xs = np.mgrid[: 4 * pitch, : 4 * pitch]
    for nucleus, (row, column) in enumerate(places, start=1):
        y, x = row * pitch + pitch // 2, column * pitch + pitch // 2
        labels[(ys - y) ** 2 + (xs - x) ** 2 <= radius**2] = nucleus
    return labels


@given(PLACES)
@settings(max_examples=25, deadline=None)
def test_every_disc_is_one_basin_with_its_box_and_peak(places):
    labels = discs(places)
    basins = find_basins(maps_of(labels))
    assert len(basins) == len(places)
    assert np.array_equal(basins.labels > 0, labels > 0)
    for row, (y, x) in enumerate(basins.peaks_yx):
        assert basins.labels[y, x] == row + 1
        mine = basins.labels == row + 1
        assert len(np.unique(labels[mine])) == 1
        ys, xs = np.nonzero(mine)
        box = (ys.min(), xs.min(), ys.max() + 1, xs.max() + 1)
        assert tuple(basins.boxes_yxyx[row]) == box
    assert (np.diff(basins.scores) <= 0).all()
    assert ((basins.scores > 0) & (basins.scores <= 1)).all()


def test_touching_nuclei_are_parted():
    labels = np.zeros((40, 60), np.int32)
    ys, xs = np.mgrid[:40, :60]
    labels[(ys - 20) ** 2 + (xs - 22) ** 2 <= 64] = 1
    labels[((ys - 20) ** 2 + (xs - 37) ** 2 <= 64) & (labels == 0)] = 2
    assert ndimage.label(labels > 0)[1] == 1
    basins = find_basins(maps_of(labels))
    assert len(basins) == 2
    left = basins.labels[20, 22]
    assert ((basins.labels == left) == (labels == 1)).mean() > 0.99


def test_low_peaks_and_faint_foreground_make_no_basin():
    maps = maps_of(discs([(1, 1), (2, 3)]))
    maps[1, :32] *= 0.3
    assert len(find_basins(maps)) == 2
    assert len(find_basins(maps, PeakSettings(height=0.4))) == 1
    maps[0, 32:] *= 0.45
    assert len(find_basins(maps)) == 1


def test_field_without_nuclei_and_its_shapes():
    basins = find_basins(np.zeros((3, 12, 20)))
    assert len(basins) == 0
    assert basins.labels.shape == (12, 20)
    assert (basins.peaks_yx.shape, basins.boxes_yxyx.shape) == ((0, 2), (0, 4))
    assert basins.scores.shape == (0,)


@pytest.mark.parametrize("wrong", [{"height": 1.5}, {"foreground": -1}, {"spacing": 0}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(PromptError, match="correct"):
        PeakSettings(**wrong)
