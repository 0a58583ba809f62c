"""The folder of a run: what it was asked for, which tiles are done, and who may write there."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from napari_uninuc.errors import OutputError
from napari_uninuc.io.targets import replacing
from napari_uninuc.slides.plan import LATER, ORIGIN, SlidePlan
from napari_uninuc.slides.tiles import is_done, tile_path

__all__ = [
    "SCRATCH",
    "STATE",
    "TILES",
    "RunFolder",
    "claimed",
    "counts_from_elsewhere",
    "read_state",
    "write_state",
]

STATE = "run.json"
TILES = "tiles"
SCRATCH = ".scratch-"
"""How names begin of what no run needs any more once it has ended."""

_LOCK = ".run.lock"
_VERSION = 1


class RunFolder:
    """A folder that belongs to one plan, from the first tile to the last output.

    Parameters
    ----------
    path : made if missing; one that holds a run of the same plan is carried on

    Raises
    ------
    OutputError
        It holds a run of another plan or something else, or cannot be written.
    """

    def __init__(self, path: Path, plan: SlidePlan) -> None:
        self.path, self._plan = path, plan
        stored = read_state(path)
        if stored is None:
            self._finished: Mapping[str, Any] | None = None
            self._write(None)
            return
        _require_same(path, stored.get("settings", {}), plan)
        self._finished = stored.get("finished")
        self._sweep()

    @property
    def tiles(self) -> Path:
        """Where results of single tiles lie until all are done."""
        return self.path / TILES

    @property
    def finished(self) -> Mapping[str, Any] | None:
        """What `finish` was told, by this run or an earlier one; None before."""
        return self._finished

    def todo(self) -> list[int]:
        """Tiles that are not done yet, in their order."""
        return [i for i in self._plan.tiles if not is_done(tile_path(self.tiles, i))]

    def finish(self, summary: Mapping[str, Any], *, keep_tiles: bool) -> None:
        """Say that every output is there; the tiles' files are not needed any more."""
        self._write(summary)
        self._finished = summary
        if not keep_tiles and self.tiles.is_dir():
            for index in self._plan.tiles:
                tile_path(self.tiles, index).unlink(missing_ok=True)
            if not any(self.tiles.iterdir()):
                self.tiles.rmdir()

    def _sweep(self) -> None:
        """Remove what a killed run had begun beside its places; nobody else writes here now."""
        for folder, pattern in (
            (self.path, ".*.part"),
            (self.path, SCRATCH + "*"),
            (self.tiles, ".*"),
        ):
            for left in folder.glob(pattern) if folder.is_dir() else ():
                if left.is_dir():
                    shutil.rmtree(left, ignore_errors=True)
                else:
                    left.unlink(missing_ok=True)

    def _write(self, finished: Mapping[str, Any] | None) -> None:
        write_state(self.path, self._plan.settings(), finished)


@contextmanager
def claimed(path: Path) -> Iterator[None]:
    """Keep other runs out of a folder, which is made if missing.

    Raises
    ------
    OutputError
        Another run works there, or it cannot be written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path / _LOCK, timeout=0)
        lock.acquire()
    except Timeout:
        raise OutputError(
            f"{path}: expected no other run in this folder, got one at work; wait for it, or name "
            "another folder"
        ) from None
    except OSError as problem:
        raise OutputError(
            f"{path}: cannot be written ({problem.strerror}); choose a place where you may write"
        ) from None
    try:
        yield
    finally:
        lock.release()
        (path / _LOCK).unlink(missing_ok=True)


def write_state(
    path: Path, settings: Mapping[str, Any], finished: Mapping[str, Any] | None
) -> None:
    """Write the state of a run into a folder: what was asked for, and what came out of it."""
    stored = {"version": _VERSION, "settings": settings, "finished": finished}
    with replacing(path / STATE) as part:
        part.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")


def read_state(path: Path) -> Mapping[str, Any] | None:
    """Read the state of an earlier run; None where the folder is free.

    Raises
    ------
    OutputError
        It holds something else, or is damaged.
    """
    state = path / STATE
    if not state.exists():
        others = [e.name for e in path.iterdir() if e.name[0] != "."] if path.is_dir() else []
        if others:
            raise OutputError(
                f"{path}: expected an empty folder or a run to carry on, got {sorted(others)[0]}; "
                "name another folder"
            )
        return None
    try:
        stored = json.loads(state.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        stored = None
    if not isinstance(stored, dict) or stored.get("version") != _VERSION:
        raise OutputError(
            f"{state}: expected the state of a run, got damage or another version; name another "
            "folder"
        )
    return stored


def counts_from_elsewhere(stored: Mapping[str, Any], origin_yx: tuple[int, int]) -> str:
    """Say why a run of the same slide is of no use: its positions are others.

    Parameters
    ----------
    stored : its settings
    origin_yx : what the slide is counted from now, px of the scanner's frame
    """
    return (
        f"holds a run that counts from {stored.get(ORIGIN, [0, 0])} (y, x) of the scanner's frame, "
        f"while the slide counts from {list(origin_yx)}, where the scanned part begins and QuPath "
        "too counts from; name another folder and outline the slide again"
    )


def _require_same(path: Path, stored: Mapping[str, Any], plan: SlidePlan) -> None:
    asked = json.loads(json.dumps(plan.settings()))
    for name in dict.fromkeys((*asked, *LATER)):
        has, wanted = stored.get(name), asked.get(name)
        if has != wanted:
            if name == "fingerprint" and stored.get(ORIGIN) != asked.get(ORIGIN):
                raise OutputError(f"{path}: {counts_from_elsewhere(stored, plan.origin_yx)}")
            raise OutputError(
                f"{path}: holds a run with {name} {_said(has)}, got {_said(wanted)}; name "
                "another folder, or remove this one"
            )


def _said(value: object) -> str:
    return "none" if value is None else str(value)
