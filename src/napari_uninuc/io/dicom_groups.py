"""Annotations of DICOM files under way: points on disk, numbers in arrays, nothing held twice.

highdicom checks and copies the points it is given several times, and pydicom copies a sequence
twice before it writes it. So points go to a file as they come, and from there into the document.
"""

import tempfile
from array import array
from contextlib import ExitStack
from io import BufferedIOBase, BytesIO
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from napari_uninuc.errors import OutputError

__all__ = ["AnnotationGroup", "require_short", "save_annotations"]

_RINGS_AT_ONCE = 4096
_BYTES_AT_ONCE = 2**22

_MOST_BYTES = 2**32 - 2**20
"""Of all groups together: lengths have 32 bits."""

_POINT_BYTES = 2 * np.dtype("<f4").itemsize


class AnnotationGroup:
    """Polygons of one class; points are 32-bit floats as long as those are exact.

    Parameters
    ----------
    folder : for a file without a name, which holds the points
    stack : closes that file
    step : px of full resolution for each of the rings

    Attributes
    ----------
    ids, scores, areas : of each polygon
    """

    def __init__(self, folder: Path, stack: ExitStack, step: float) -> None:
        self._folder, self._stack, self._step = folder, stack, step
        self._file = self._new_file()
        self._waiting: list[npt.NDArray[np.int64]] = []
        self._lengths = array("q")
        self.exact = True
        self.ids, self.scores, self.areas = array("d"), array("d"), array("d")

    def _new_file(self) -> BufferedIOBase:
        made: Any = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - the stack closes it
        self._stack.enter_context(made)
        return cast(BufferedIOBase, getattr(made, "file", made))  # Windows lends a wrapper

    def add(self, ring_xy: npt.NDArray[np.int64], id_: int, score: float, area: float) -> None:
        """Append an open ring, (k, 2) x, y px."""
        self._waiting.append(ring_xy)
        self._lengths.append(len(ring_xy))
        self.ids.append(id_)
        self.scores.append(score)
        self.areas.append(area)
        if len(self._waiting) >= _RINGS_AT_ONCE:
            self._write()

    def _write(self) -> None:
        if not self._waiting:
            return
        wide = np.concatenate(self._waiting) * self._step
        self._waiting.clear()
        narrow = wide.astype("<f4")
        if self.exact and not (narrow == wide).all():
            self._widen()
        self._file.write((narrow if self.exact else wide.astype("<f8")).data)

    def _widen(self) -> None:
        """Turn the points so far, which were exact, into 64-bit floats."""
        before, self._file, self.exact = self._file, self._new_file(), False
        before.seek(0)
        while some := before.read(_BYTES_AT_ONCE):
            self._file.write(np.frombuffer(some, "<f4").astype("<f8").data)
        before.close()

    def points(self) -> BufferedIOBase:
        """The file of all points, at its beginning."""
        self._write()
        self._file.flush()
        self._file.seek(0)
        return self._file

    def starts(self) -> bytes:
        """Where each polygon begins among the numbers of all points, from 1, as DICOM counts."""
        ends = np.cumsum(np.frombuffer(self._lengths, np.int64))
        first = 2 * np.concatenate([[0], ends[:-1]]) + 1
        return first.astype("<u4").tobytes()

    def size(self) -> int:
        """Bytes of everything that grows with the number of polygons, roughly."""
        points = _POINT_BYTES * (1 if self.exact else 2) * int(np.sum(self._lengths))
        return points + 16 * len(self._lengths)

    def put_into(self, item: Any) -> None:
        """Make these the annotations of a highdicom group that was made with another one."""
        points = self.points()
        item.NumberOfAnnotations = len(self.ids)
        item.LongPrimitivePointIndexList = self.starts()
        if self.exact:
            item.PointCoordinatesData = points
        else:
            del item.PointCoordinatesData
            item.DoublePointCoordinatesData = points


def save_annotations(document: Any, part: Path) -> None:
    """Write a document of highdicom; its groups go to the file one value after the other.

    Raises
    ------
    OutputError
        More than the 4 GB for which DICOM has lengths.
    """
    from pydicom.charset import convert_encodings
    from pydicom.filebase import DicomIO
    from pydicom.filewriter import write_dataset, write_sequence

    groups = document["AnnotationGroupSequence"]
    rest = document[groups.tag + 1 :]
    del document.AnnotationGroupSequence
    around, after = BytesIO(), BytesIO()
    document.save_as(around)
    tail = DicomIO(after)
    tail.is_little_endian, tail.is_implicit_VR = True, False
    characters = convert_encodings(document.SpecificCharacterSet)
    write_dataset(tail, rest, characters)
    before = around.getvalue().removesuffix(after.getvalue())
    with part.open("wb") as file:
        out = DicomIO(file)
        out.is_little_endian, out.is_implicit_VR = True, False
        file.write(before)
        out.write_tag(groups.tag)
        file.write(b"SQ\0\0")
        at = file.tell()
        out.write_UL(0)
        write_sequence(out, groups, characters)
        end = file.tell()
        file.seek(at)
        out.write_UL(end - at - 4)
        file.seek(end)
        file.write(after.getvalue())


def require_short(path: Path, groups: list[AnnotationGroup]) -> None:
    """Raise OutputError where groups together are longer than DICOM can say."""
    size = sum(group.size() for group in groups)
    if size > _MOST_BYTES:
        raise OutputError(
            f"{path}: DICOM annotations hold up to 4 GB, got {size / 1e9:.1f}; export the regions "
            "or the classes one by one"
        )
