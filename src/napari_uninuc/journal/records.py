"""What the journal of a session says: who did what, when, and what it was before."""

import base64
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import AwareDatetime, Field, TypeAdapter, ValidationError

from napari_uninuc.core.classes import ClassPalette, NucleusClass
from napari_uninuc.core.edits import Edit
from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.errors import SessionError
from napari_uninuc.io.columns import DERIVED, derived_of, table_of_derived, to_bytes, to_table
from napari_uninuc.journal.edit_records import EditSizes, read_edit, write_edit

__all__ = [
    "Actor",
    "ClassesChanged",
    "ClassesDerived",
    "Closed",
    "ComparisonBegun",
    "EditDone",
    "FilterChanged",
    "Gap",
    "Move",
    "Note",
    "Record",
    "RunStarted",
    "ScaleChanged",
    "now",
    "pack_edit",
    "pack_note",
]

_LEVEL = 1  # level 6 takes three times as long for a few percent
_MAX_HEAD_BYTES = 2**24

Move = Literal["do", "undo", "redo"]
_Count = Annotated[int, Field(ge=0)]
_Score = Annotated[float, Field(allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class Actor:
    """A model that changes nuclei by itself.

    Attributes
    ----------
    model : its id
    weights_sha256 : of the weights file; empty where they are in no file
    settings : what it was run with, by name
    """

    model: str
    weights_sha256: str = ""
    settings: Mapping[str, str | bool | int | float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        plain = {
            name: value.item() if isinstance(value, np.generic) else value
            for name, value in self.settings.items()
        }
        object.__setattr__(self, "settings", plain)


@dataclass(frozen=True, slots=True)
class EditDone:
    """An edit was applied.

    Attributes
    ----------
    at : when, UTC
    by : the model that did it by itself, None for a person
    move : whether it was done, taken back or done again
    verb : as beside "Undo"; of the step taken back where `move` is "undo"
    sizes : of the edit's bytes
    nuclei : visible ones afterwards
    threshold, min_area_px : of the filter in force afterwards
    classes : (name, colour) by class id, where they changed with it; never in a record made
        by version 0.1
    answered_by : the model, and its learnt state, that answers this person's clicks from now on,
        where it is another than before
    """

    at: AwareDatetime
    by: Actor | None
    move: Move
    verb: str
    sizes: EditSizes
    nuclei: _Count
    threshold: _Score
    min_area_px: int
    classes: tuple[tuple[str, str], ...] | None = None
    answered_by: Actor | None = None
    what: Literal["edit"] = "edit"

    @property
    def palette(self) -> ClassPalette | None:
        """The classes it brought; LabelsError where there can be no such ones."""
        return None if self.classes is None else _palette(self.classes)


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A person let a model outline the picture."""

    at: AwareDatetime
    by: Actor
    what: Literal["run"] = "run"


@dataclass(frozen=True, slots=True)
class ClassesChanged:
    """Classes were added, renamed or coloured; (name, colour) by class id."""

    at: AwareDatetime
    classes: tuple[tuple[str, str], ...]
    what: Literal["classes"] = "classes"

    @property
    def palette(self) -> ClassPalette:
        """The classes; LabelsError where there can be no such ones."""
        return _palette(self.classes)


@dataclass(frozen=True, slots=True)
class ClassesDerived:
    """Classes of nuclei were derived from examples, or are derived no more.

    Attributes
    ----------
    nuclei : how many have one
    table : of them, see `io.columns.table_of_derived`, packed, in base64
    examples : what they were learnt from; 0 where that is not known
    """

    at: AwareDatetime
    nuclei: _Count
    table: str
    examples: _Count = 0
    what: Literal["derived"] = "derived"

    @classmethod
    def of(cls, derived: Mapping[int, tuple[int, float]], examples: int, at: datetime) -> Self:
        """Note classes and probabilities by id; see `AnnotationSession.derived`."""
        raw = zlib.compress(to_bytes(table_of_derived(derived)), _LEVEL)
        return cls(at, len(derived), base64.b64encode(raw).decode(), examples)

    def derived(self, n_classes: int) -> dict[int, tuple[int, float]]:
        """Classes and probabilities by id; SessionError where they cannot be read."""
        if not self.nuclei:
            return {}
        size = self.nuclei * DERIVED.itemsize
        try:
            packed = base64.b64decode(self.table, validate=True)
        except ValueError:
            raise SessionError("classes that were derived cannot be read") from None
        raw = _take(zlib.decompressobj(), packed, size)
        return derived_of(to_table(raw, DERIVED), n_classes)


@dataclass(frozen=True, slots=True)
class FilterChanged:
    """The filter was moved, and no nucleus came or went; see `session.steps.Filter`."""

    at: AwareDatetime
    threshold: _Score
    min_area_px: int
    what: Literal["filter"] = "filter"


@dataclass(frozen=True, slots=True)
class ScaleChanged:
    """The picture was given another scale, micrometres per px."""

    at: AwareDatetime
    mpp: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None
    what: Literal["scale"] = "scale"


@dataclass(frozen=True, slots=True)
class ComparisonBegun:
    """A person begins to settle what two readers disagree about.

    What follows as "settle for A", "settle for B" and "settle anew" is decided by that person.

    Attributes
    ----------
    by : who decides, as they call themselves
    readers : who A and B are
    disagreements : to be settled
    blinded : the person was not told which outline is whose
    named : whether A and B name classes
    firsts : "a" or "b" for each disagreement, the most serious first: whose outline was shown
        first. Empty in records of version 0.1
    """

    at: AwareDatetime
    by: str
    readers: tuple[str, str]
    disagreements: _Count
    blinded: bool
    named: tuple[bool, bool] = (True, True)
    firsts: Annotated[str, Field(pattern="^[ab]*$")] = ""
    what: Literal["comparison"] = "comparison"


@dataclass(frozen=True, slots=True)
class Gap:
    """So many changes could not be recorded; the snapshot of this journal holds their outcome."""

    at: AwareDatetime
    missing: _Count
    what: Literal["gap"] = "gap"


@dataclass(frozen=True, slots=True)
class Closed:
    """The session was closed in good order."""

    at: AwareDatetime
    what: Literal["closed"] = "closed"


Note = (
    RunStarted
    | ClassesChanged
    | ClassesDerived
    | FilterChanged
    | ScaleChanged
    | ComparisonBegun
    | Gap
    | Closed
)

_HEADS: TypeAdapter[EditDone | Note] = TypeAdapter(
    Annotated[EditDone | Note, Field(discriminator="what")]
)
_EDIT, _NOTE = b"E", b"N"


def _palette(classes: tuple[tuple[str, str], ...]) -> ClassPalette:
    return ClassPalette(tuple(NucleusClass(*each) for each in classes))


def now() -> datetime:
    """Tell the time as records keep it."""
    return datetime.now(UTC)


def pack_edit(
    edit: Edit,
    candidates: Mapping[int, InstanceMask],
    *,
    at: datetime,
    by: Actor | None,
    move: Move,
    nuclei: int,
    threshold: float,
    min_area_px: int,
    classes: ClassPalette | None = None,
    answered_by: Actor | None = None,
) -> bytes:
    """Turn an edit into the payload of a record; see `EditDone` and `write_edit`.

    Raises
    ------
    SessionError
        What is said about it takes more than 16 MiB.
    """
    sizes, raw = write_edit(edit, candidates)
    shown = float(threshold), int(min_area_px)  # numpy's numbers do not go into JSON
    listed = None if classes is None else tuple((c.name, c.colour) for c in classes.classes)
    head = EditDone(at, by, move, edit.verb, sizes, nuclei, *shown, listed, answered_by)
    return _pack(_EDIT, head, raw)


def pack_note(note: Note) -> bytes:
    """Turn a note into the payload of a record; SessionError as `pack_edit`."""
    return _pack(_NOTE, note, b"")


def _pack(kind: bytes, head: EditDone | Note, raw: bytes) -> bytes:
    said = _HEADS.dump_json(head)
    if len(said) > _MAX_HEAD_BYTES:
        raise SessionError(
            f"names and settings of a change may take {_MAX_HEAD_BYTES} bytes, got {len(said)}; "
            "shorten them"
        )
    return kind + zlib.compress(len(said).to_bytes(4, "little") + said + raw, _LEVEL)


class Record:
    """One record of a journal, read as far as it is asked about; may come from anybody.

    Parameters
    ----------
    payload : as `pack_edit` and `pack_note` made it
    """

    def __init__(self, payload: bytes) -> None:
        self.is_edit = payload[:1] == _EDIT
        self._packed = payload[1:]

    @property
    def head(self) -> EditDone | Note:
        """What was done; SessionError where it cannot be read."""
        return self._open()[0]

    def edit(self, pixels: npt.NDArray[np.int32]) -> tuple[Edit, dict[int, InstanceMask]]:
        """Read the edit and the candidates it brought.

        Parameters
        ----------
        pixels : (H, W) int32, the label map before it

        Raises
        ------
        SessionError
            Not an edit, damaged, or larger than an edit of these pixels can be.
        LabelsError
            Rows out of range.
        """
        head, unpacker = self._open()
        if not isinstance(head, EditDone):
            raise SessionError("expected a change of nuclei, got a note")
        shape = pixels.shape[0], pixels.shape[1]
        raw = _take(unpacker, unpacker.unconsumed_tail, head.sizes.nbytes(shape))
        if not unpacker.eof and _inflate(unpacker, unpacker.unconsumed_tail, 1):
            raise SessionError("a change is followed by bytes that are not its own")
        return read_edit(head.verb, head.sizes, raw, pixels)

    def _open(self) -> "tuple[EditDone | Note, zlib._Decompress]":
        unpacker = zlib.decompressobj()
        length = int.from_bytes(_take(unpacker, self._packed, 4), "little")
        if length > _MAX_HEAD_BYTES:
            raise SessionError(f"a record begins with {length} bytes of text")
        said = _take(unpacker, unpacker.unconsumed_tail, length)
        try:
            head = _HEADS.validate_json(said)
        except ValidationError as problem:
            raise SessionError(f"a record says what cannot be ({_first(problem)})") from None
        if isinstance(head, EditDone) != self.is_edit:
            raise SessionError("a record is of another kind than it says")
        return head, unpacker


def _take(unpacker: "zlib._Decompress", packed: bytes, size: int) -> bytes:
    raw = _inflate(unpacker, packed, size) if size else b""
    if len(raw) != size:
        raise SessionError(f"a record holds {len(raw)} bytes where it announces {size}")
    return raw


def _inflate(unpacker: "zlib._Decompress", packed: bytes, limit: int) -> bytes:
    try:
        return unpacker.decompress(packed, limit)
    except zlib.error as problem:
        raise SessionError(f"a record cannot be unpacked ({problem})") from None


def _first(problem: ValidationError) -> str:
    error = problem.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in error["loc"])
    return " ".join(f"{place}: {error['msg']}".split())[:300]
