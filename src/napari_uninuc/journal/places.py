"""Where sessions lie, and who may write to one."""

import os
import re
from pathlib import Path

from filelock import FileLock, Timeout
from platformdirs import user_data_path

from napari_uninuc.errors import SessionError
from napari_uninuc.journal.folder import DIGEST, SessionHeading, write_heading

__all__ = [
    "folders_of",
    "is_locked",
    "lock_folder",
    "make_folder",
    "remove_leftovers",
    "sessions_root",
]

ROOT_VARIABLE = "UNINUC_SESSIONS"
_LOCK = "lock"
_ONLY_ME = 0o700  # pictures of patients


def sessions_root() -> Path:
    """Name the folder of all sessions: ``UNINUC_SESSIONS``, else in the user's data."""
    named = os.environ.get(ROOT_VARIABLE)
    if named:
        return Path(named)
    return user_data_path("napari-uninuc", appauthor=False) / "sessions"


def folders_of(digest: str, root: Path) -> list[Path]:
    """Find the session folders of a picture, nothing in them checked; links are left out.

    Parameters
    ----------
    digest : of the picture; for regions of a slide its fingerprint

    Raises
    ------
    SessionError
        `digest` is none, or the system refuses.
    """
    if not re.fullmatch(DIGEST, digest):
        raise SessionError(f"a picture's digest is 32 hexadecimal digits, got {digest!r}; pass it")
    try:
        with os.scandir(root / digest) as entries:
            return sorted(Path(e.path) for e in entries if e.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return []
    except OSError as problem:
        raise SessionError(f"{root}: cannot be looked at ({problem.strerror}); check it") from None


def make_folder(heading: SessionHeading, root: Path) -> Path:
    """Make a new folder with nothing but its heading.

    It is ``root/digest/when``; for a region of a slide ``root/fingerprint/when``, so that all
    regions of a slide are found together.

    Raises
    ------
    OSError
        The system refuses.
    SessionError
        A thousand sessions began in the same microsecond.
    """
    above = root / (heading.digest if heading.slide is None else heading.slide.fingerprint)
    above.mkdir(parents=True, exist_ok=True)
    started = heading.created.strftime("%Y%m%dT%H%M%S.%fZ")
    for number in range(1, 1000):
        folder = above / (started if number == 1 else f"{started}-{number}")
        try:
            folder.mkdir(mode=_ONLY_ME)
        except FileExistsError:
            continue
        write_heading(folder, heading)
        return folder
    raise SessionError(f"{above}: no free name for a session of {started}; try again")


def lock_folder(folder: Path) -> FileLock | None:
    """Become the one writer of a session folder until `release`, or until the process ends.

    Returns
    -------
    lock : None where another window or process writes there

    Raises
    ------
    OSError
        The system refuses.
    """
    lock = FileLock(folder / _LOCK, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        return None
    return lock


def is_locked(folder: Path) -> bool:
    """Whether some window writes to a session folder now; changes nothing there."""
    if not (folder / _LOCK).exists():
        return False
    try:
        lock = lock_folder(folder)
    except OSError:  # one that nobody may write to
        return False
    if lock is not None:
        lock.release()
    return lock is None


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed process was writing beside its target; only for the one writer."""
    for path in folder.glob(".*.part"):
        path.unlink(missing_ok=True)
