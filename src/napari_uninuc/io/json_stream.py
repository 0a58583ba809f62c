"""JSON files one element at a time, in bounded memory, plain or gzipped.

The parser is Python's own; this only feeds it. Text is held one element at a time, so a file of
a million nuclei costs no more than its largest nucleus.
"""

import gzip
import io
import json
import re
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NoReturn

from napari_uninuc.errors import LabelsError
from napari_uninuc.io.sources import require_file

__all__ = ["MAX_ELEMENT_CHARS", "MAX_TEXT_BYTES", "stream_json"]

MAX_TEXT_BYTES = 4 * 2**30
"""Most bytes of text read from one file, after decompression."""

MAX_ELEMENT_CHARS = 2**24
"""Longest element, characters; a nucleus has about a thousand."""

_CHUNK = 2**20
_TAIL = 3
_SPACE = re.compile(r"[ \t\n\r]*")
_GZIP_START = b"\x1f\x8b"


def stream_json(
    path: Path, streamed: Collection[str], keyed: Collection[str] = ()
) -> Iterator[tuple[str, Any]]:
    """Read the members of a JSON object, the elements of some of its lists one by one.

    Parameters
    ----------
    path : UTF-8, plain or gzipped, which is told by its first bytes
    streamed : members whose lists are given element by element
    keyed : members whose objects are given member by member, as (key, value)

    Yields
    ------
    name, value : a member, or an element of a streamed one, in the order of the file. The
        elements of a file that is a list have the name ""

    Raises
    ------
    LabelsError
        Missing, not JSON, cut short, nested too deeply, or above `MAX_TEXT_BYTES` or
        `MAX_ELEMENT_CHARS`.
    """
    require_file(path, LabelsError, "label file")
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == _GZIP_START
            raw.seek(0)
            file = gzip.GzipFile(fileobj=raw) if packed else raw
            yield from _Parser(path, file).document(streamed, keyed)
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile, zlib.error) as problem:
        raise _refusal(path, " ".join(str(problem).split())) from None
    except OSError as problem:
        raise LabelsError(f"{path}: cannot be read ({problem.strerror}); check it") from None


def _refusal(path: Path, reason: str) -> LabelsError:
    return LabelsError(f"{path}: expected readable JSON, got {reason}; write the file again")


class _Parser:
    """A place in a text that is fetched as it is needed."""

    def __init__(self, path: Path, file: Any) -> None:
        self._path = path
        bounded = io.BufferedReader(_Capped(path, file), _CHUNK)
        self._text = io.TextIOWrapper(bounded, encoding="utf-8-sig")
        self._decode = json.JSONDecoder().raw_decode
        self._buffer, self._at, self._ended = "", 0, False

    def document(
        self, streamed: Collection[str], keyed: Collection[str]
    ) -> Iterator[tuple[str, Any]]:
        first = self._peek()
        if first == "[":
            yield from (("", element) for element in self._elements())
        elif first == "{":
            yield from self._members(streamed, keyed)
        else:
            self._refuse(f"{first or 'the end'!r} where an object or a list should be")
        if self._peek():
            self._refuse("text after the end")

    def _members(
        self, streamed: Collection[str] = (), keyed: Collection[str] = ()
    ) -> Iterator[tuple[str, Any]]:
        for _ in self._between("}"):
            name = self._value()
            if not isinstance(name, str) or self._peek() != ":":
                self._refuse("a member without name")
            self._at += 1
            if name in streamed and self._peek() == "[":
                yield from ((name, element) for element in self._elements())
            elif name in keyed and self._peek() == "{":
                yield from ((name, member) for member in self._members())
            else:
                yield name, self._value()

    def _elements(self) -> Iterator[Any]:
        for _ in self._between("]"):
            yield self._value()

    def _between(self, closing: str) -> Iterator[None]:
        """Step over the bracket here, commas and `closing`; the caller reads what is between."""
        self._at += 1
        if self._peek() == closing:
            self._at += 1
            return
        while True:
            yield
            mark = self._peek()
            if mark not in (",", closing) or not mark:
                self._refuse(f"{mark or 'the end'!r} where , or {closing} should be")
            self._at += 1
            if mark == closing:
                return

    def _peek(self) -> str:
        """Skip space; the next character, or nothing at the end."""
        while True:
            found = _SPACE.match(self._buffer, self._at)
            self._at = self._at if found is None else found.end()
            if self._at < len(self._buffer):
                return self._buffer[self._at]
            if not self._fetch(_CHUNK):
                return ""

    def _value(self) -> Any:
        self._peek()
        wanted = _CHUNK
        while True:
            value, end, reason = self._decoded()
            # What looks like a whole number may go on: "1" of "1e-5" is followed by "e-".
            open_ended = isinstance(value, int | float) and end + _TAIL > len(self._buffer)
            if not reason and not (open_ended and self._fetch(wanted)):
                self._at = end
                return value
            if reason and not self._fetch(wanted):
                self._refuse(reason)
            if len(self._buffer) > MAX_ELEMENT_CHARS:
                self._refuse(f"an element of more than {MAX_ELEMENT_CHARS} characters, or damage")
            wanted = len(self._buffer)

    def _decoded(self) -> tuple[Any, int, str]:
        """Decode what is there: the value, where it ends, and why there is none."""
        try:
            value, end = self._decode(self._buffer, self._at)
            return value, end, ""
        except json.JSONDecodeError as problem:
            return None, 0, f"{problem.msg.lower()}, or the end is missing"
        except RecursionError:
            self._refuse("brackets nested too deeply")
        except ValueError:
            self._refuse("a number of too many digits")

    def _fetch(self, count: int) -> bool:
        """Drop what has been read and add text; False at the end."""
        if self._ended:
            return False
        added = self._text.read(count)
        if not added:
            self._ended = True
            return False
        self._buffer, self._at = self._buffer[self._at :] + added, 0
        return True

    def _refuse(self, reason: str) -> NoReturn:
        raise _refusal(self._path, reason)


class _Capped(io.RawIOBase):
    """A file that refuses to give more than `MAX_TEXT_BYTES`: gzip holds a thousandfold."""

    def __init__(self, path: Path, file: Any) -> None:
        super().__init__()
        self._path, self._file, self._left = path, file, MAX_TEXT_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        self._left -= len(data)
        if self._left < 0:
            raise LabelsError(
                f"{self._path}: expected at most {MAX_TEXT_BYTES} bytes of text, got more; "
                "split the file"
            )
        buffer[: len(data)] = data
        return len(data)
