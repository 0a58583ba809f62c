"""Files of other programs give the pixels that were meant."""

import gzip
import sqlite3
import zipfile
import zlib

import numpy as np
import pytest
import roifile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from outline_layouts import ASAP, BLOCK, CENTRES, SHAPE, wkb_of, write_files, write_store

from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.errors import LabelsError
from napari_uninuc.io.filling import fill_traced
from napari_uninuc.io.formats import write_segmentation
from napari_uninuc.io.labels import read_segmentation
from napari_uninuc.io.outline_formats import (
    OUTLINE_FORMATS,
    extent_of_outlines,
    outline_format_of,
)

FOREIGN = [each for each in OUTLINE_FORMATS if "DICOM" not in each.title]
"""Those have tests of their own."""

# What cv2.findContours (5.0.0, RETR_EXTERNAL, CHAIN_APPROX_SIMPLE) gives of a cross, of a line
# and of one pixel.
CROSS = np.zeros(SHAPE, dtype=bool)
CROSS[5:8, 10:12], CROSS[6, 8:14] = True, True
CROSS_CONTOUR = [[10, 5], [9, 6], [8, 6], [9, 6], [10, 7], [11, 7], [12, 6], [13, 6], [12, 6]]
CROSS_CONTOUR += [[11, 5]]


@pytest.fixture
def files(tmp_path):
    return write_files(tmp_path)


@pytest.mark.parametrize("form", FOREIGN, ids=lambda form: form.title)
def test_every_layout_gives_the_pixels_that_were_meant(files, form):
    path = files[form.title]
    assert outline_format_of(path) is form
    stored = read_segmentation(path, SHAPE)
    table = stored.segmentation.table
    first = stored.segmentation.labels == table["id"][0]
    np.testing.assert_array_equal(first, BLOCK > 0)
    expected = {
        "HoVer-Net JSON": (7, "type 1", 0.75),
        "CellViT JSON": (1, "Neoplastic", 0.75),
        "CellViT GeoJSON": (1, "Neoplastic", None),
        "ASAP XML": (1, "Tumor", None),
        "ImageScope XML": (1, "Tumor", None),
        "tiatoolbox store": (1, "neoplastic", 0.75),
        "ImageJ ROIs": (1, "group 3", None),
    }[form.title]
    found = (table["id"][0], table["class"][0], table["score"][0])
    assert found[:2] == expected[:2]
    assert np.isnan(found[2]) if expected[2] is None else found[2] == expected[2]


@pytest.mark.parametrize("form", FOREIGN, ids=lambda form: form.title)
def test_where_outlines_run_can_be_told(files, form):
    other = "centres" if form.through == "corners" else "corners"
    labels = read_segmentation(files[form.title], SHAPE, through=other).segmentation.labels
    wrong = np.zeros(SHAPE, dtype=bool)
    wrong[3 : 8 + 2 * (other == "centres"), 5 : 14 + 2 * (other == "centres")] = True
    np.testing.assert_array_equal(labels == labels[4, 6], wrong)


@pytest.mark.parametrize("form", FOREIGN, ids=lambda form: form.title)
def test_a_region_of_a_slide_is_cut_out(files, form):
    if form.in_slide_px:
        labels = read_segmentation(files[form.title], (10, 12), (2, 4)).segmentation.labels
        np.testing.assert_array_equal(labels > 0, BLOCK[2:12, 4:16] > 0)


@pytest.mark.parametrize("form", FOREIGN, ids=lambda form: form.title)
def test_the_size_of_the_picture_must_be_known(files, form):
    with pytest.raises(LabelsError, match="--like IMAGE"):
        read_segmentation(files[form.title])
    y0, x0, _, _ = extent_of_outlines(form, files[form.title])
    assert (y0, x0) == ((1, 1) if form.title == "ASAP XML" else (3, 5)) or y0 <= 3


@pytest.mark.parametrize("form", FOREIGN, ids=lambda form: form.title)
def test_damage_is_one_clear_line(files, form, tmp_path):
    whole = files[form.title].read_bytes()
    path = tmp_path / f"cut{form.endings[0]}"
    for cut in (len(whole) // 3, len(whole) * 2 // 3):
        path.write_bytes(whole[:cut])
        with pytest.raises(LabelsError) as caught:
            read_segmentation(path, SHAPE)
        assert "\n" not in str(caught.value)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["a.geojson.gz", "a.json.gz"])
def test_damage_within_a_gzip_is_one_clear_line(name, two_nuclei, tmp_path):
    whole = bytearray(
        gzip.compress(write_segmentation(two_nuclei, tmp_path / "a.geojson").read_bytes())
    )
    whole[20:30] = bytes(range(200, 210))
    (tmp_path / name).write_bytes(whole)
    with pytest.raises(zlib.error):
        gzip.decompress(whole)
    with pytest.raises(LabelsError) as caught:
        read_segmentation(tmp_path / name, SHAPE)
    assert "\n" not in str(caught.value)


def test_what_is_left_out_is_told(files):
    assert "dot (1)" in read_segmentation(files["ASAP XML"], SHAPE).notice
    assert "negative region (1)" in read_segmentation(files["ImageScope XML"], SHAPE).notice
    assert "point (1)" in read_segmentation(files["tiatoolbox store"], SHAPE).notice
    assert "point (1)" in read_segmentation(files["ImageJ ROIs"], SHAPE).notice


def test_each_part_of_a_class_of_cellvit_is_a_nucleus(files):
    stored = read_segmentation(files["CellViT GeoJSON"], SHAPE)
    assert stored.segmentation.table["class"].tolist() == ["Neoplastic"] * 2
    assert stored.segmentation.palette.classes[0].colour == "#ff0000"


