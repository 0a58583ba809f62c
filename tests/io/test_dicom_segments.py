"""Label maps of DICOM: to highdicom and back, and those that highdicom writes for others."""

from dataclasses import replace

import highdicom
import numpy as np
import pydicom
import pytest
from dicom_slides import foreign, slide_header
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from napari_uninuc.core.place import SlidePlace
from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.errors import LabelsError, OutputError
from napari_uninuc.io.dicom_slide import DicomSlide
from napari_uninuc.io.dicom_terms import Code, FoundBy
from napari_uninuc.io.formats import write_segmentation
from napari_uninuc.io.labels import read_segmentation
from napari_uninuc.io.outline_formats import extent_of_outlines, outline_format_of


def test_highdicom_reads_what_is_written(two_nuclei, tile_40x60, tmp_path):
    level = slide_header()
    touching = two_nuclei.labels.copy()
    touching[14:16, 20:26], touching[16, 26] = 9, 11
    table = Segmentation.from_labels(touching).table.assign(
        score=[0.75, 0.5, np.nan, 1.0], status=["automatic", "reviewed", "", "edited"]
    )
    table["class"] = ["epithelial", "inflammatory", "epithelial", "epithelial"]
    nuclei = Segmentation(touching, table, {})
    path = write_segmentation(
        nuclei,
        tmp_path / "a.seg.dcm",
        tile_40x60,
        slide=DicomSlide(level, (900, 1300), 0.25),
        codes={"epithelial": Code("80083000", "SCT", "Epithelial cell")},
        found_by=FoundBy("uninuc-n", "ab" * 32),
    )
    found = highdicom.seg.segread(path)
    assert found.segmentation_type.value == "LABELMAP"
    assert (found.TotalPixelMatrixRows, found.TotalPixelMatrixColumns) == (900, 1300)
    assert found.FrameOfReferenceUID == level.FrameOfReferenceUID
    ((_, _, source),) = found.get_source_image_uids()
    assert source == level.SOPInstanceUID
    described = [found.get_segment_description(number) for number in found.segment_numbers]
    assert [each.segment_label for each in described] == [
        "epithelial",
        "epithelial (2)",
        "inflammatory",
    ]
    assert [each.segmented_property_type.meaning for each in described] == [
        "Epithelial cell",
        "Epithelial cell",
        "Nucleus",
    ]
    assert described[0].algorithm_type.value == "SEMIAUTOMATIC"
    assert described[0].algorithm_identification.name == "uninuc-n"
    # Rows and columns count from 1; the tile's first px is (100, 200) on the slide.
    part = found.get_total_pixel_matrix(101, 141, 201, 261, combine_segments=True)
    expected = np.select(
        [np.isin(touching, (2, 11)), touching == 9, touching == 7], [1, 2, 3], default=0
    )
    np.testing.assert_array_equal(part, expected)
    (frame,) = found.PerFrameFunctionalGroupsSequence
    place = frame.PlanePositionSlideSequence[0]
    assert (place.XOffsetInSlideCoordinateSystem, place.YOffsetInSlideCoordinateSystem) == (20, 40)
    stored = read_segmentation(path)
    np.testing.assert_array_equal(stored.segmentation.labels, touching)
    columns = ["id", "class", "score", "status"]
    read = stored.segmentation.table[columns]
    assert read.fillna(-1).values.tolist() == table[columns].fillna(-1).values.tolist()
    assert (stored.mpp, stored.origin_yx_slide, stored.notice) == (0.25, (100, 200), "")
    colours = {each.name: each.colour for each in nuclei.palette.classes}
    assert {e.name: e.colour for e in stored.segmentation.palette.classes} == colours


def test_a_tile_of_a_coarser_level_has_the_matrix_of_that_level(two_nuclei, tile_40x60, tmp_path):
    place = SlidePlace("slide", "ab" * 16, 2, 4.0, (400, 800, 560, 1040))
    coarse = replace(tile_40x60, origin_yx_slide=(100, 200), place=place)
    slide = DicomSlide(slide_header((900, 1300)), (900, 1300), 0.25)
    path = write_segmentation(two_nuclei, tmp_path / "a.seg.dcm", coarse, 1.0, slide=slide)
    found = highdicom.seg.segread(path)
    assert (found.TotalPixelMatrixRows, found.TotalPixelMatrixColumns) == (225, 325)
    measures = found.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert list(measures.PixelSpacing) == [0.001, 0.001]
    stored = read_segmentation(path)
    np.testing.assert_array_equal(stored.segmentation.labels, two_nuclei.labels)
    assert (stored.mpp, stored.origin_yx_slide) == (1.0, (100, 200))


_CORNERS = np.zeros((12, 14), np.int32)
_CORNERS[0, 0], _CORNERS[1, 1], _CORNERS[2, 0], _CORNERS[0, 2] = 3, 70_000, 3, 70_000


@settings(max_examples=40, deadline=None)
@example(_CORNERS, (0, 0))
@example(np.pad(np.zeros((2, 2), np.int32), 1, constant_values=5), (500, 505))
@given(
    hnp.arrays(np.int32, (12, 14), elements=st.sampled_from([0, 0, 3, 4, 70_000])),
    st.tuples(st.integers(0, 1500), st.integers(0, 1500)),
)
def test_every_pixel_comes_back_through_touching_nuclei_and_pieces(
    tmp_path_factory, labels, origin
):
    labels[-1, -1] = 3
    path = tmp_path_factory.mktemp("dicom") / "a.seg.dcm"
    nuclei = Segmentation.from_labels(labels, "tumour (2)")
    write_segmentation(nuclei, path, mpp=0.25, origin_yx_slide=origin)
    stored = read_segmentation(path)
    np.testing.assert_array_equal(stored.segmentation.labels, labels)
    assert (stored.mpp, stored.origin_yx_slide, stored.notice) == (0.25, origin, "")
    assert set(stored.segmentation.table["class"]) == {"tumour (2)"}


