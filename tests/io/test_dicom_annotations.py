import highdicom
import numpy as np
import pydicom
import pytest
from dicom_slides import slide_header
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.errors import LabelsError, OutputError
from napari_uninuc.io import dicom_groups
from napari_uninuc.io.dicom_slide import DicomSlide, read_dicom_slide
from napari_uninuc.io.dicom_terms import Code, FoundBy
from napari_uninuc.io.formats import write_segmentation
from napari_uninuc.io.labels import read_segmentation


def slide_file(path, shape=(400, 600), kind="VOLUME"):
    """The header of a level of a slide."""
    level = Dataset()
    level.SOPClassUID, level.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.77.1.6", generate_uid()
    level.StudyInstanceUID, level.SeriesInstanceUID = "1.2.3", "1.2.3.4"
    level.FrameOfReferenceUID, level.Modality = "1.2.3.5", "SM"
    level.PatientID, level.PatientName, level.PatientBirthDate = "7", "A^B", ""
    level.PatientSex, level.AccessionNumber, level.StudyID = "", "", ""
    level.StudyDate, level.StudyTime = "", ""
    level.ImageType = ["ORIGINAL", "PRIMARY", kind, "NONE"]
    level.TotalPixelMatrixRows, level.TotalPixelMatrixColumns = shape
    measures, groups = Dataset(), Dataset()
    measures.PixelSpacing = [0.00025, 0.00025]
    groups.PixelMeasuresSequence = [measures]
    level.SharedFunctionalGroupsSequence = [groups]
    level.file_meta = FileMetaDataset()
    level.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    level.file_meta.MediaStorageSOPClassUID = level.SOPClassUID
    level.file_meta.MediaStorageSOPInstanceUID = level.SOPInstanceUID
    pydicom.dcmwrite(path, level, enforce_file_format=True)
    return level


def test_highdicom_reads_what_is_written(two_nuclei, tile_40x60, tmp_path):
    level = slide_file(tmp_path / "finest.dcm")
    slide_file(tmp_path / "coarse.dcm", (100, 150))
    slide_file(tmp_path / "label.dcm", (900, 900), "LABEL")
    slide = read_dicom_slide(tmp_path)
    assert (slide.shape, slide.mpp) == ((400, 600), 0.25)
    code = Code("252987004", "SCT", "Cancer cell")
    path = write_segmentation(
        two_nuclei,
        tmp_path / "a.ann.dcm",
        tile_40x60,
        slide=slide,
        codes={"epithelial": code},
        found_by=FoundBy("uninuc-n", "ab" * 32),
    )
    found = highdicom.ann.annread(path)
    (reference,) = found.ReferencedImageSequence
    assert reference.ReferencedSOPInstanceUID == level.SOPInstanceUID
    assert (found.StudyInstanceUID, found.PatientID) == (level.StudyInstanceUID, "7")
    first, second = found.get_annotation_groups()
    assert (first.label, second.label) == ("epithelial", "inflammatory")
    assert (first.annotated_property_type.value, second.annotated_property_type.meaning) == (
        "252987004",
        "Nucleus",
    )
    (ring,) = first.get_graphic_data("2D")
    assert ring.dtype == np.float32
    # The tile's first px is (100, 200) on the slide; points are (x, y).
    assert sorted(ring.tolist()) == [[220, 110], [220, 114], [226, 110], [226, 114]]
    names, values, units = first.get_measurements()
    assert [name.meaning for name in names] == [
        "Number in the label image",
        "Area",
        "Score of the detector",
    ]
    np.testing.assert_allclose(values, [[2, 24 / 16, 0.75]])
    assert units[1].value == "um2"
    algorithm = first.algorithm_identification
    assert (algorithm.name, algorithm.parameters) == ("uninuc-n", {"model SHA-256": "ab" * 32})
    assert str(first.algorithm_type.value) == "AUTOMATIC"


def test_without_a_model_nothing_is_called_automatic(two_nuclei, tmp_path):
    found = highdicom.ann.annread(write_segmentation(two_nuclei, tmp_path / "a.ann.dcm"))
    assert found.get_annotation_groups()[0].algorithm_type.value == "SEMIAUTOMATIC"


_UNDER_THE_FIRST_POINT = np.full((12, 14), 70_000, np.int32)
_UNDER_THE_FIRST_POINT[3:5, 0] = 0
_UNDER_THE_FIRST_POINT[0, 0] = 0


