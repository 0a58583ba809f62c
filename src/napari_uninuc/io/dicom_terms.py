"""What our DICOM files have in common: codes, who found the nuclei, which slide, and a header.

The header is a private element for what DICOM has no place for: size, place and classes of the
picture, as JSON.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from napari_uninuc import __version__
from napari_uninuc.core.segmentation import Segmentation
from napari_uninuc.core.tile import Tile
from napari_uninuc.io.colours import hex_of, rgb_by_class
from napari_uninuc.io.qupath_objects import mapping
from napari_uninuc.io.shapes import Header
from napari_uninuc.io.stated import clean_name, known_mpp

__all__ = [
    "CATEGORY",
    "HEADER_BLOCK",
    "NUCLEUS",
    "UNICODE",
    "Code",
    "FoundBy",
    "header_of",
    "header_text",
    "how_found",
    "made_of",
    "said_of",
    "short_name",
    "stand_in",
]

HEADER_BLOCK = (0x0041, "NAPARI-UNINUC")
"""Group and owner of the private block; its element 1 is the header."""

_LONGEST = 64  # characters of a short text


UNICODE = "ISO_IR 192"
"""Character set of what we write; a slide's may not have the letters of our classes."""


class Code(NamedTuple):
    """A coded concept: its value, the scheme it is from, and what it means."""

    value: str
    scheme: str
    meaning: str


NUCLEUS = Code("84640000", "SCT", "Nucleus")
CATEGORY = Code("91723000", "SCT", "Anatomical structure")
_FAMILY = Code("123110", "DCM", "Artificial Intelligence")


class FoundBy(NamedTuple):
    """The model that found nuclei: its id, and the SHA-256 of its weights."""

    model: str
    sha256: str


def how_found(hd: Any, segmentation: Segmentation, found_by: FoundBy | None) -> tuple[str, Any]:
    """Say how nuclei were outlined, and by which algorithm.

    Parameters
    ----------
    hd : highdicom
    found_by : the model; None where nobody said

    Returns
    -------
    type, algorithm : AUTOMATIC, or SEMIAUTOMATIC where a person has touched a nucleus or nobody
        said how they were found; and highdicom's identification of the algorithm
    """
    status = segmentation.table.get("status")
    touched = found_by is None or (status is not None and bool((status != "automatic").any()))
    said = {} if found_by is None else {"model SHA-256": found_by.sha256}
    algorithm = hd.AlgorithmIdentificationSequence(
        name="napari-uninuc" if found_by is None else found_by.model[:_LONGEST],
        family=hd.sr.CodedConcept(*_FAMILY),
        version=__version__,
        source="napari-uninuc",
        parameters=said or None,
    )
    return ("SEMIAUTOMATIC" if touched else "AUTOMATIC"), algorithm


def made_of(segmentation: Segmentation, tile: Tile | None) -> str:
    """Digest of a picture; of its nuclei where it is not at hand."""
    told = "" if tile is None else tile.digest
    return told or hashlib.sha256(segmentation.labels.reshape(-1).data).hexdigest()


def stand_in(told: str) -> Any:
    """Make the header of a slide that is not DICOM, whose identifiers a digest gives."""
    from pydicom.dataset import Dataset
    from pydicom.uid import generate_uid

    source = Dataset()
    source.SOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.6"
    for name in ("Study", "Series", "SOP"):
        setattr(source, f"{name}InstanceUID", generate_uid(entropy_srcs=[told, name]))
    source.FrameOfReferenceUID = generate_uid(entropy_srcs=[told, "frame"])
    for name in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex"):
        setattr(source, name, "")
    for name in ("AccessionNumber", "StudyID", "StudyDate", "StudyTime"):
        setattr(source, name, "")
    source.Modality = "SM"
    source.Rows = source.Columns = 1
    return source


def short_name(name: str, ending: str = "") -> str:
    """Make a short text of a class name: 64 characters, and no backslash, which parts values."""
    return name.replace("\\", "/")[: _LONGEST - len(ending)] + ending


def header_text(
    segmentation: Segmentation,
    mpp: float | None,
    origin_yx: tuple[int, int],
    step: float,
    groups: Sequence[str] | None = None,
) -> str:
    """Write the header.

    Parameters
    ----------
    mpp : micrometres per px of the labels
    origin_yx : first pixel on the slide, px of the labels
    step : px of the slide at full resolution for each of the labels
    groups : class of each group of annotations, in full
    """
    classes = [{"name": n, "color": list(rgb)} for n, rgb in rgb_by_class(segmentation).items()]
    said: dict[str, Any] = {
        "shape": list(segmentation.labels.shape),
        "mpp": mpp,
        "origin_yx_slide": [int(value) for value in origin_yx],
        "downsample": step,
        "classes": classes,
        **({} if groups is None else {"groups": list(groups)}),
    }
    return json.dumps(said)


def said_of(document: Any) -> Mapping[str, Any]:
    """Read what the header of a pydicom document says; nothing in the files of others."""
    try:
        group, owner = HEADER_BLOCK
        text = document.private_block(group, owner)[0x01].value
        return mapping(json.loads(text))
    except (KeyError, TypeError, ValueError, RecursionError, AttributeError):
        return {}


def header_of(said: Mapping[str, Any]) -> Header:
    """Check what a header says; one that is damaged says nothing."""
    try:
        (h, w), (y, x) = said["shape"], said["origin_yx_slide"]
        classes = [(clean_name(each["name"]), hex_of(each["color"])) for each in said["classes"]]
    except (KeyError, TypeError, ValueError):
        return Header()
    if not all(type(each) is int for each in (h, w, y, x)):
        return Header()
    return Header((h, w), known_mpp(said.get("mpp")), (y, x), classes)
