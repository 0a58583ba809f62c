"""Nuclei of a labels layer arrive where the window shows them."""

import dask.array as da
import numpy as np
import pytest
from napari.layers import Image, Labels

from napari_uninuc.errors import LabelsError
from napari_uninuc.gui.layers.taking import nuclei_source

SHAPE = (60, 80)
UM = {"scale": (0.5, 0.5), "units": ("um", "um")}


def labels(shape=SHAPE):
    drawn = np.zeros(shape, np.int32)
    drawn[10:20, 12:18] = 5
    drawn[30:33, 40:50] = 900
    return drawn


def taken(layer, picture=None, step=(0, 0)):
    picture = Image(np.zeros(SHAPE)) if picture is None else picture
    return nuclei_source(layer, picture, SHAPE, step).read().nuclei.labels


def box(drawn, id_=5):
    rows, columns = np.nonzero(drawn == id_)
    return rows.min(), columns.min(), rows.max() + 1, columns.max() + 1


def test_a_layer_that_lies_on_the_picture_is_taken_pixel_by_pixel():
    placed = {"scale": (0.1, 0.3), "translate": (0.7, 5.3), "rotate": 30}
    picture = Image(np.zeros(SHAPE), **placed)
    np.testing.assert_array_equal(taken(Labels(labels(), **placed), picture), labels())


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        ({"translate": (20, 20)}, (30, 32, 40, 38)),
        ({"translate": (-12, 0)}, (0, 12, 8, 18)),
        ({"scale": (2, 3)}, (19, 35, 39, 53)),
        ({"affine": [[1, 0, 3], [0, 1, 4], [0, 0, 1]]}, (13, 16, 23, 22)),
        ({"rotate": 90, "translate": (40, 40)}, (23, 50, 29, 60)),
    ],
)
def test_moved_scaled_and_turned_layers(layer, expected):
    assert box(taken(Labels(labels(), **layer))) == expected


def test_a_picture_that_was_moved_itself():
    picture = Image(np.zeros(SHAPE), translate=(5, 6))
    assert box(taken(Labels(labels()), picture)) == (5, 6, 15, 12)


def test_units_of_length_are_turned_into_each_other():
    picture = Image(np.zeros(SHAPE), **UM)
    layer = Labels(labels(), scale=(500, 500), units=("nm", "nm"), translate=(1000, 0))
    assert box(taken(layer, picture)) == (12, 12, 22, 18)


def test_units_that_do_not_go_together_are_refused():
    with pytest.raises(LabelsError, match=r"counts in pixel.*scale \(0.5, 0.5\)"):
        taken(Labels(labels(), name="mine"), Image(np.zeros(SHAPE), **UM))


@pytest.mark.parametrize("shape", [(35, 55), (200, 300)])
def test_layers_of_other_sizes(shape):
    found = taken(Labels(labels(shape)))
    assert box(found) == (10, 12, 20, 18)
    assert box(found, 900) == (30, 40, 33, 50)


def test_of_a_pyramid_the_finest_level_and_of_it_only_the_part_on_the_picture():
    touched = []

    def block(block_info=None):
        place = block_info[None]["array-location"]
        touched.append(place)
        (y0, y1), (x0, x1) = place
        return np.pad(labels((100, 100)), ((0, 300), (0, 300)))[y0:y1, x0:x1]

    fine = da.map_blocks(block, chunks=((100,) * 4,) * 2, dtype=np.int32)
    layer = Labels([fine, fine[::2, ::2]], multiscale=True)
    touched.clear()
    assert box(taken(layer)) == (10, 12, 20, 18)
    assert set(map(tuple, touched)) == {((0, 100), (0, 100))}


def test_of_a_stack_the_plane_that_is_shown():
    stack = np.stack([np.zeros(SHAPE, np.int32), labels()])
    np.testing.assert_array_equal(taken(Labels(stack), step=(1, 0, 0)), labels())
    with pytest.raises(LabelsError, match="no nucleus on the picture"):
        taken(Labels(stack), step=(0, 0, 0))


def test_a_layer_that_lies_elsewhere_is_refused_and_one_half_there_is_counted():
    with pytest.raises(LabelsError, match="no nucleus on the picture"):
        taken(Labels(labels(), translate=(0, 5000)))
    moved = Labels(labels(), translate=(0, 45))
    half = nuclei_source(moved, Image(np.zeros(SHAPE)), SHAPE, (0, 0)).read()
    assert half.left_out == 1
    assert half.nuclei.table["id"].tolist() == [5]


def test_features_follow_their_nuclei():
    features = {"index": [5, 900], "class": ["tumour", "stroma"]}
    layer = Labels(labels(), features=features, translate=(0, 45))
    nuclei = nuclei_source(layer, Image(np.zeros(SHAPE)), SHAPE, (0, 0)).read().nuclei
    assert nuclei.table["class"].tolist() == ["tumour"]
