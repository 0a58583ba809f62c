"""Where the pixels of others' OME-Zarr labels lie, as NGFF 0.1 to 0.5 let it be said."""

import numpy as np
import pytest
import zarr

from napari_uninuc.errors import LabelsError
from napari_uninuc.gui.contributions import read_nuclei_file
from napari_uninuc.io.labels import read_labels, read_segmentation
from napari_uninuc.io.ngff import placement_of
from napari_uninuc.slides.label_levels import is_large_pyramid, label_levels

LABELS = np.zeros((12, 17), np.uint32)
LABELS[2:5, 3:9], LABELS[8:11, 10:14] = 4, 70_001


def axes(names="yx", unit="micrometer"):
    said = {} if unit is None else {"unit": unit}
    return [{"name": name, "type": "space", **said} for name in names]


def scale(*steps):
    return {"type": "scale", "scale": list(steps)}


def shift(*offsets):
    return {"type": "translation", "translation": list(offsets)}


def multiscale(level=(), around=None, **members):
    dataset = {"path": "a", **({"coordinateTransformations": list(level)} if level else {})}
    whole = {} if around is None else {"coordinateTransformations": around}
    return {"axes": axes(), "datasets": [dataset], **whole, **members}


def folder(path, stored, pixels=LABELS, version="0.4", said=None):
    """A label image as other programs write it; without "image-label" unless `said` is it."""
    group = zarr.open_group(str(path), mode="w", zarr_format=3 if version == "0.5" else 2)
    group.create_array("a", data=pixels)
    attributes = {"multiscales": [stored], **({} if said is None else {"image-label": said})}
    group.attrs.update({"ome": attributes} if version == "0.5" else attributes)
    return path


SEVERAL = [
    {**scale(0.25, 0.25), "output": {"name": "global"}},
    {**shift(1, 1), "output": {"name": "global"}},
    {**scale(9, 9), "output": {"name": "aligned"}},
]


@pytest.mark.parametrize(
    ("level", "around", "mpp", "origin"),
    [
        ([scale(0.5, 0.5)], None, 0.5, (0, 0)),
        ([scale(0.5, 0.5), shift(10, 20)], None, 0.5, (20, 40)),
        ([scale(1, 1)], [scale(0.25, 0.25)], 0.25, (0, 0)),
        ([scale(2, 2)], [scale(0.25, 0.25)], 0.5, (0, 0)),
        ([scale(1, 1)], [scale(0.25, 0.25), shift(5, 10)], 0.25, (20, 40)),
        # The place of the level is px of the first scale, and is scaled by the second.
        ([scale(1, 1), shift(20, 40)], [scale(0.25, 0.25)], 0.25, (20, 40)),
        ([scale(1, 1), shift(20, 40)], [shift(4, 4), scale(0.25, 0.25)], 0.25, (24, 44)),
        ([scale(1, 1), shift(20, 40)], [scale(0.25, 0.25), shift(1, 1)], 0.25, (24, 44)),
        ([{"type": "identity"}], [scale(0.25, 0.25)], 0.25, (0, 0)),
        ([], [scale(0.25, 0.25)], 0.25, (0, 0)),
        ([], None, None, (0, 0)),
        ([shift(3, 4)], None, None, (3, 4)),
        (
            [],
            [{"type": "sequence", "transformations": [scale(0.5, 0.5), shift(1, 2)]}],
            0.5,
            (2, 4),
        ),
        # SpatialData lists coordinate systems side by side; the first one counts.
        ([scale(1, 1)], SEVERAL, 0.25, (4, 4)),
    ],
)
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_transformations_of_level_and_pyramid_are_joined(
    tmp_path, version, level, around, mpp, origin
):
    path = folder(tmp_path / "a.zarr", multiscale(level, around), version=version)
    stored = read_segmentation(path)
    assert (stored.mpp, stored.origin_yx_slide, stored.notice) == (mpp, origin, "")
    np.testing.assert_array_equal(stored.segmentation.labels, LABELS)
    levels = label_levels(path)
    assert (levels.mpp, levels.origin_yx_slide) == (mpp, origin)


