"""Kill processes that correct nuclei, at random moments, and see what their sessions still hold.

python benchmarks/kill_sessions.py [--kills N] [--seed N]

A child process edits as fast as it can, with pauses, and tells over a pipe what the nuclei are
after every edit. It gets SIGKILL. Then its session is restored: it must be exactly what it was
after the last edit told, or the one before, or the one after. Half of the children go on in the
folder of a child killed before. Linux and macOS.
"""

import contextlib
import hashlib
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np

from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.labels import LabelMap
from napari_uninuc.core.tile import Tile
from napari_uninuc.session import AnnotationSession, background_writer
from napari_uninuc.session.autosave import Actor, Autosave, restore
from napari_uninuc.testing import make_label_map, make_tile

_SHAPE = (256, 256)
_MODEL = Actor("made-up", "0" * 64, {"score_threshold": 0.5})
_SNAPSHOT_AFTER_BYTES = 20_000  # so that some are killed while one is written


def digest(session: AnnotationSession) -> str:
    """Name what the nuclei are: pixels, rows, next id."""
    labels = session.labels
    hasher = hashlib.blake2b(labels.pixels.tobytes(), digest_size=12)
    hasher.update(repr((sorted(labels.nuclei.items()), labels.next_id)).encode())
    return hasher.hexdigest()


def act(session: AnnotationSession, rng: random.Random, found: LabelMap) -> None:
    """Do one thing that a person does, chosen by `rng`."""
    ids = [id_ for id_, row in session.labels.nuclei.items() if row.visible]
    kind = rng.choice("aaaccrrddmmsspuuyyfg") if ids else "g"
    chosen = rng.sample(ids, min(len(ids), 2))
    y, x = rng.randrange(_SHAPE[0] - 12), rng.randrange(_SHAPE[1] - 12)
    if kind == "a":
        session.paint((y, x, y + 9, x + 9), np.full((9, 9), session.labels.next_id, np.int32))
    elif kind == "c":
        session.set_class(chosen, rng.randrange(2))
    elif kind == "r":
        session.review(chosen)
    elif kind == "d":
        session.delete(chosen[:1])
    elif kind == "m":
        session.merge(chosen)
    elif kind == "s":
        session.smooth(chosen)
    elif kind == "p":
        session.split_at(chosen[0], [(y, x), (y + 9, x + 5)])
    elif kind == "u":
        session.undo()
    elif kind == "y":
        session.redo()
    elif kind == "f":
        session.set_filter(rng.choice([0.4, 0.6, 0.8]), 0)
    else:
        run(session, found)


def run(session: AnnotationSession, found: LabelMap) -> None:
    """Outline everything, in portions."""
    masks = [found.mask(id_) for id_ in found.nuclei]
    masks.sort(key=lambda mask: -mask.score)
    session.begin_automatic()
    for start in range(0, len(masks), 32):
        part: list[InstanceMask] = masks[start : start + 32]
        session.add_automatic(part, [None] * len(part))


def work(session: AnnotationSession, seed: int, found: LabelMap, *, pauses: bool) -> Iterator[None]:
    """Act for ever."""
    rng, pace = random.Random(seed), random.Random(seed + 1)
    while True:
        act(session, rng, found)
        if pauses and pace.random() < 0.3:
            time.sleep(pace.random() * 0.01)
        yield


def child(tile: Tile, folder: Path | None, root: Path, seed: int, pipe: int) -> None:
    """Work until killed, telling every state."""
    background_writer._SNAPSHOT_AFTER_BYTES = _SNAPSHOT_AFTER_BYTES
    session = begin(tile, folder)
    autosave = Autosave(session, folder, root=root, on_problem=lambda problem: os._exit(3))
    session.labels.changed.connect(
        lambda edit: os.write(pipe, f"{digest(session)} {autosave.folder}\n".encode())
    )
    os.write(pipe, f"{digest(session)} {autosave.folder}\n".encode())
    for _ in work(session, seed, make_label_map(_SHAPE, 120), pauses=True):
        pass


def begin(tile: Tile, folder: Path | None) -> AnnotationSession:
    """Open a new session, or one that was killed."""
    if folder is None:
        return AnnotationSession(tile, ClassPalette.of_names(["nucleus", "tumour"]))
    return restore(folder, tile).session


def kill_one(tile: Tile, folder: Path | None, root: Path, seed: int) -> list[tuple[str, str]]:
    """Start a child and kill it; returns what it told: state and folder after every edit."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        with contextlib.suppress(BrokenPipeError):
            child(tile, folder, root, seed, writing)
        os._exit(4)
    os.close(writing)
    told, chance = b"", random.Random(seed + 2)
    edits = chance.randrange(30)
    while told.count(b"\n") <= edits:  # by edits and not by time: the machine may be busy
        part = os.read(reading, 2**16)
        assert part, "the child ended by itself"
        told += part
    time.sleep(chance.random() * 0.01)
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status), f"the child ended by itself: {status}"
    while rest := os.read(reading, 2**16):
        told += rest
    os.close(reading)
    lines = told.decode().splitlines(keepends=True)
    pairs = [line.strip().split(" ", 1) for line in lines if line.endswith("\n")]
    return [(state, place) for state, place in pairs]


def state_after(tile: Tile, session: AnnotationSession, seed: int, edits: int) -> str:
    """Do what the child did, without an autosave, up to a number of edits."""
    states: list[str] = []
    session.labels.changed.connect(lambda edit: states.append(digest(session)))
    for _ in work(session, seed, make_label_map(_SHAPE, 120), pauses=False):
        if len(states) >= edits:
            return states[edits - 1]
    raise AssertionError


@click.command()
@click.option("--kills", default=300, show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(kills: int, seed: int) -> None:
    """Kill children and count what is missing."""
    tile = make_tile(_SHAPE, 40).tile
    missing, damaged, edits, wrong = Counter[int](), 0, 0, 0
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        root, folder = Path(name), None
        for number in range(kills):
            old = restore(folder, tile) if folder is not None else None
            before = 0 if old is None else old.changes
            known = set(root.glob("*/*"))
            told = kill_one(tile, folder, root, seed + 10 * number)
            made, place = len(told) - 1, told[-1][1]
            edits += made
            found = _folder(root, place, known)
            if found is None:  # killed before the first change was written
                assert made <= 1, f"{made} edits, and no session"
                missing[made] += 1
                continue
            back = restore(found, tile)
            damaged += back.problem is not None
            kept = back.changes - before if found == folder else back.changes
            missing[made - kept] += 1
            if kept <= made:
                right = told[kept][0]
            else:
                start = begin(tile, None) if old is None else old.session
                right = state_after(tile, start, seed + 10 * number, kept)
            if made - kept not in (-1, 0, 1) or digest(back.session) != right:
                wrong += 1
                print(f"kill {number}: {made} edits, {kept} kept, {back.problem}")
            folder = found if number % 2 else None
    print(f"{kills} kills in {time.monotonic() - begun:.1f} s, {edits} edits made before them")
    for difference, count in sorted(missing.items()):
        print(f"  {difference:+d} edits missing: {count} sessions")
    print(f"  record cut in writing: {damaged} sessions; wrong or more than one missing: {wrong}")
    sys.exit(1 if wrong else 0)


def _folder(root: Path, told: str, known: set[Path]) -> Path | None:
    """The folder told; where it was not known yet, the new one if there is something in it."""
    if told != "None":
        return Path(told)
    made = {path.parent for path in root.glob("*/*/journal-*")} - known
    return made.pop() if made else None


if __name__ == "__main__":
    main()
