"""A file of records that only ever grows; what was written before a damaged byte can be read.

The file begins with `_HEADER`: what it is, its version, and the check value that it carries on
from. Then, for every record: length (4 bytes), check value (8 bytes), payload. A check value is
BLAKE2b of the one before it and the payload, so that a record lost, moved or taken from
elsewhere is noticed as well as a flipped bit. It keeps accidents out, not forgers: there is no key.
"""

import hashlib
import os
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from napari_uninuc.errors import SessionError

__all__ = ["NO_CHECK", "JournalReader", "JournalWriter", "open_regular"]

_MAGIC = b"UNINUCJ\x01"  # the last byte is the version
_HEADER = struct.Struct("<8s8s8s")  # magic, check value carried on from, check of these two
_FRAME = struct.Struct("<I8s")
_CHECK_BYTES = 8

MAX_RECORD_BYTES = 2**30
NO_CHECK = bytes(_CHECK_BYTES)
"""Check value of a journal that carries on from none."""


class JournalWriter:
    """Appends records to a new file; each is handed to the system before `append` returns.

    A process that is killed then loses nothing; a machine that loses power may lose what came
    after the last `sync`. Belongs to one thread, but `sync` may be called from another.

    Parameters
    ----------
    path : must not exist
    carries_on_from : check value at the end of the journal before this one, `NO_CHECK` for none

    Raises
    ------
    OSError
        The file exists, or the system refuses; nothing is left behind where it can be removed.
    """

    def __init__(self, path: Path, carries_on_from: bytes = NO_CHECK) -> None:
        self._path = path
        self._file = path.open("xb", buffering=0)
        self._size = 0
        try:
            self._write(_header(carries_on_from))
        except OSError:
            self._file.close()
            path.unlink(missing_ok=True)
            raise
        self._check = carries_on_from

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    @property
    def check(self) -> bytes:
        """Check value of the last record, 8 bytes."""
        return self._check

    @property
    def size(self) -> int:
        """Bytes written, header included."""
        return self._size

    def append(self, payload: bytes) -> None:
        """Write one record.

        Raises
        ------
        OSError
            The system refuses; the part that was written is cut off again where that works,
            and else is skipped in reading.
        SessionError
            More than `MAX_RECORD_BYTES`.
        """
        if len(payload) > MAX_RECORD_BYTES:
            raise SessionError(
                f"{self._path}: one change may take at most {MAX_RECORD_BYTES} bytes, got "
                f"{len(payload)}; export the nuclei to a file"
            )
        check = _next_check(self._check, payload)
        self._write(_FRAME.pack(len(payload), check) + payload)
        self._check = check

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError:
            self._cut_back()
            raise
        self._size += len(data)

    def _cut_back(self) -> None:
        try:
            self._file.truncate(self._size)
            self._file.seek(self._size)
        except OSError:
            return  # the reader stops there by itself

    def sync(self) -> None:
        """Wait until the disk has what was written; OSError where it refuses."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file; it is not synced."""
        self._file.close()


@dataclass(frozen=True, slots=True)
class Damage:
    """Where reading a journal had to stop.

    Attributes
    ----------
    reason : in words, as in "a record is cut short"
    at_byte : where the first record that is not whole begins
    size : of the file, bytes
    """

    reason: str
    at_byte: int
    size: int


class JournalReader:
    """Reads the records of a journal up to its end or to the first that is not whole.

    Parameters
    ----------
    path : a regular file

    Attributes
    ----------
    carries_on_from : check value that the header names; None where the header is damaged
    check : check value of the last record read
    damage : where and why reading stopped, known once `records` is through; None at a clean end

    Raises
    ------
    SessionError
        Nothing there, not a regular file, a link, of a version to come, or it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.damage: Damage | None = None
        with open_regular(path) as file:
            self._size = os.fstat(file.fileno()).st_size
            self.carries_on_from = self._read_header(file)
        self.check = self.carries_on_from or NO_CHECK

    def _read_header(self, file: BinaryIO) -> bytes | None:
        raw = file.read(_HEADER.size)
        if len(raw) == _HEADER.size:
            magic, carried, _ = _HEADER.unpack(raw)
            if raw == _header(carried):
                return bytes(carried)
            if raw == _header(carried, magic) and magic[:7] == _MAGIC[:7]:
                raise SessionError(
                    f"{self._path}: expected a journal of version {_MAGIC[7]}, got version "
                    f"{magic[7]}; update napari-uninuc"
                )
        self.damage = Damage("its first bytes are damaged", 0, self._size)
        return None

    def records(self) -> Iterator[bytes]:
        """Read payload after payload; sets `damage` where it stops early.

        Raises
        ------
        SessionError
            The system refuses.
        """
        if self.carries_on_from is None:
            return
        with open_regular(self._path) as file:
            file.seek(_HEADER.size)
            while True:
                begin = file.tell()
                try:
                    frame = file.read(_FRAME.size)
                    if not frame:
                        return
                    payload = self._payload(file, frame, begin)
                except OSError as problem:
                    self._stop(f"the disk cannot read it ({problem.strerror})", begin)
                    return
                if payload is None:
                    return
                self.check = _next_check(self.check, payload)
                yield payload

    def _payload(self, file: BinaryIO, frame: bytes, begin: int) -> bytes | None:
        """Read what belongs to a frame; None, with `damage` set, where it is not whole."""
        if len(frame) == _FRAME.size:
            length, check = _FRAME.unpack(frame)
            if length <= min(self._size - begin - _FRAME.size, MAX_RECORD_BYTES):
                payload = file.read(length)
                if len(payload) == length and _next_check(self.check, payload) == check:
                    return payload
                self._stop("a record is damaged", begin)
                return None
        self._stop("a record is cut short or its length is damaged", begin)
        return None

    def _stop(self, reason: str, begin: int) -> None:
        self.damage = Damage(reason, begin, self._size)


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading that is a file and no link, pipe or device.

    Raises
    ------
    SessionError
        It is not, or is not there, or may not be read.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    try:
        # Looked at first as well: opening a pipe would wait, and not every system has O_NOFOLLOW.
        if not stat.S_ISREG(path.lstat().st_mode):
            raise SessionError(
                f"{path}: expected a file, got a link or something else; take it out of the "
                "session folder"
            )
        return os.fdopen(os.open(path, flags), "rb")
    except SessionError:
        raise
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or problem
        raise SessionError(f"{path}: cannot be read ({reason}); check the folder") from None


def _header(carried: bytes, magic: bytes = _MAGIC) -> bytes:
    return _HEADER.pack(magic, carried, _next_check(carried, magic))


def _next_check(before: bytes, payload: bytes) -> bytes:
    digest = hashlib.blake2b(before, digest_size=_CHECK_BYTES)
    digest.update(len(payload).to_bytes(8, "little"))
    digest.update(payload)
    return digest.digest()