@pytest.mark.parametrize(
    ("unit", "step", "mpp"),
    [
        ("nanometer", 250, 0.25),
        ("nm", 250, 0.25),
        ("millimeter", 0.00025, 0.25),
        ("meter", 2.5e-7, 0.25),
        ("angstrom", 2500, 0.25),
        ("\u00b5m", 0.25, 0.25),
        (None, 0.25, None),
        ("unit", 0.25, None),
        ("micrometer", 100, None),
    ],
)
def test_units_are_turned_into_micrometres(tmp_path, unit, step, mpp):
    stored = multiscale([scale(step, step), shift(4 * step, 8 * step)], axes=axes(unit=unit))
    read = read_segmentation(folder(tmp_path / "a.zarr", stored))
    assert read.mpp == (None if mpp is None else pytest.approx(mpp))
    assert read.origin_yx_slide == (4, 8)


def test_axes_of_one_are_passed_over_wherever_they_stand(tmp_path):
    path = tmp_path / "a.zarr"
    spread = LABELS[None, None, None]
    tczyx = multiscale([scale(1, 1, 3, 0.5, 0.5), shift(0, 0, 7, 1, 2)], axes=axes("tczyx"))
    stored = read_segmentation(folder(path, tczyx, spread))
    np.testing.assert_array_equal(stored.segmentation.labels, LABELS)
    assert (stored.mpp, stored.origin_yx_slide) == (0.5, (2, 4))
    yxc = multiscale([scale(0.5, 0.5, 1)], axes=axes("yxc"))
    assert read_segmentation(folder(path, yxc, LABELS[..., None])).mpp == 0.5
    np.testing.assert_array_equal(read_labels(path), LABELS)
    xy = multiscale([scale(0.5, 0.5), shift(1, 2)], axes=axes("xy"))
    stored = read_segmentation(folder(path, xy, LABELS.T))
    np.testing.assert_array_equal(stored.segmentation.labels, LABELS)
    assert stored.origin_yx_slide == (4, 2)
    np.testing.assert_array_equal(np.asarray(label_levels(path).levels[0]), LABELS)
    lazy = label_levels(folder(path, tczyx, spread)).levels[0]
    np.testing.assert_array_equal(np.asarray(lazy), LABELS)
    two = folder(path, multiscale(axes=axes("zyx")), np.stack([LABELS, LABELS]))
    with pytest.raises(LabelsError, match="one plane"):
        read_labels(two)


@pytest.mark.parametrize("stated", [None, ["t", "c", "z", "y", "x"]])
def test_labels_before_ngff_04_are_read(tmp_path, stated):
    """0.1 and 0.2 name no axes, 0.3 names them only; none has transformations."""
    old = {"datasets": [{"path": "a"}], "version": "0.3" if stated else "0.1"}
    old |= {"axes": stated} if stated else {}
    path = folder(tmp_path / "a.zarr", old, LABELS[None, None, None], said={})
    stored = read_segmentation(path)
    np.testing.assert_array_equal(stored.segmentation.labels, LABELS)
    assert (stored.mpp, stored.origin_yx_slide) == (None, (0, 0))


def test_what_is_no_scale_and_no_shift_is_told_and_the_nuclei_are_read(tmp_path):
    turned = {"type": "affine", "affine": [[0, 1, 0], [1, 0, 0]]}
    stored = read_segmentation(folder(tmp_path / "a.zarr", multiscale([scale(1, 1)], [turned])))
    np.testing.assert_array_equal(stored.segmentation.labels, LABELS)
    assert (stored.mpp, stored.origin_yx_slide) == (None, (0, 0))
    assert "'affine'" in stored.notice


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        (multiscale([scale(0, 0)]), "a scale of"),
        (multiscale([scale(1)]), "a scale without a number for each of 2 axes"),
        (multiscale([{"type": "scale", "path": "s"}]), "a scale without"),
        (multiscale([scale(1, 1)], [shift(1, 2, 3)]), "a translation without"),
        (multiscale(axes=axes("zyx")), "3 axes for an array of 2"),
        (multiscale(axes=axes("zx")), "without y and x"),
        ({"axes": axes()}, "no 'datasets'"),
        (multiscale(datasets=[{"path": "gone"}]), "no 'gone'"),
    ],
)
def test_metadata_that_is_none_is_said_in_words(tmp_path, stored, words):
    path = folder(tmp_path / "a.zarr", stored, said={})
    with pytest.raises(LabelsError, match=words) as caught:
        read_labels(path)
    assert str(caught.value).startswith(f"{path}: expected a readable OME-Zarr, got ")