@settings(max_examples=25)
@example(np.pad(np.zeros((2, 2), np.int32), 1, constant_values=5), (0, 0))
@example(_UNDER_THE_FIRST_POINT, (0, 0))
@given(
    hnp.arrays(np.int32, (12, 14), elements=st.sampled_from([0, 0, 3, 70_000])),
    st.tuples(st.integers(0, 9), st.integers(0, 9)),
)
def test_every_pixel_comes_back_through_holes_and_pieces(tmp_path_factory, labels, origin):
    labels[0, 0] = 3
    path = tmp_path_factory.mktemp("dicom") / "a.ann.dcm"
    nuclei = Segmentation.from_labels(labels, "tumour \u00e4")
    write_segmentation(nuclei, path, mpp=0.25, origin_yx_slide=origin)
    stored = read_segmentation(path)
    np.testing.assert_array_equal(stored.segmentation.labels, labels)
    assert (stored.mpp, stored.origin_yx_slide, stored.notice) == (0.25, origin, "")
    assert set(stored.segmentation.table["class"]) == {"tumour \u00e4"}


@pytest.mark.parametrize("suffix", [".ann.dcm", ".seg.dcm"])
@pytest.mark.parametrize(
    ("name", "label"),
    [
        (
            "\u03ba\u03cd\u03c4\u03c4\u03b1\u03c1\u03bf",
            "\u03ba\u03cd\u03c4\u03c4\u03b1\u03c1\u03bf",
        ),
        ("tumour\\edge", "tumour/edge"),  # a backslash parts values in DICOM
        ("t" * 70, "t" * 64),
    ],
    ids=["Greek", "backslash", "long"],
)
def test_any_name_of_a_class_is_read_by_others_and_comes_back(tmp_path, name, label, suffix):
    nuclei = Segmentation.from_labels(np.pad(np.full((2, 2), 5, np.int32), 3), name)
    path = write_segmentation(nuclei, tmp_path / f"a{suffix}", mpp=0.25)
    if suffix == ".ann.dcm":
        (group,) = highdicom.ann.annread(path).get_annotation_groups()
        assert group.label == label
    else:
        assert highdicom.seg.segread(path).get_segment_description(1).segment_label == label
    assert read_segmentation(path).segmentation.table["class"].tolist() == [name]


def test_two_classes_that_begin_alike_stay_two(tmp_path):
    nuclei = Segmentation.from_labels(np.diag([5, 6, 0]).astype(np.int32))
    named = ["t" * 64 + "a", "t" * 64 + "b"]
    nuclei = Segmentation(nuclei.labels, nuclei.table.assign(**{"class": named}), {})
    path = write_segmentation(nuclei, tmp_path / "a.ann.dcm")
    assert read_segmentation(path).segmentation.table["class"].tolist() == named


def test_points_become_64_bit_where_32_no_longer_tell_them_apart(tmp_path, monkeypatch):
    monkeypatch.setattr(dicom_groups, "_RINGS_AT_ONCE", 1)
    labels = np.zeros((12, 60), np.int32)
    labels[2:5, 3:6], labels[2:5, 41:48], labels[8:10, 2:4] = 1, 2, 3
    nuclei = Segmentation.from_labels(labels)
    path = write_segmentation(
        nuclei, tmp_path / "a.ann.dcm", mpp=0.25, origin_yx_slide=(0, 2**24 - 30)
    )
    (group,) = highdicom.ann.annread(path).get_annotation_groups()
    assert "PointCoordinatesData" not in group
    first, second, third = group.get_graphic_data("2D")
    assert first.dtype == np.float64
    corners = [ring.min(axis=0).tolist() for ring in (first, second, third)]
    assert corners == [[2**24 - 27, 2], [2**24 + 11, 2], [2**24 - 28, 8]]
    stored = read_segmentation(path)
    np.testing.assert_array_equal(stored.segmentation.labels, labels)


def test_the_file_is_what_pydicom_itself_would_write(two_nuclei, tmp_path):
    """The groups are written past it, value by value."""
    path = write_segmentation(two_nuclei, tmp_path / "a.ann.dcm", mpp=0.25)
    document = pydicom.dcmread(path)
    for group in document.AnnotationGroupSequence:  # read to the last value
        str(group)
    document.save_as(tmp_path / "again.dcm", enforce_file_format=True)
    assert (tmp_path / "again.dcm").read_bytes() == path.read_bytes()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.ann.dcm", "again.dcm"]


def test_more_than_dicom_has_lengths_for_is_refused(two_nuclei, tmp_path, monkeypatch):
    monkeypatch.setattr(dicom_groups, "_MOST_BYTES", 100)
    with pytest.raises(OutputError, match="up to 4 GB"):
        write_segmentation(two_nuclei, tmp_path / "a.ann.dcm")
    assert not list(tmp_path.iterdir())


