"""Slides and segmentations of slides as others write them."""

import highdicom
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

NUCLEUS = highdicom.sr.CodedConcept("84640000", "SCT", "Nucleus")


def slide_header(shape=(900, 1300), tile=(256, 240)):
    """What a slide says that is turned by 180 degrees on its glass."""
    level = Dataset()
    level.SOPClassUID, level.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.77.1.6", generate_uid()
    level.StudyInstanceUID, level.SeriesInstanceUID = "1.2.3", "1.2.3.4"
    level.FrameOfReferenceUID, level.Modality = "1.2.3.5", "SM"
    level.PatientID, level.PatientName, level.PatientBirthDate = "7", "A^B", ""
    level.PatientSex, level.AccessionNumber, level.StudyID = "", "", ""
    level.StudyDate, level.StudyTime = "", ""
    level.TotalPixelMatrixRows, level.TotalPixelMatrixColumns = shape
    level.Rows, level.Columns = tile
    level.NumberOfFrames = -(-shape[0] // tile[0]) * -(-shape[1] // tile[1])
    level.ImageOrientationSlide = [0, -1, 0, -1, 0, 0]
    corner, measures, groups = Dataset(), Dataset(), Dataset()
    corner.XOffsetInSlideCoordinateSystem, corner.YOffsetInSlideCoordinateSystem = 20, 40
    level.TotalPixelMatrixOriginSequence = [corner]
    measures.PixelSpacing, measures.SliceThickness = [0.00025, 0.00025], 0.001
    groups.PixelMeasuresSequence = [measures]
    level.SharedFunctionalGroupsSequence = [groups]
    return level


def foreign(
    path,
    kind,
    pixels,
    labels,
    packing=ExplicitVRLittleEndian,
    full=True,
    numbers=None,
    tile=(256, 240),
):
    """A segmentation as highdicom writes it for others: of the whole slide, in its tiles."""
    level = slide_header(pixels.shape[:2], tile)
    described = [
        highdicom.seg.SegmentDescription(
            number, label, NUCLEUS, NUCLEUS, "MANUAL", tracking_uid=generate_uid(), tracking_id="x"
        )
        for number, label in zip(numbers or range(1, len(labels) + 1), labels, strict=True)
    ]
    document = highdicom.seg.Segmentation(
        source_images=[level],
        pixel_array=pixels[None],
        segmentation_type=kind,
        segment_descriptions=described,
        series_instance_uid=highdicom.UID(),
        series_number=1,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="m",
        manufacturer_model_name="m",
        software_versions="1",
        device_serial_number="1",
        tile_pixel_array=True,
        transfer_syntax_uid=packing,
        omit_empty_frames=not full,
        dimension_organization_type="TILED_FULL" if full else "TILED_SPARSE",
    )
    document.save_as(path)
    return path
