"""The folder of a session: its heading, its numbered files, and nothing that is not a file."""

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal

from pydantic import AwareDatetime, ConfigDict, Field, TypeAdapter, ValidationError

from napari_uninuc.core.classes import ClassPalette, NucleusClass
from napari_uninuc.core.place import SlidePlace
from napari_uninuc.errors import SessionError
from napari_uninuc.io.sources import MAX_SIDE
from napari_uninuc.io.targets import replacing
from napari_uninuc.journal.framing import open_regular

__all__ = [
    "DIGEST",
    "SessionHeading",
    "journal_path",
    "journals_in",
    "read_heading",
    "reader_path",
    "require_plain",
    "snapshot_path",
    "snapshots_in",
    "write_heading",
]

DIGEST = r"^[0-9a-f]{32}$"
"""What a tile's digest looks like."""

_HEADING = "session.json"
_MAX_HEADING_BYTES = 2**24
_NUMBERED = re.compile(r"(journal|snapshot)-(\d{4,8})")

_Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]


@dataclass(frozen=True, slots=True)
class SessionHeading:
    """What a session is about; written once, when it begins.

    Attributes
    ----------
    format : version of the folder
    name, digest, shape, mpp, origin_yx_slide, slide : of the picture, see `Tile`; `slide` is its
        `Tile.place`, and is written only where there is one
    classes : (name, colour) by class id, as they were when the session began
    starts_empty : the session began without a nucleus
    made_by : program and version
    created : when, UTC
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    format: Literal[1]
    name: str
    digest: Annotated[str, Field(pattern=DIGEST)]
    shape: tuple[_Side, _Side]
    mpp: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None
    origin_yx_slide: tuple[int, int]
    classes: tuple[tuple[str, str], ...]
    starts_empty: bool
    made_by: str
    created: AwareDatetime
    slide: SlidePlace | None = None

    @property
    def palette(self) -> ClassPalette:
        """The classes that it began with; LabelsError where there can be no such ones."""
        return ClassPalette(tuple(NucleusClass(*each) for each in self.classes))


_HEADINGS: TypeAdapter[SessionHeading] = TypeAdapter(SessionHeading)


def write_heading(folder: Path, heading: SessionHeading) -> None:
    """Write what a session is about; OutputError where that fails."""
    with replacing(folder / _HEADING) as part:
        part.write_bytes(_HEADINGS.dump_json(heading, indent=1, exclude_defaults=True) + b"\n")


def require_plain(folder: Path) -> None:
    """Refuse a session folder that is a link, or holds anything but files of its own.

    Raises
    ------
    SessionError
        So it is, or there is no such folder.
    """
    try:
        if not stat.S_ISDIR(folder.lstat().st_mode):
            raise SessionError(f"{folder}: expected a session folder, got a link or a file")
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.is_file(follow_symlinks=False):
                    raise SessionError(
                        f"{entry.path}: expected a file, got a link or a folder; a session holds "
                        "files only, take it out"
                    )
    except SessionError:
        raise
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or problem
        raise SessionError(
            f"{folder}: expected a session folder, cannot look at it ({reason}); check the path"
        ) from None


def read_heading(folder: Path) -> SessionHeading:
    """Read what a session is about.

    Raises
    ------
    SessionError
        Not a session folder, damaged, or of a version to come.
    """
    require_plain(folder)
    path = folder / _HEADING
    if not path.exists():
        raise SessionError(f"{folder}: expected a session folder, got no {_HEADING}; name another")
    with open_regular(path) as file:
        raw = file.read(_MAX_HEADING_BYTES)
    try:
        return _HEADINGS.validate_json(raw)
    except ValidationError as problem:
        error = problem.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in error["loc"]) or "it"
        said = " ".join(f"{place}: {error['msg']}".split())[:300]
        raise SessionError(
            f"{path}: {said}; take it from a backup, or update napari-uninuc"
        ) from None


def journals_in(folder: Path) -> Mapping[int, Path]:
    """Find journals by number, ascending."""
    return _numbered(folder, "journal")


def snapshots_in(folder: Path) -> Mapping[int, Path]:
    """Find snapshots by number, ascending; each is the state before the journal of its number."""
    return _numbered(folder, "snapshot")


def journal_path(folder: Path, number: int) -> Path:
    """Where the journal of a number lies; it may not be there."""
    return folder / f"journal-{number:04}"


def snapshot_path(folder: Path, number: int) -> Path:
    """Where the snapshot before the journal of that number lies; it may not be there."""
    return folder / f"snapshot-{number:04}"


def reader_path(folder: Path, letter: str) -> Path:
    """Where a session keeps what reader "a" or "b" had outlined; it may not be there."""
    return folder / f"reader-{letter}"


def _numbered(folder: Path, kind: str) -> Mapping[int, Path]:
    found = {}
    for name in os.listdir(folder):
        match = _NUMBERED.fullmatch(name)
        if match is not None and match[1] == kind:
            found[int(match[2])] = folder / name
    return MappingProxyType(dict(sorted(found.items())))
