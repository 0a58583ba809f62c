"""Writing a session folder: one journal after the other, and a snapshot before each."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from filelock import FileLock

from napari_uninuc import __version__
from napari_uninuc.core.tile import Tile
from napari_uninuc.errors import SessionError
from napari_uninuc.journal.folder import (
    SessionHeading,
    journal_path,
    journals_in,
    read_heading,
    reader_path,
    snapshot_path,
    snapshots_in,
    write_heading,
)
from napari_uninuc.journal.framing import JournalWriter
from napari_uninuc.journal.places import lock_folder, make_folder, remove_leftovers
from napari_uninuc.journal.records import now
from napari_uninuc.journal.snapshot import SessionState, write_snapshot

__all__ = ["SessionWriter"]


class SessionWriter:
    """The one writer of a session folder. Nothing is written before `begin`.

    Belongs to one thread; journals that it hands out may be synced and closed in another.

    Parameters
    ----------
    tile : the picture
    root : folder of all sessions, where a new one is made
    folder : an earlier session of this picture to go on with. Where another window writes to it,
        or nobody may, a new one is made instead.

    Raises
    ------
    SessionError
        `folder` is no session, or one of another picture.
    """

    def __init__(self, tile: Tile, root: Path, folder: Path | None = None) -> None:
        self._tile, self._root = tile, root
        self._lock: FileLock | None = None
        self._path: Path | None = None
        self._number = 0
        if folder is not None:
            self._take_over(folder)

    def _take_over(self, folder: Path) -> None:
        heading = read_heading(folder)
        if heading.digest != self._tile.digest:
            raise SessionError(
                f"{folder}: a session of {heading.name or 'another picture'}, got "
                f"{self._tile.name or 'a picture'} with other pixels; open it with its own picture"
            )
        try:
            self._lock = lock_folder(folder)
        except OSError:
            return
        if self._lock is not None:
            remove_leftovers(folder)
            self._path = folder
            self._number = max([0, *journals_in(folder), *snapshots_in(folder)])

    @property
    def path(self) -> Path | None:
        """The folder; None before a new one is made."""
        return self._path

    def begin(self, state: SessionState) -> JournalWriter:
        """Start a journal that needs nothing before it, from a snapshot of the state now.

        Raises
        ------
        OSError
            The system refuses, or one of ours says why it cannot be.
        """
        if self._path is None:
            self._path = self._new_folder(state)
        number = self._number + 1
        write_snapshot(state, snapshot_path(self._path, number))
        journal = JournalWriter(journal_path(self._path, number))
        self._number = number
        return journal

    def _new_folder(self, state: SessionState) -> Path:
        tile = self._tile
        heading = SessionHeading(
            format=1,
            name=tile.name,
            digest=tile.digest,
            shape=tile.shape,
            mpp=tile.mpp,
            origin_yx_slide=tile.origin_yx_slide,
            classes=tuple((each.name, each.colour) for each in state.classes.classes),
            starts_empty=not state.rows,
            made_by=f"napari-uninuc {__version__}",
            created=now(),
            slide=tile.place,
        )
        path = make_folder(heading, self._root)
        self._lock = lock_folder(path)
        return path

    def keep_readers(self, readers: Iterable[SessionState]) -> None:
        """Write what reader A and B had outlined, once the folder is there.

        Raises
        ------
        OSError
            As `begin`.
        """
        if self._path is not None:
            for letter, state in zip("ab", readers, strict=True):
                write_snapshot(state, reader_path(self._path, letter))

    def rename(self, name: str) -> None:
        """Call the picture something else; OSError where the system refuses."""
        self._tile = replace(self._tile, name=name)
        if self._path is not None:
            write_heading(self._path, replace(read_heading(self._path), name=name))

    def go_on(self, journal: JournalWriter) -> tuple[JournalWriter, Path]:
        """Start a journal that carries on from another; OSError where the system refuses.

        Parameters
        ----------
        journal : the last one that `begin` or this has given

        Returns
        -------
        journal : the new one
        snapshot : where a snapshot of the state now belongs; reading gets slower, and nothing is
            lost, while there is none
        """
        folder, number = journal.path.parent, self._number + 1
        following = JournalWriter(journal_path(folder, number), journal.check)
        self._number = number
        return following, snapshot_path(folder, number)

    def release(self) -> None:
        """Let others write to the folder."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None