def test_annotations_of_others(tmp_path):
    """Rectangles, ellipses and points as highdicom writes them, without anything of ours."""
    level = slide_file(tmp_path / "slide.dcm")
    concept = highdicom.sr.CodedConcept("84640000", "SCT", "Nucleus")
    kinds = highdicom.ann.GraphicTypeValues
    block = np.array([[5, 3], [15, 3], [15, 9], [5, 9]], dtype=np.float32)
    ellipse = np.array([[5, 15], [15, 15], [10, 11], [10, 19]], dtype=np.float32)
    groups = [
        highdicom.ann.AnnotationGroup(
            number=number,
            uid=highdicom.UID(),
            label=label,
            annotated_property_category=concept,
            annotated_property_type=concept,
            graphic_type=kind,
            graphic_data=[points],
            algorithm_type="MANUAL",
        )
        for number, (label, kind, points) in enumerate(
            [
                ("block", kinds.RECTANGLE, block),
                ("round", kinds.ELLIPSE, ellipse),
                ("dot", kinds.POINT, np.ones((1, 2), np.float32)),
            ],
            start=1,
        )
    ]
    document = highdicom.ann.MicroscopyBulkSimpleAnnotations(
        source_images=[level],
        annotation_coordinate_type="2D",
        annotation_groups=groups,
        series_instance_uid=highdicom.UID(),
        series_number=1,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="m",
        manufacturer_model_name="m",
        software_versions="1",
        device_serial_number="1",
    )
    document.save_as(tmp_path / "a.dcm")
    stored = read_segmentation(tmp_path / "a.dcm", (24, 30))
    labels = stored.segmentation.labels
    expected = np.zeros((24, 30), bool)
    expected[3:9, 5:15] = True
    np.testing.assert_array_equal(labels == 1, expected)
    y, x = np.mgrid[:24, :30]
    np.testing.assert_array_equal(labels == 2, ((x - 9.5) / 5) ** 2 + ((y - 14.5) / 4) ** 2 < 1)
    assert stored.segmentation.table["class"].tolist() == ["block", "round"]
    assert "point (1)" in stored.notice


def test_what_cannot_be_held_is_refused(tmp_path):
    high = Segmentation.from_labels(np.full((2, 2), 2**24 + 1, np.int32))
    with pytest.raises(OutputError, match="relabel"):
        write_segmentation(high, tmp_path / "a.ann.dcm")
    none = Segmentation.from_labels(np.zeros((2, 2), np.int32))
    with pytest.raises(OutputError, match="at least one nucleus"):
        write_segmentation(none, tmp_path / "a.ann.dcm")
    assert not list(tmp_path.iterdir())


def test_damage_is_one_clear_line(two_nuclei, tmp_path):
    whole = write_segmentation(two_nuclei, tmp_path / "a.ann.dcm").read_bytes()
    path = tmp_path / "cut.dcm"
    for cut in (200, len(whole) // 3, len(whole) // 2, len(whole) - 60):
        path.write_bytes(whole[:cut])
        with pytest.raises(LabelsError) as caught:
            read_segmentation(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".ann.dcm", ".seg.dcm"])
def test_names_of_a_slide_in_another_character_set_are_kept(two_nuclei, tmp_path, suffix):
    folder = tmp_path / "slide"
    folder.mkdir()
    slide_file(folder / "finest.dcm")
    level = pydicom.dcmread(folder / "finest.dcm")
    level.SpecificCharacterSet, level.PatientName = "ISO_IR 100", "M\u00fcller^J\u00f6rg"
    level.NumberOfFrames = level.Rows = level.Columns = 100
    corner = Dataset()
    corner.XOffsetInSlideCoordinateSystem = corner.YOffsetInSlideCoordinateSystem = 0
    level.TotalPixelMatrixOriginSequence = [corner]
    level.ImageOrientationSlide = [0, 1, 0, 1, 0, 0]
    level.save_as(folder / "finest.dcm")
    slide = read_dicom_slide(folder)
    path = write_segmentation(two_nuclei, tmp_path / f"a{suffix}", mpp=0.25, slide=slide)
    written = pydicom.dcmread(path)
    assert str(written.PatientName) == "M\u00fcller^J\u00f6rg"
    assert "M\u00fcller".encode() in path.read_bytes()


@pytest.mark.parametrize("suffix", [".ann.dcm", ".seg.dcm"])
@pytest.mark.parametrize(("origin", "fits"), [((386, 574), True), ((388, 0), False)])
def test_nuclei_beyond_the_end_are_of_another_slide(two_nuclei, tmp_path, suffix, origin, fits):
    slide = DicomSlide(slide_header((400, 600)), (400, 600), 0.25)
    some = two_nuclei.table[:1]  # ends at row 14, column 26
    nuclei = Segmentation(np.where(two_nuclei.labels == 2, 2, 0).astype(np.int32), some, {})

    def write():
        write_segmentation(
            nuclei, tmp_path / f"a{suffix}", mpp=0.25, origin_yx_slide=origin, slide=slide
        )

    if fits:
        write()
        return
    with pytest.raises(OutputError, match="row 402, column 26; name the right slide"):
        write()
    assert not list(tmp_path.iterdir())
