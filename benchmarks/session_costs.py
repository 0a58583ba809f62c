"""What keeping a session costs: bytes a record, time of the thread that edits, time to restore.

python benchmarks/session_costs.py [--nuclei N] [--side PX] [--edits N]

A made-up picture is outlined in one portion and in portions of 64, as the window does, and nuclei
are then moved by one px, one edit each, with and without a person's pauses.
"""

import statistics
import tempfile
import time
from pathlib import Path

import click

from napari_uninuc.core import verbs
from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.journal.listing import find_sessions
from napari_uninuc.session import AnnotationSession
from napari_uninuc.session.autosave import Actor, Autosave, restore
from napari_uninuc.testing import make_label_map, make_tile

_MODEL = Actor("made-up", "0" * 64, {"score_threshold": 0.5})
_PAUSE_S = 0.02


class Watch:
    """Time that the editing thread spends in the autosave's listener, edit by edit."""

    def __init__(self, session: AnnotationSession) -> None:
        self.spent_s: list[float] = []
        self._begin = 0.0
        session.labels.changed.connect(self._before, priority=10**6)
        session.labels.changed.connect(self._after, priority=1)

    def _before(self) -> None:
        self._begin = time.perf_counter()

    def _after(self) -> None:
        self.spent_s.append(time.perf_counter() - self._begin)

    def tell(self, name: str) -> None:
        """Print and forget."""
        ordered = sorted(self.spent_s)
        middle, last = statistics.median(ordered), ordered[int(0.99 * (len(ordered) - 1))]
        print(
            f"{name}: {len(ordered)} edits, editing thread {1e3 * middle:.3f} ms median, "
            f"{1e3 * last:.3f} ms 99 %, {1e3 * ordered[-1]:.3f} ms most"
        )
        self.spent_s = []


def kept_bytes(folder: Path) -> int:
    """Bytes of all journals."""
    return sum(path.stat().st_size for path in folder.glob("journal-*"))


def move(session: AnnotationSession, count: int, pause_s: float) -> None:
    """Move nuclei by one px, one edit each."""
    ids = [id_ for id_, row in session.labels.nuclei.items() if row.visible]
    for k in range(count):
        mask = session.labels.mask(ids[k % len(ids)])
        moved = InstanceMask(
            (mask.origin_yx[0] + 1, mask.origin_yx[1]), mask.mask, mask.score, 0, 0.7
        )
        session.do(verbs.refine(session.labels, ids[k % len(ids)], moved))
        time.sleep(pause_s)


@click.command()
@click.option("--nuclei", default=1000, show_default=True)
@click.option("--side", default=1200, show_default=True, help="of the picture, px")
@click.option("--edits", default=1000, show_default=True)
def main(nuclei: int, side: int, edits: int) -> None:
    """Measure."""
    found = make_label_map((side, side), nuclei)
    masks = sorted((found.mask(id_) for id_ in found.nuclei), key=lambda mask: -mask.score)
    boxes = [tuple(float(part) for part in mask.box_yxyx) for mask in masks]
    tile = make_tile((side, side), 20).tile
    print(f"{len(masks)} nuclei, {side} x {side} px")
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for portion in (len(masks), 64):
            session = AnnotationSession(tile, ClassPalette.of_names(["nucleus"]))
            autosave, watch = Autosave(session, root=root, on_problem=print), Watch(session)
            autosave.begin_run(_MODEL)
            with autosave.by(_MODEL):
                session.begin_automatic()
                for start in range(0, len(masks), portion):
                    part = slice(start, start + portion)
                    session.add_automatic(masks[part], boxes[part])
            watch.tell(f"automatic run in portions of {portion}")
            autosave._background._writing.drain(60)
            before = kept_bytes(autosave.folder)
            print(f"  {before / len(masks):.0f} bytes a nucleus")
            if portion != 64:
                autosave.close()
        move(session, edits, 0.0)
        watch.tell("moved without a pause")
        move(session, 200, _PAUSE_S)
        watch.tell("moved by a person")
        autosave._background._writing.drain(60)
        print(f"  {(kept_bytes(autosave.folder) - before) / (edits + 200):.0f} bytes a record")
        begun = time.perf_counter()
        autosave.close()
        print(f"close: {time.perf_counter() - begun:.2f} s")
        for given, said in ((tile, "picture given"), (None, "picture read")):
            begun = time.perf_counter()
            back = restore(autosave.folder, given)
            print(f"restore, {said}: {time.perf_counter() - begun:.2f} s, {back.changes} changes")
        assert (back.session.labels.pixels == session.labels.pixels).all()
        begun = time.perf_counter()
        find_sessions(tile.digest, root)
        print(f"find 2 sessions: {1e3 * (time.perf_counter() - begun):.0f} ms")
        snapshots = sorted(autosave.folder.glob("snapshot-*"))
        print(f"{len(snapshots)} snapshots, last of {snapshots[-1].stat().st_size} bytes")


if __name__ == "__main__":
    main()