def test_colours_of_xml(files):
    for title in ("ASAP XML", "ImageScope XML"):
        palette = read_segmentation(files[title], SHAPE).segmentation.palette
        assert palette.classes[0].colour == "#f4fa58"


def test_xml_with_a_document_type_is_refused(tmp_path):
    path = tmp_path / "bomb.xml"
    bomb = '<!DOCTYPE a [<!ENTITY b "bbbbbbbbbb"><!ENTITY c "&b;&b;&b;&b;">]>'
    path.write_text(ASAP.replace("<ASAP_Annotations>", bomb + "<ASAP_Annotations>"))
    with pytest.raises(LabelsError) as caught:
        read_segmentation(path, SHAPE)
    assert "\n" not in str(caught.value)


def test_a_view_in_the_place_of_a_store_is_refused(tmp_path):
    path = tmp_path / "a.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE VIEW annotations AS SELECT 1 AS id, NULL AS geometry")
    database.close()
    with pytest.raises(LabelsError, match="tiatoolbox store"):
        read_segmentation(path, SHAPE)


def test_both_orders_of_bytes_of_a_store(tmp_path):
    for order in "<>":
        path = tmp_path / f"{order == '<'}.db"
        write_store(path, wkb_of(CENTRES, order), {"type": 2})
        stored = read_segmentation(path, SHAPE)
        np.testing.assert_array_equal(stored.segmentation.labels, BLOCK)
        assert stored.segmentation.table["class"].tolist() == ["type 2"]


def test_outlines_of_opencv_are_filled_as_opencv_does():
    (y, x), mask = fill_traced(CROSS_CONTOUR, SHAPE)
    found = np.zeros(SHAPE, dtype=bool)
    found[y : y + mask.shape[0], x : x + mask.shape[1]] = mask
    np.testing.assert_array_equal(found, CROSS)
    for contour, pixels in (([[4, 5]], (5, slice(4, 5))), ([[4, 5], [9, 5]], (5, slice(4, 10)))):
        (y, x), mask = fill_traced(contour, SHAPE)
        found = np.zeros(SHAPE, dtype=bool)
        found[y : y + mask.shape[0], x : x + mask.shape[1]] = mask
        expected = np.zeros(SHAPE, dtype=bool)
        expected[pixels] = True
        np.testing.assert_array_equal(found, expected)


@given(
    hnp.arrays(np.int32, (12, 14), elements=st.sampled_from([0, 0, 3, 70_000])),
    st.tuples(st.integers(0, 9), st.integers(0, 9)),
)
def test_a_roi_set_gives_every_pixel_back(tmp_path_factory, labels, origin):
    labels[0, 0] = 3
    nuclei = Segmentation.from_labels(labels, "tumour, \u00e4")
    path = tmp_path_factory.mktemp("rois") / "a.rois.zip"
    write_segmentation(nuclei, path, mpp=0.25, origin_yx_slide=origin)
    stored = read_segmentation(path)
    np.testing.assert_array_equal(stored.segmentation.labels, labels)
    assert (stored.mpp, stored.origin_yx_slide, stored.notice) == (0.25, origin, "")
    assert set(stored.segmentation.table["class"]) == {"tumour, \u00e4"}


def test_a_roi_set_as_roifile_reads_it(two_nuclei, tmp_path):
    path = write_segmentation(two_nuclei, tmp_path / "a.rois.zip")
    first, second = roifile.roiread(path)
    assert (first.name, second.name) == ("2", "7")
    assert (first.group, second.group) == (1, 2)
    assert first.roitype == roifile.ROI_TYPE.POLYGON
    assert sorted(first.coordinates().tolist()) == [[20, 10], [20, 14], [26, 10], [26, 14]]


def test_a_roi_set_of_no_nuclei_is_read_again(tmp_path):
    none = Segmentation.from_labels(np.zeros((9, 12), np.int32))
    stored = read_segmentation(write_segmentation(none, tmp_path / "a.rois.zip", mpp=0.5))
    assert stored.segmentation.labels.shape == (9, 12)
    assert (len(stored.segmentation.table), stored.mpp) == (0, 0.5)


def test_beyond_65535_px_a_roi_is_where_it_was(tmp_path):
    labels = np.zeros((3, 70_010), dtype=np.int32)
    labels[1, 70_001:70_005] = 5
    path = write_segmentation(Segmentation.from_labels(labels), tmp_path / "a.rois.zip")
    (roi,) = roifile.roiread(path)
    assert roi.coordinates().min(axis=0).tolist() == [70_001, 1]
    assert roi.coordinates().max(axis=0).tolist() == [70_005, 2]


def test_shapes_of_imagej_itself(tmp_path):
    kinds = roifile.ROI_TYPE
    rectangle = roifile.ImagejRoi(roitype=kinds.RECT, top=3, left=5, bottom=9, right=15)
    oval = roifile.ImagejRoi(roitype=kinds.OVAL, top=12, left=4, bottom=22, right=14)
    rectangle.name, oval.name = "1", "2"
    roifile.roiwrite(tmp_path / "a.zip", [rectangle, oval], mode="w")
    labels = read_segmentation(tmp_path / "a.zip", SHAPE).segmentation.labels
    np.testing.assert_array_equal(labels == 1, BLOCK > 0)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    np.testing.assert_array_equal(labels == 2, (y - 16.5) ** 2 + (x - 8.5) ** 2 < 25)


def test_another_zip_is_no_roi_set(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("a.txt", "text")
    with pytest.raises(LabelsError, match="ImageJ ROIs, got something else"):
        read_segmentation(tmp_path / "a.zip", SHAPE)
