"""What can be said about a file before anybody decodes it."""

import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from tokenize import TokenError

from napari_uninuc.errors import UniNucError

__all__ = [
    "DECODING_ERRORS",
    "FREE_BYTES",
    "MAX_PACKING",
    "MAX_SIDE",
    "is_tiff",
    "missing_notice",
    "reason_of",
    "require_file",
    "require_packed",
    "require_sides",
]

MAX_SIDE = 30_000
"""Longest side read at once, px: 2.7 GB of RGB at the square of it."""

FREE_BYTES = 2**28
MAX_PACKING = 2000
"""See `require_packed`."""

DECODING_ERRORS = (
    OSError,
    ValueError,  # tifffile's TiffFileError is one
    RuntimeError,  # every codec of imagecodecs
    EOFError,
    LookupError,
    MemoryError,
    SyntaxError,  # Pillow, for damaged PNG chunks
    TypeError,
    ArithmeticError,
    AttributeError,
    AssertionError,
    SystemError,  # numcodecs, for lengths that are none
    TokenError,  # NumPy, for damaged heads of arrays
    struct.error,
    zlib.error,
)
"""What decoders of other projects raise for damaged or foreign files."""

_TIFF_STARTS = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")


def require_file(path: Path, error: type[UniNucError], what: str = "picture file") -> None:
    """Raise `error` in one line unless `path` is a file with something in it; ``what`` names it."""
    try:
        if path.is_dir():
            raise error(f"{path}: expected a {what}, got a folder; name what lies inside it")
        if not path.exists():
            raise error(f"{path}: expected a {what}, got nothing there; check the path")
        if path.stat().st_size == 0:
            raise error(f"{path}: expected a {what}, got an empty one; fetch it again")
    except OSError as problem:
        if isinstance(problem, UniNucError):
            raise
        raise error(f"{path}: cannot be looked at ({problem.strerror}); check the path") from None


def require_sides(path: Path, sides: tuple[int, int], error: type[UniNucError]) -> None:
    """Raise `error` in one line where a side (H, W), px, is 0 or above `MAX_SIDE`."""
    if min(sides) < 1:
        raise error(
            f"{path}: expected at least one pixel, got {sides[0]} x {sides[1]}; write it again"
        )
    if max(sides) > MAX_SIDE:
        raise error(
            f"{path}: a picture may be at most {MAX_SIDE} px a side, got {sides[0]} x {sides[1]}; "
            "cut out a region first"
        )


def require_packed(path: Path, nbytes: int, error: type[UniNucError]) -> None:
    """Raise `error` in one line where a file would unpack to more than it can hold.

    Parameters
    ----------
    path : an existing file
    nbytes : it announces, unpacked. Up to `FREE_BYTES` are taken as they come, more only where
        they are at most `MAX_PACKING` times the file: Deflate cannot do better than 1032
    """
    size = path.stat().st_size
    if nbytes > max(FREE_BYTES, MAX_PACKING * size):
        raise error(
            f"{path}: expected at most {MAX_PACKING} bytes of pixels for each of the file, got "
            f"{nbytes} announced in {size}; save it again"
        )


def missing_notice(
    path: Path, parts: str, grids: Iterable[tuple[int, int]], instead: str = "taken for glass"
) -> str:
    """Say in one line what was never stored of a picture; empty where nothing is missing.

    Parameters
    ----------
    parts : what they are called: tiles, chunks
    grids : (missing, of all) of each level, finest first
    instead : what they are shown as
    """
    said = [
        f"{missing} of {total} {parts}" + (f" of level {level}" if level else "")
        for level, (missing, total) in enumerate(grids)
        if missing
    ]
    return f"{path}: {', '.join(said)} are missing and {instead}" if said else ""


def reason_of(problem: BaseException) -> str:
    """Say in one line of at most 300 characters what another project's decoder complains of."""
    return " ".join(str(problem).split())[:300] or type(problem).__name__


def is_tiff(path: Path) -> bool:
    """Tell by its first bytes whether a file is a TIFF, classic or big."""
    with path.open("rb") as file:
        return file.read(4) in _TIFF_STARTS
