"""What is drawn on a shapes layer arrives where the window shows it."""

import numpy as np
import pytest
from napari.layers import Image, Shapes

from napari_uninuc.errors import LabelsError
from napari_uninuc.gui.layers.taking_shapes import shapes_source

SHAPE = (60, 80)
BOX = np.array([[9.5, 11.5], [9.5, 17.5], [19.5, 17.5], [19.5, 11.5]])
"""Around rows 10 to 19 and columns 12 to 17: whole numbers are centres of pixels to napari."""


def source(layer, picture=None, step=(0, 0)):
    picture = Image(np.zeros(SHAPE)) if picture is None else picture
    return shapes_source(layer, picture, SHAPE, step)


def box(drawn, id_=1):
    rows, columns = np.nonzero(drawn == id_)
    return rows.min(), columns.min(), rows.max() + 1, columns.max() + 1


@pytest.mark.parametrize(
    ("placed", "expected"),
    [
        ({}, (10, 12, 20, 18)),
        ({"translate": (20, 20)}, (30, 32, 40, 38)),
        ({"translate": (-12, 0)}, (0, 12, 8, 18)),
        ({"scale": (2, 3)}, (19, 35, 39, 53)),
        ({"affine": [[1, 0, 3], [0, 1, 4], [0, 0, 1]]}, (13, 16, 23, 22)),
        ({"rotate": 90, "translate": (40, 40)}, (23, 50, 29, 60)),
    ],
)
@pytest.mark.parametrize("kind", ["polygon", "rectangle"])
def test_moved_scaled_and_turned_layers(placed, expected, kind):
    drawn = source(Shapes([BOX], shape_type=kind, **placed)).read().nuclei.labels
    assert box(drawn) == expected
    full = (expected[2] - expected[0]) * (expected[3] - expected[1])
    assert (drawn == 1).sum() == full


def test_a_picture_in_micrometres():
    um = {"scale": (0.5, 0.5), "units": ("um", "um")}
    picture = Image(np.zeros(SHAPE), translate=(5, 6), **um)
    layer = Shapes([BOX], shape_type="polygon", scale=(500, 500), units=("nm", "nm"))
    assert box(source(layer, picture).read().nuclei.labels) == (0, 0, 10, 6)
    with pytest.raises(LabelsError, match="counts in pixel"):
        source(Shapes([BOX], shape_type="polygon"), picture)


def test_an_ellipse_is_filled_as_its_formula_says():
    corners = np.array([[10, 20], [10, 50], [30, 50], [30, 20]])
    drawn = source(Shapes([corners], shape_type="ellipse")).read().nuclei.labels
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    inside = ((y - 20) / 10) ** 2 + ((x - 35) / 15) ** 2
    assert (drawn[inside < 0.995] == 1).all()
    assert not drawn[inside > 1].any()


def test_lines_and_paths_are_told_and_the_upper_shape_has_a_shared_pixel():
    layer = Shapes(ndim=2)
    layer.add([BOX, BOX + 5], shape_type=["polygon", "rectangle"])
    layer.add([BOX], shape_type="path")
    layer.add([BOX[:2]], shape_type="line")
    layer.features = {"class": ["tumour", "stroma", "", ""], "score": [0.5, None, None, None]}
    found = source(layer)
    assert found.notice == "2 lines of Shapes enclose nothing and are left out."
    taken = found.read()
    assert (taken.nuclei.labels == 2).sum() == 60
    assert (taken.nuclei.labels == 1).sum() == 60 - 5
    assert taken.nuclei.table["class"].tolist() == ["tumour", "stroma"]
    assert taken.nuclei.table["score"].tolist()[0] == 0.5
    assert taken.left_out == 0


def test_where_no_class_is_said_there_is_none():
    layer = Shapes([BOX, BOX + 12, BOX + 24], shape_type="polygon")
    layer.features = {"class": ["tumour", None, np.nan]}
    assert source(layer).read().nuclei.table["class"].tolist() == ["tumour", "nucleus", "nucleus"]


def test_of_a_stack_the_shapes_on_the_plane_that_is_shown():
    planes = [np.column_stack([np.full(4, z), BOX + z]) for z in (0, 3)]
    taken = source(Shapes(planes, shape_type="polygon"), step=(3, 0, 0)).read()
    assert box(taken.nuclei.labels) == (13, 15, 23, 21)
    assert len(taken.nuclei.table) == 1


def test_what_lies_elsewhere_is_refused_or_counted():
    with pytest.raises(LabelsError, match="no nucleus on the picture"):
        source(Shapes([BOX], shape_type="polygon", translate=(0, 5000))).read()
    with pytest.raises(LabelsError, match="no nucleus on the picture"):
        source(Shapes([BOX], shape_type="path")).read()
    half = source(Shapes([BOX, BOX + 500], shape_type="polygon")).read()
    assert (half.left_out, half.nuclei.table["id"].tolist()) == (1, [1])
