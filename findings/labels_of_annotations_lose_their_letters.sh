#!/usr/bin/env bash
# highdicom 0.28.2: annotations take their character set from the slide they are made for, whatever
# letters their own labels have. Most slides are written in English and say none, which stands for
# ASCII. Guessed: refused, or written as UTF-8, as everything in Python is text.
# Seen: the Greek label of a group is "???????" in the file, with a warning of pydicom only; and one
# with a backslash, which parts values in DICOM, is taken without a word and read as a list of two.
set -euo pipefail
place="$(mktemp -d)"
trap 'rm -rf "$place"' EXIT
uv venv --quiet --python 3.11 "$place/env"
uv pip install --quiet --python "$place/env/bin/python" highdicom==0.28.2 pydicom==3.0.2
cd "$place"
env/bin/python -W ignore - <<'PY'
import sys

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset

slide = Dataset()
slide.SOPClassUID, slide.Modality = "1.2.840.10008.5.1.4.1.1.77.1.6", "SM"
for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"):
    setattr(slide, name, hd.UID())
for name in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber"):
    setattr(slide, name, "")
for name in ("StudyID", "StudyDate", "StudyTime"):
    setattr(slide, name, "")
slide.Rows = slide.Columns = 100
nucleus = hd.sr.CodedConcept("84640000", "SCT", "Nucleus")
labels = ["\u03ba\u03cd\u03c4\u03c4\u03b1\u03c1\u03bf", "tumour\\edge"]
groups = [
    hd.ann.AnnotationGroup(
        number=number,
        uid=hd.UID(),
        label=label,
        annotated_property_category=nucleus,
        annotated_property_type=nucleus,
        graphic_type="POLYGON",
        graphic_data=[np.array([[1, 1], [5, 1], [5, 5]], np.float32)],
        algorithm_type="MANUAL",
    )
    for number, label in enumerate(labels, start=1)
]
document = hd.ann.MicroscopyBulkSimpleAnnotations(
    source_images=[slide],
    annotation_coordinate_type="2D",
    annotation_groups=groups,
    series_instance_uid=hd.UID(),
    series_number=1,
    sop_instance_uid=hd.UID(),
    instance_number=1,
    manufacturer="m",
    manufacturer_model_name="m",
    software_versions="1",
    device_serial_number="1",
)
document.save_as("a.dcm")
read = [group.AnnotationGroupLabel for group in hd.ann.annread("a.dcm").AnnotationGroupSequence]
print("given", labels)
print("read ", read)
told = [each if isinstance(each, str) else list(each) for each in read]
sys.exit(told != ["?" * 7, ["tumour", "edge"]])
PY
