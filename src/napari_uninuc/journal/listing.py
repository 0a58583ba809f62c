"""What can be restored of a picture, found without playing anything."""

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from napari_uninuc.core.place import SlidePlace
from napari_uninuc.errors import SessionError
from napari_uninuc.journal.folder import (
    SessionHeading,
    journals_in,
    read_heading,
    require_plain,
    snapshots_in,
)
from napari_uninuc.journal.framing import JournalReader
from napari_uninuc.journal.places import folders_of, is_locked, sessions_root
from napari_uninuc.journal.records import Closed, EditDone, Record
from napari_uninuc.journal.snapshot import nuclei_in_snapshot

__all__ = [
    "FoundRegion",
    "FoundSession",
    "find_all",
    "find_regions",
    "find_sessions",
    "look_at",
]


@dataclass(frozen=True, slots=True)
class FoundSession:
    """A saved session as far as can be told without playing it.

    Attributes
    ----------
    path : its folder
    name : of the picture; empty where the heading cannot be read
    started, changed : first and last moment, UTC
    nuclei : visible ones at the end
    changes : recorded edits, undo and redo included
    problem : what is wrong with it, None for nothing known
    closed : it was closed in good order, not ended by a crash
    in_use : a window has it open
    """

    path: Path
    name: str
    started: datetime
    changed: datetime
    nuclei: int
    changes: int
    problem: str | None
    closed: bool
    in_use: bool


@dataclass(frozen=True, slots=True)
class FoundRegion:
    """A saved session of a region of a slide."""

    session: FoundSession
    heading: SessionHeading
    place: SlidePlace


def find_regions(fingerprint: str, root: Path | None = None) -> list[FoundRegion]:
    """Find the regions of a slide worked at before, from its top left to its bottom right.

    Of several sessions of one rectangle the one changed last is taken. One that cannot be read
    is left out.

    Parameters
    ----------
    fingerprint : of the slide
    root : folder of all sessions; None is `sessions_root`

    Raises
    ------
    SessionError
        No fingerprint, or the folder cannot be looked at.
    """
    newest: dict[object, FoundRegion] = {}
    for folder in folders_of(fingerprint, sessions_root() if root is None else root):
        found = look_at(folder)
        heading = None if found is None else _heading_of(folder)
        if found is None or heading is None or heading.slide is None:
            continue
        key = heading.slide.level, heading.slide.box_yxyx
        if key not in newest or newest[key].session.changed < found.changed:
            newest[key] = FoundRegion(found, heading, heading.slide)
    return sorted(newest.values(), key=lambda each: each.place.box_yxyx)


def find_sessions(
    digest: str, root: Path | None = None, place: SlidePlace | None = None
) -> list[FoundSession]:
    """Find the saved sessions of a picture, the one changed last first.

    Costs a pass over the bytes of their journals, of which only the last record is unpacked.

    Parameters
    ----------
    digest : of the tile
    root : folder of all sessions; None is `sessions_root`
    place : of the tile on its slide, where it was cut from one

    Raises
    ------
    SessionError
        No digest, or the folder cannot be looked at. What is wrong with one session is told in
        its `problem`.

    Examples
    --------
    >>> from contextlib import closing
    >>> from pathlib import Path
    >>> from napari_uninuc import Segmentation
    >>> from napari_uninuc.core.classes import ClassPalette
    >>> from napari_uninuc.journal.listing import find_sessions
    >>> from napari_uninuc.session import AnnotationSession
    >>> from napari_uninuc.session.autosave import Autosave
    >>> from napari_uninuc.testing import make_tile
    >>> tissue = make_tile((64, 64), n_nuclei=3)
    >>> session = AnnotationSession(tissue.tile, ClassPalette.of_names(["nucleus", "tumour"]))

    >>> with closing(Autosave(session, root=Path("sessions"), on_problem=print)):
    ...     session.adopt(Segmentation.from_labels(tissue.labels))
    True
    >>> [found] = find_sessions(tissue.tile.digest, root=Path("sessions"))
    >>> found.name, found.nuclei, found.changes, found.closed, found.in_use
    ('synthetic 0', 3, 1, True, False)
    """
    key = digest if place is None else place.fingerprint
    places = folders_of(key, sessions_root() if root is None else root)
    if place is not None:
        headings = [(folder, _heading_of(folder)) for folder in places]
        places = [folder for folder, each in headings if each and each.digest == digest]
    found = [each for each in map(look_at, places) if each is not None]
    return sorted(found, key=lambda session: session.changed, reverse=True)


def find_all(root: Path | None = None) -> list[FoundSession]:
    """Find the saved sessions of all pictures, the one changed last first.

    Those that cannot be read are left out. Costs as much as `find_sessions` for each picture.

    Parameters
    ----------
    root : folder of all sessions; None is `sessions_root`
    """
    above = sessions_root() if root is None else root
    found = (look_at(folder) for folder in sorted(above.glob("*/*")) if folder.is_dir())
    kept = [each for each in found if each is not None and each.name]
    return sorted(kept, key=lambda session: session.changed, reverse=True)


def _heading_of(folder: Path) -> SessionHeading | None:
    try:
        return read_heading(folder)
    except SessionError:
        return None


def look_at(folder: Path) -> FoundSession | None:
    """Look at one session folder; None where nothing was ever recorded in it."""
    changed = datetime.fromtimestamp(_modified(folder), UTC)
    try:
        require_plain(folder)
        if not journals_in(folder):
            return None
        heading = read_heading(folder)
        return _summary(folder, heading, changed)
    except SessionError as problem:
        return FoundSession(folder, "", changed, changed, 0, 0, str(problem), False, False)


def _summary(folder: Path, heading: SessionHeading, changed: datetime) -> FoundSession:
    changes, last, problems = 0, None, []
    end: Record | None = None
    for path in journals_in(folder).values():
        reader = JournalReader(path)
        for payload in reader.records():
            end = Record(payload)
            if end.is_edit:
                changes, last = changes + 1, end
        if reader.damage is not None:
            problems.append(f"{path.name}: {reader.damage.reason}")
    closed = end is not None and isinstance(end.head, Closed)
    if end is not None:
        changed = end.head.at
    return FoundSession(
        folder,
        heading.name,
        heading.created,
        changed,
        _nuclei(folder, last),
        changes,
        "; ".join(problems) or None,
        closed,
        is_locked(folder),
    )


def _nuclei(folder: Path, last: Record | None) -> int:
    if last is not None and isinstance(last.head, EditDone):
        return last.head.nuclei
    snapshots = list(snapshots_in(folder).values())
    return nuclei_in_snapshot(snapshots[-1]) if snapshots else 0


def _modified(folder: Path) -> float:
    try:
        return os.stat(folder, follow_symlinks=False).st_mtime
    except OSError:
        return 0.0
