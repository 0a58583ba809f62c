"""Writing a session down beside the work: at once, in order, and on after a failure."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

from napari_uninuc.core.tile import Tile
from napari_uninuc.errors import SessionError
from napari_uninuc.journal.framing import JournalWriter
from napari_uninuc.journal.picture import write_picture
from napari_uninuc.journal.records import Closed, Gap, now, pack_note
from napari_uninuc.journal.snapshot import SessionState, write_snapshot
from napari_uninuc.journal.writer import SessionWriter
from napari_uninuc.session.job_thread import JobThread

__all__ = ["BackgroundWriter"]

_log = logging.getLogger("napari_uninuc")

_PATIENCE_S = 0.25
"""How long the next change waits for the one before to be written; a second is never lost so."""

_SYNC_EVERY_S = 0.3
_SNAPSHOT_AFTER_BYTES = 2 * 2**20
_RETRY_AFTER_S = 1.0
_MAX_RETRY_S = 60.0


class BackgroundWriter:
    """Three threads: one hands records over at once, one waits for the disk, one saves the picture.

    Parameters
    ----------
    writer : of the session's folder
    tile : the picture
    start : the state before the first record
    on_problem : called once, in one of them, when writing begins to fail; and once more if it fails
        again after it had gone on

    Attributes
    ----------
    wants_state : the next record should come with the state after it
    """

    def __init__(
        self,
        writer: SessionWriter,
        tile: Tile,
        start: SessionState,
        on_problem: Callable[[Exception], None],
    ) -> None:
        self._writer, self._tile, self._on_problem = writer, tile, on_problem
        self._at: SessionState | JournalWriter | None = start
        """What to begin a journal from, or the journal; None after a failure."""
        self._writing, self._disk = JobThread("uninuc journal"), JobThread("uninuc disk")
        self._picture = JobThread("uninuc picture")
        self._closing = threading.Event()
        self._sync_planned = self._stalled = self._told = False
        self._telling = threading.Lock()
        self._missing = 0
        self._retry_s, self._retry_at = _RETRY_AFTER_S, 0.0
        self._snapshot_after = max(_SNAPSHOT_AFTER_BYTES, start.pixels.size // 8)
        self.wants_state = False

    # -- in the thread of the session -------------------------------------------------------

    def write(self, make: Callable[[], bytes], state: SessionState | None) -> None:
        """Write a record soon; waits for the one before, and but once for a disk that hangs.

        Parameters
        ----------
        make : makes the record's payload, in the thread that writes
        state : after this record; None unless `wants_state`
        """
        if not self._writing.busy:
            self._stalled = False
        elif not self._stalled:
            self._stalled = not self._writing.drain(_PATIENCE_S)
        if state is not None:
            self.wants_state = False
        self._writing.put(partial(self._write, make, state))

    def rename(self, name: str) -> None:
        """Call the picture something else soon."""
        self._writing.put(partial(self._guarded, partial(self._writer.rename, name)))

    def keep_readers(self, readers: Sequence[SessionState]) -> None:
        """Write soon what the two readers had outlined whose disagreements are settled here."""
        keep = partial(self._guarded, partial(self._writer.keep_readers, readers))
        self._writing.put(partial(self._disk.put, keep))  # by then there is a folder

    @property
    def is_broken(self) -> bool:
        """Whether records are not being written at present."""
        return self._at is None

    def close(self, timeout_s: float, state: SessionState | None = None) -> bool:
        """Write what waits, wait for the disk, let go of the folder; False if it takes longer.

        Parameters
        ----------
        state : the last one, for a last try where writing had failed
        """
        until = time.monotonic() + timeout_s
        self._closing.set()
        self._writing.put(partial(self._finish, state))
        done = self._writing.close(timeout_s)
        for thread in (self._disk, self._picture):
            done = thread.close(max(0.0, until - time.monotonic())) and done
        self._writer.release()
        return done

    # -- in the thread that writes ----------------------------------------------------------

    def _write(self, make: Callable[[], bytes], state: SessionState | None) -> None:
        try:
            if self._at is None:
                self._resume(state)
                return
            journal = self._begun(self._at)
            journal.append(make())
            self._follow_up(journal, state)
        except Exception as problem:  # a thread has nobody above it to tell
            self._fail(problem)

    def _begun(self, at: SessionState | JournalWriter) -> JournalWriter:
        if isinstance(at, SessionState):
            self._at = at = self._writer.begin(at)
            self._save_picture(at)
        return at

    def _follow_up(self, journal: JournalWriter, state: SessionState | None) -> None:
        if state is not None:
            following, snapshot = self._writer.go_on(journal)
            self._retire(journal)
            self._later(partial(write_snapshot, state, snapshot))
            self._at = journal = following
        elif journal.size > self._snapshot_after:
            self.wants_state = True
        self._sync_soon(journal)

    def _resume(self, state: SessionState | None) -> None:
        """Go on after a failure, where the state is known; else count one more that is missed."""
        if state is None:
            self._missing += 1
            self.wants_state = time.monotonic() >= self._retry_at
            return
        self._begin_anew(state, self._missing + 1)

    def _begin_anew(self, state: SessionState, missing: int) -> None:
        self._at = journal = self._writer.begin(state)
        journal.append(pack_note(Gap(now(), missing)))
        self._missing, self._told = 0, False
        self._save_picture(journal)
        self._sync_soon(journal)

    def _fail(self, problem: Exception) -> None:
        journal, self._at = self._at, None
        self._missing += 1
        self._retry_at = time.monotonic() + self._retry_s
        self._retry_s = min(2 * self._retry_s, _MAX_RETRY_S)
        if isinstance(journal, JournalWriter):
            self._retire(journal)
        self._tell(problem)

    def _finish(self, state: SessionState | None) -> None:
        try:
            if self._at is None and state is not None:
                self._begin_anew(state, self._missing)
            if isinstance(self._at, JournalWriter):
                self._at.append(pack_note(Closed(now())))
                self._save_picture(self._at)
                self._retire(self._at)
        except Exception as problem:  # a thread has nobody above it to tell
            self._fail(problem)

    # -- in the threads that wait for the disk ----------------------------------------------

    def _sync_soon(self, journal: JournalWriter) -> None:
        if not self._sync_planned:
            self._sync_planned = True
            self._later(partial(self._sync, journal))

    def _sync(self, journal: JournalWriter) -> None:
        self._closing.wait(_SYNC_EVERY_S)
        self._sync_planned = False
        journal.sync()

    def _retire(self, journal: JournalWriter) -> None:
        self._later(journal.sync)
        self._later(journal.close)

    def _save_picture(self, journal: JournalWriter) -> None:
        save = partial(write_picture, journal.path.parent, self._tile.rgb)
        self._picture.put(partial(self._guarded, save))

    def _later(self, job: Callable[[], None]) -> None:
        self._disk.put(partial(self._guarded, job))

    def _guarded(self, job: Callable[[], None]) -> None:
        try:
            job()
        except Exception as problem:  # a thread has nobody above it to tell
            self._tell(problem)

    def _tell(self, problem: Exception) -> None:
        with self._telling:
            if self._told:
                return
            self._told = True
        reason = (isinstance(problem, OSError) and problem.strerror) or str(problem)
        told = SessionError(
            f"{self._writer.path or 'the session'}: changes are not being saved ({reason}); work "
            "goes on: make room there or export the nuclei, saving is tried again by itself"
        )
        told.__cause__ = problem
        try:
            self._on_problem(told)
        except Exception:  # the thread must not end with it
            _log.exception("telling failed: %s", told)