def test_more_nuclei_than_a_label_map_has_numbers(tmp_path):
    labels = np.zeros((512, 514), np.int32)
    labels[::2, ::2] = np.arange(1, 256 * 257 + 1).reshape(256, 257)
    path = write_segmentation(Segmentation.from_labels(labels), tmp_path / "a.seg.dcm", mpp=0.5)
    assert pydicom.dcmread(path).BitsAllocated == 8
    np.testing.assert_array_equal(read_segmentation(path).segmentation.labels, labels)


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize(
    ("kind", "packing"),
    [
        ("LABELMAP", ExplicitVRLittleEndian),
        ("LABELMAP", RLELossless),
        ("BINARY", ExplicitVRLittleEndian),
    ],
)
def test_segments_of_others_are_read_piece_by_piece(tmp_path, kind, packing, full):
    pixels = np.zeros((300, 511), np.uint8)
    pixels[250:262, 230:250] = 1  # lies on four tiles
    pixels[290:300, 500:511] = 1
    pixels[5:9, 5:9] = 2
    path = foreign(tmp_path / "a.dcm", kind, pixels, ["tumour", "stroma"], packing, full)
    stored = read_segmentation(path)
    rows = stored.segmentation.table[["id", "class", "y0", "x0", "y1", "x1"]].values.tolist()
    assert rows == [
        [1, "tumour", 250, 230, 262, 250],
        [2, "tumour", 290, 500, 300, 511],
        [3, "stroma", 5, 5, 9, 9],
    ]
    assert stored.mpp == 0.25
    assert "each piece of 2 segments is a nucleus" in stored.notice
    extent = extent_of_outlines(outline_format_of(path), path)
    assert extent == (0, 0, 300, 511)
    part = read_segmentation(path, (20, 30), (245, 235)).segmentation
    assert part.table[["y0", "x0", "y1", "x1"]].values.tolist() == [[5, 0, 17, 15]]


def test_what_is_said_to_be_background_is_no_nucleus(tmp_path):
    pixels = np.ones((40, 50), np.uint8)
    pixels[3:9, 5:15] = 2
    path = foreign(tmp_path / "a.dcm", "LABELMAP", pixels, ["glass", "tumour"])
    document = pydicom.dcmread(path)
    kind = document.SegmentSequence[1].SegmentedPropertyTypeCodeSequence[0]
    kind.CodingSchemeDesignator, kind.CodeValue = "DCM", "125040"
    document.save_as(path)
    stored = read_segmentation(path)
    assert stored.segmentation.table["class"].tolist() == ["tumour"]
    assert (stored.segmentation.labels > 0).sum() == 60


def test_a_segment_a_nucleus_keeps_its_number(tmp_path):
    pixels = np.zeros((40, 50), np.uint16)
    numbers = [*range(3, 83), 40_000]
    for k, number in enumerate(numbers):
        pixels[k // 10 * 4 : k // 10 * 4 + 3, k % 10 * 4 : k % 10 * 4 + 4] = number
    names = [f"Nucleus {number}" for number in numbers]
    path = foreign(tmp_path / "a.dcm", "LABELMAP", pixels, names, numbers=numbers)
    stored = read_segmentation(path)
    np.testing.assert_array_equal(stored.segmentation.labels, pixels)
    assert set(stored.segmentation.table["class"]) == {"Nucleus"}
    assert stored.notice == ""


def test_what_cannot_be_written_is_refused(two_nuclei, tmp_path):
    with pytest.raises(OutputError, match="--mpp"):
        write_segmentation(two_nuclei, tmp_path / "a.seg.dcm")
    none = Segmentation.from_labels(np.zeros((2, 2), np.int32))
    with pytest.raises(OutputError, match="at least one nucleus"):
        write_segmentation(none, tmp_path / "a.seg.dcm", mpp=0.25)
    lost = slide_header()
    del lost.ImageOrientationSlide
    slide = DicomSlide(lost, (900, 1300), 0.25)
    with pytest.raises(OutputError, match="says where it lies"):
        write_segmentation(two_nuclei, tmp_path / "a.seg.dcm", mpp=0.25, slide=slide)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_read_is_one_clear_line(tmp_path):
    pixels = np.zeros((300, 511), np.uint8)
    pixels[250:262, 230:250] = 1
    whole = foreign(tmp_path / "a.dcm", "LABELMAP", pixels, ["a"]).read_bytes()
    for cut in (200, 1400, len(whole) // 2, len(whole) - 60):
        (tmp_path / "cut.dcm").write_bytes(whole[:cut])
        with pytest.raises(LabelsError) as caught:
            read_segmentation(tmp_path / "cut.dcm")
        assert "\n" not in str(caught.value)
    parts = np.full((300, 511), 0.5, np.float32)
    with pytest.raises(LabelsError, match="got fractional"):
        read_segmentation(foreign(tmp_path / "b.dcm", "FRACTIONAL", parts, ["a"]))
    document = pydicom.dcmread(tmp_path / "a.dcm")
    plain = document.PixelData
    document.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.100"  # MPEG2
    document.PixelData = pydicom.encaps.encapsulate([b"none"] * 6)
    document.save_as(tmp_path / "c.dcm")
    with pytest.raises(LabelsError, match="save them as RLE"):
        read_segmentation(tmp_path / "c.dcm")
    document.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    document.PixelData, document.NumberOfFrames = plain, 5
    document.save_as(tmp_path / "d.dcm")
    with pytest.raises(LabelsError, match="expected 6 frames"):
        read_segmentation(tmp_path / "d.dcm")
