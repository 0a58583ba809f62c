"""Writing beside the target and renaming, so that nothing half-written is ever seen."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from napari_uninuc.errors import OutputError

__all__ = ["replacing"]

_ZARR_MARKS = (".zgroup", ".zattrs", ".zarray", "zarr.json")


@contextmanager
def replacing(path: Path, *, folder: bool = False) -> Iterator[Path]:
    """Lend a place beside `path`; on success it takes the place of `path`, else it vanishes.

    Parameters
    ----------
    path : the target; folders above it are made, and removed again on failure
    folder : the target is a zarr folder; one that is there already is replaced whole, but
        never a folder that holds anything else

    Yields
    ------
    part : a free path beside the target; the caller makes the file or folder there

    Raises
    ------
    OutputError
        The target is of the other kind, or the system refuses.
    """
    target = Path(path)
    token = uuid4().hex[:12]
    part = target.with_name(f".{target.name[:100]}.{token}.part")
    made: list[Path] = []
    try:
        _require_replaceable(target, folder)
        _make_parents(target.parent, made)
        yield part
        _move_into_place(part, target, folder)
    except BaseException as problem:
        _remove(part, made)
        if isinstance(problem, OSError) and not isinstance(problem, OutputError):
            raise OutputError(
                f"{target}: cannot be written ({problem.strerror or problem}); "
                "choose a place with room where you may write"
            ) from problem
        raise


def _require_replaceable(target: Path, folder: bool) -> None:
    if not target.exists():
        return
    if folder and not target.is_dir():
        raise OutputError(f"{target}: a folder is written here, got a file; remove it first")
    if not folder and target.is_dir():
        raise OutputError(f"{target}: a file is written here, got a folder; name another path")
    if folder and any(target.iterdir()) and not any((target / m).exists() for m in _ZARR_MARKS):
        raise OutputError(
            f"{target}: only an earlier result is replaced, got a folder of something else; "
            "name another path"
        )


def _make_parents(parent: Path, made: list[Path]) -> None:
    """Make `parent` and what is missing above it, noting in `made` what was made."""
    missing = []
    while not parent.exists():
        missing.append(parent)
        parent = parent.parent
    if not parent.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, f"{parent} is a file")
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        made.append(path)


def _move_into_place(part: Path, target: Path, folder: bool) -> None:
    """Rename `part` to `target`; a folder that is there steps aside, and back on failure."""
    if not folder or not target.exists():
        os.replace(part, target)
        return
    aside = part.with_suffix(".old")
    os.rename(target, aside)
    try:
        os.rename(part, target)
    except BaseException:
        os.rename(aside, target)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _remove(part: Path, made: list[Path]) -> None:
    """Take away what was begun; where that fails too, the first problem is the one to tell."""
    with suppress(OSError):
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        elif part.exists():
            part.unlink()
        for parent in reversed(made):
            parent.rmdir()
