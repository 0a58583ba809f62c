"""DICOM files of nuclei, opened: what is damaged, packed whole or cut short is one line."""

import struct
from pathlib import Path
from typing import Any

from napari_uninuc.errors import LabelsError
from napari_uninuc.io.dicom_slide import damage_of, dicom_mark
from napari_uninuc.io.extras import require_library
from napari_uninuc.io.sources import reason_of
from napari_uninuc.io.stated import clean_name

__all__ = ["class_of_dicom", "coded_meaning", "opened_dicom"]

_DEFLATED = "1.2.840.10008.1.2.1.99"
_CLASS = b"\x02\x00\x02\x00UI"  # of the file's header, which is always written in this order
_HEAD = 1024

_UNDEFINED = 0xFFFFFFFF
"""Length of what ends by a mark of its own."""


def class_of_dicom(path: Path) -> str:
    """Read the class (SOP Class UID) of a DICOM file from its first bytes; "" where there is none.

    An instance that a file refers to has a class too; that is not looked at.
    """
    if not dicom_mark(path):
        return ""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    at = head.find(_CLASS) + len(_CLASS)
    if at < len(_CLASS) or at + 2 > len(head):
        return ""
    (length,) = struct.unpack_from("<H", head, at)
    return head[at + 2 : at + 2 + length].rstrip(b"\0 ").decode("ascii", "replace")


def opened_dicom(path: Path, what: str, *, pixels: bool = True) -> Any:
    """Read a DICOM file.

    Parameters
    ----------
    what : it holds, for the error ("DICOM annotations")
    pixels : with its pixels

    Raises
    ------
    LabelsError
        Damaged, cut short, packed whole (deflated, whose size is not known beforehand), or
        pydicom is not installed.
    """
    pydicom = require_library("pydicom", "dicom", what, LabelsError)
    try:
        if pydicom.filereader.read_file_meta_info(path).get("TransferSyntaxUID") == _DEFLATED:
            raise LabelsError(
                f"{path}: expected {what} that are not packed, got deflated ones; save them "
                "as Explicit VR Little Endian"
            )
        document = pydicom.dcmread(path, stop_before_pixels=not pixels)
        # pydicom (3.0) reads a value that is cut short as far as it goes, and says nothing.
        for element in map(document.get_item, list(document.keys())):
            stated, value = getattr(element, "length", 0), getattr(element, "value", None)
            if isinstance(value, bytes) and len(value) < stated < _UNDEFINED:
                raise LabelsError(
                    f"{path}: expected whole DICOM, got a file that is cut short; fetch it again"
                )
        return document
    except damage_of(pydicom) as problem:
        if isinstance(problem, LabelsError):
            raise
        raise LabelsError(
            f"{path}: expected readable DICOM, got {reason_of(problem)}; fetch it again"
        ) from None


def coded_meaning(sequence: Any) -> str:
    """Read the meaning of the first code of a sequence; "" where there is none."""
    try:
        return clean_name(sequence[0].CodeMeaning)
    except (TypeError, IndexError, AttributeError):
        return ""
