"""What can be restored of a picture, found without playing anything."""

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

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

__all__ = ["FoundSession", "find_sessions", "look_at"]


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


def find_sessions(digest: str, root: Path | None = None) -> list[FoundSession]:
    """Find the saved sessions of a picture, the one changed last first.

    Costs a pass over the bytes of their journals, of which only the last record is unpacked.

    Parameters
    ----------
    digest : of the tile
    root : folder of all sessions; None is `sessions_root`

    Raises
    ------
    SessionError
        No digest, or the folder cannot be looked at. What is wrong with one session is told in
        its `problem`.
    """
    places = folders_of(digest, sessions_root() if root is None else root)
    found = [each for each in map(look_at, places) if each is not None]
    return sorted(found, key=lambda session: session.changed, reverse=True)


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