def test_the_axes_of_a_placement_count_from_the_front():
    found = placement_of({"axes": axes("yx"), "datasets": [{"path": "a"}]}, 4)
    assert (found.y_axis, found.x_axis) == (2, 3)
    assert found.axes == ("", "", "y", "x")


# -- which group is the label image -----------------------------------------------------------


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_group_that_is_named_need_not_say_that_it_is_labels(tmp_path, version):
    """SpatialData and ngff-zarr leave "image-label" out."""
    for name in ("nuclei", "cells"):
        folder(tmp_path / "labels" / name, multiscale([scale(0.5, 0.5)]), version=version)
    stored = read_segmentation(tmp_path / "labels" / "nuclei")
    np.testing.assert_array_equal(stored.segmentation.labels, LABELS)
    assert stored.mpp == 0.5


def test_labels_that_nobody_listed_are_found_where_there_is_one(tmp_path):
    root = zarr.open_group(str(tmp_path / "a.zarr"), mode="w", zarr_format=2)
    root.create_group("labels")
    folder(tmp_path / "a.zarr" / "labels" / "one", multiscale())
    np.testing.assert_array_equal(read_labels(tmp_path / "a.zarr"), LABELS)
    root["labels"].attrs["labels"] = ["one"]
    np.testing.assert_array_equal(read_labels(tmp_path / "a.zarr" / "labels"), LABELS)
    del root["labels"].attrs["labels"]
    folder(tmp_path / "a.zarr" / "labels" / "two", multiscale())
    with pytest.raises(LabelsError, match="labels/"):
        read_labels(tmp_path / "a.zarr")


def test_the_first_series_of_bioformats2raw_is_looked_into(tmp_path):
    root = zarr.open_group(str(tmp_path / "a.zarr"), mode="w", zarr_format=2)
    root.attrs["bioformats2raw.layout"] = 3
    folder(tmp_path / "a.zarr" / "0", multiscale())
    np.testing.assert_array_equal(read_labels(tmp_path / "a.zarr"), LABELS)


def test_a_picture_and_an_array_are_no_label_image(tmp_path):
    rgb = np.zeros((3, 12, 17), np.uint8)
    with pytest.raises(LabelsError, match="one plane"):
        read_labels(folder(tmp_path / "a.zarr", multiscale(axes=axes("cyx")), rgb))
    with pytest.raises(LabelsError, match="name the folder above"):
        read_labels(folder(tmp_path / "b.zarr", multiscale(), version="0.5") / "a")
    text = np.array([["a", "b"]])
    with pytest.raises(LabelsError, match="arrays of whole numbers"):
        read_labels(folder(tmp_path / "c.zarr", multiscale(), text))


# -- labels of a slide -------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["level", "pyramid"])
def test_labels_of_slide_size_lie_where_they_say_in_the_window(tmp_path, where):
    path, side = tmp_path / "a.zarr", 6100
    group = zarr.open_group(str(path), mode="w", zarr_format=2)
    for name, step in (("0", 1), ("1", 2)):
        shape = (side // step, side // step)
        level = group.create_array(name, shape=shape, dtype=np.uint32, chunks=(1024, 1024))
        level[10:30, 10:30] = 1
    place = [shift(100.0, 50.0)]
    datasets = [
        {
            "path": name,
            "coordinateTransformations": [scale(step, step), *(place if where == "level" else [])],
        }
        for name, step in (("0", 0.25), ("1", 0.5))
    ]
    around = {} if where == "level" else {"coordinateTransformations": place}
    stored = {"name": "nuclei", "axes": axes(), "datasets": datasets, **around}
    group.attrs.update({"multiscales": [stored], "image-label": {"version": "0.4"}})
    assert is_large_pyramid(path)
    ((levels, described, kind),) = read_nuclei_file(str(path))(str(path))
    assert kind == "labels"
    assert [level.shape for level in levels] == [(6100, 6100), (3050, 3050)]
    assert (described["scale"], described["translate"]) == ((0.25, 0.25), (100, 50))
    assert described["units"] == ("micrometer", "micrometer")
