"""How long the window stands still: outline all, take over, open and bring back 10,000 nuclei.

`clicks` is not about stalls: 30 nuclei of 800 are each taken in hand by a click and corrected by
another, and are given a class by a key. It measures from the press to the frame with the outline,
and what of it all the window's thread computes: `drawing` is what it spends in the canvas's own
drawing, OpenGL's included where the processor draws; `all_threads` adds what its other threads
fill in and the worker's. The model answers in about a millisecond.

python benchmarks/window_stalls.py BEFORE AFTER [--rounds N] [--part NAME ...]

BEFORE and AFTER are source trees of this project, run by turns, each time in a new process and a
window of its own. After @ may stand Python's switch interval in seconds: `.@0.005`.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np

_BEAT_MS = 10
_LONG_MS = 50
_SIDE, _PITCH, _RADIUS = 4096, 40, 8
_PARTS = ("outline", "take", "open", "back", "clicks")
_CLICKED, _FEW_NUCLEI, _FEW_SIDE = 30, 800, 1024
_SCREEN = ["xvfb-run", "-a", "-s", "-screen 0 1600x1000x24 +extension GLX +render -noreset"]


class Heart:
    """A timer of the window's loop; what lies between two beats beyond its interval is a stall."""

    def __init__(self) -> None:
        from qtpy.QtCore import Qt, QTimer

        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(_BEAT_MS)
        self._timer.timeout.connect(self._beat)

    def __enter__(self) -> "Heart":
        self.gaps_ms: list[float] = []
        self.busy_ms: list[float] = []
        self._last = time.perf_counter(), time.thread_time()
        self._began = time.perf_counter()
        self._timer.start()
        return self

    def __exit__(self, *_problem: object) -> None:
        self._beat()
        self._timer.stop()

    def _beat(self) -> None:
        now = time.perf_counter(), time.thread_time()
        self.gaps_ms.append(1e3 * (now[0] - self._last[0]))
        self.busy_ms.append(1e3 * (now[1] - self._last[1]))
        self._last = now

    def found(self, ended: float) -> dict[str, float]:
        """Measures, ms and s; `busy` is what this thread computed between two beats."""
        return {
            "longest_ms": max(self.gaps_ms),
            "busy_ms": max(self.busy_ms),
            "over_50_ms": sum(gap for gap in self.gaps_ms if gap > _LONG_MS),
            "total_s": ended - self._began,
            "load": os.getloadavg()[0],
        }


class Room:
    """A window with the panel in it."""

    def __init__(self) -> None:
        import napari

        from napari_uninuc.gui.widget import CorrectNucleiWidget

        self.viewer = napari.Viewer()
        self.viewer.window._qt_window.resize(1400, 900)
        self.widget = CorrectNucleiWidget(self.viewer)
        self.viewer.window.add_dock_widget(self.widget, area="right")
        self.bench = self.widget.workbench
        self.until(lambda: not self.bench.worker.tasks)

    def until(self, done: Callable[[], Any], limit_s: float = 600.0) -> None:
        """Let the window go on until something has happened."""
        from qtpy.QtTest import QTest

        ends = time.monotonic() + limit_s
        while not done():
            if time.monotonic() > ends:
                raise TimeoutError(done)
            QTest.qWait(2)

    def rest(self, seconds: float) -> None:
        """Let the window go on for a while."""
        from qtpy.QtTest import QTest

        QTest.qWait(round(1e3 * seconds))  # asking every other ms would be measured too

    def show(self, rgb: Any, *, prepare: bool) -> Any:
        """Open a picture; without `prepare` its encoding is cancelled."""
        layer = self.viewer.add_image(rgb, rgb=True, name="picture")
        self.widget.picture.image.value = layer
        self.until(lambda: self.desk_of(layer) is not None)
        if not prepare:
            for task in self.bench.worker.tasks:
                if task.name.startswith("Preparing"):
                    task.cancel()
        self.until(lambda: not self.bench.worker.tasks)
        self.rest(1.0)
        return layer

    def close(self) -> None:
        """Close the window."""
        self.widget.close_desks()
        self.viewer.close()

    def desk_of(self, layer: Any) -> Any:
        """The desk worked at, if it is that of a layer."""
        desk = self.bench.desk
        return desk if desk is not None and desk.bridge.image is layer else None

    def measure(self, act: Callable[[], object], done: Callable[[], Any]) -> dict[str, float]:
        """Measure from an act until what it is for has come, and a while on for the drawing."""
        with Heart() as heart:
            act()
            self.until(done)
            ended = time.perf_counter()
            self.rest(2.0)
        return heart.found(ended)


class Drawing:
    """What the window's thread spends on drawing the canvas."""

    def __init__(self, canvas: Any) -> None:
        self.frames, self.seconds = 0, 0.0
        self._began = 0.0
        canvas.events.draw.connect(self._begin, position="first")
        canvas.events.draw.connect(self._end, position="last")

    def _begin(self, _event: Any) -> None:
        self._began = time.thread_time()

    def _end(self, _event: Any) -> None:
        self.frames += 1
        self.seconds += time.thread_time() - self._began


def _clicks() -> dict[str, float]:
    """Take in hand, correct, class; medians a click, ms."""
    sys.path.append(str(Path(__file__).parents[1] / "tests" / "gui"))
    from driving import Canvas, centre_of
    from qtpy.QtCore import Qt

    from napari_uninuc.gui import widget
    from napari_uninuc.testing import FakeAnnotator, make_tile

    annotator = FakeAnnotator()
    widget.load_bundled = lambda _model, _device: annotator
    room = Room()
    tissue = make_tile((_FEW_SIDE, _FEW_SIDE), _FEW_NUCLEI)
    layer = room.show(tissue.tile.rgb, prepare=True)
    room.widget.outline.start.click()
    room.until(lambda: room.bench.run is None and not room.bench.worker.tasks)
    desk = room.bench.desk
    hand, labels = desk.session.hand, desk.session.labels
    canvas = Canvas(room.viewer)
    canvas.window.activateWindow()  # else keys go to napari
    canvas.settle()
    room.rest(2.0)
    drawing = Drawing(room.viewer.window._qt_viewer.canvas._scene_canvas)
    presses, pressing, everything, loops, drawn, frames = [], [], [], [], [], []
    ids = list(labels.nuclei)
    for id_ in ids[:: len(ids) // _CLICKED][:_CLICKED]:
        place = centre_of(labels, id_)
        canvas.move(place, layer)
        room.rest(0.1)
        loop, before = time.thread_time(), (drawing.seconds, drawing.frames)
        canvas.click(place, layer)
        room.rest(0.1)
        began = time.perf_counter(), time.thread_time(), time.process_time()
        shown = drawing.frames
        canvas.click(place, layer)
        room.until(lambda: hand.draft is not None and hand.draft.answered and not hand.waiting)
        room.until(lambda shown=shown: drawing.frames > shown)
        presses.append(1e3 * (time.perf_counter() - began[0]))
        pressing.append(1e3 * (time.thread_time() - began[1]))
        everything.append(1e3 * (time.process_time() - began[2]))
        room.rest(0.1)
        canvas.key(Qt.Key.Key_1)
        room.rest(0.2)
        loops.append(1e3 * (time.thread_time() - loop) / 2)
        drawn.append(1e3 * (drawing.seconds - before[0]) / 2)
        frames.append((drawing.frames - before[1]) / 2)
    room.close()
    return {
        "press_to_outline_ms": statistics.median(presses),
        "of_it_thread_ms": statistics.median(pressing),
        "of_it_all_threads_ms": statistics.median(everything),
        "thread_a_click_ms": statistics.median(loops),
        "of_it_drawing_ms": statistics.median(drawn),
        "frames_a_click": statistics.mean(frames),
        "nuclei": len(ids),
        "load": os.getloadavg()[0],
    }


def _discs() -> tuple[Any, int]:
    labels, count = np.zeros((_SIDE, _SIDE), np.int32), 0
    y, x = np.mgrid[-_RADIUS : _RADIUS + 1, -_RADIUS : _RADIUS + 1]
    disc = y**2 + x**2 <= _RADIUS**2
    for top in range(12, _SIDE - 20, _PITCH):
        for left in range(12, _SIDE - 20, _PITCH):
            count += 1
            labels[top : top + len(disc), left : left + len(disc)][disc] = count
    return labels, count


def _outline(room: Room) -> dict[str, float]:
    from skimage import data

    room.show(data.immunohistochemistry(), prepare=True)
    bench = room.bench
    found = room.measure(
        room.widget.outline.start.click, lambda: bench.run is None and not bench.worker.tasks
    )
    room.viewer.layers.clear()
    room.rest(0.5)
    return found


def _many(room: Room, parts: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """Take over, open as a file, bring back: each goes on with what the one before made."""
    bench, found = room.bench, {}
    rgb = np.full((_SIDE, _SIDE, 3), 200, np.uint8)
    image = room.show(rgb, prepare=False)
    labels, count = _discs()
    layer = room.viewer.add_labels(labels, name="mine")
    room.rest(1.0)
    room.widget.picture.labels.reset_choices()
    room.widget.picture.labels.value = layer
    found["take"] = room.measure(
        room.widget.picture.take_labels.click,
        lambda: len(bench.desk.session.labels) == count,
    )
    room.viewer.layers.remove(layer)
    if "open" in parts:
        path = Path(tempfile.mkdtemp()) / "nuclei.geojson"
        bench.save(path)
        room.until(lambda: path.exists() and not bench.worker.tasks)
        before = len(room.viewer.layers)
        found["open"] = room.measure(
            lambda: room.viewer.open(path, plugin="napari-uninuc"),
            lambda: len(room.viewer.layers) > before,
        )
    if "back" in parts:
        room.viewer.layers.remove(image)
        room.rest(0.5)
        room.viewer.layers.clear()
        again = room.show(rgb, prepare=False)
        session = room.desk_of(again).session
        room.until(lambda: bench.sessions.earlier(session))
        (earlier,) = bench.sessions.earlier(session)
        found["back"] = room.measure(
            lambda: bench.go_on_with(earlier),
            lambda: bench.desk is not None and len(bench.desk.session.labels) == count,
        )
    return found


def _inside(parts: tuple[str, ...], switch_s: float | None) -> None:
    if switch_s is not None:
        sys.setswitchinterval(switch_s)
    found = {}
    if "clicks" in parts:
        found["clicks"] = _clicks()
    if set(parts) - {"clicks"}:
        room = Room()
        if "outline" in parts:
            found["outline"] = _outline(room)
        if set(parts) - {"outline", "clicks"}:
            found |= _many(room, parts)
        room.close()
    print("FOUND " + json.dumps(found), flush=True)
    os._exit(0)  # what is measured is over; Qt's way out is not


def _run(tree: str, parts: tuple[str, ...]) -> dict[str, dict[str, float]]:
    folder, _, switch_s = tree.partition("@")
    inside = {
        **os.environ,
        "PYTHONPATH": str(Path(folder).resolve() / "src"),
        "UNINUC_SESSIONS": tempfile.mkdtemp(),
    }
    words = [sys.executable, __file__, "--inside", switch_s or "own"]
    words += [word for part in parts for word in ("--part", part)]
    done = subprocess.run([*_SCREEN, *words], env=inside, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("FOUND ")]
    if not lines:
        raise click.ClickException(f"{tree}: {done.stderr[-2000:]}")
    found: dict[str, dict[str, float]] = json.loads(lines[-1].removeprefix("FOUND "))
    return found


def _tell(trees: tuple[str, ...], rounds: list[list[dict[str, dict[str, float]]]]) -> None:
    for part in rounds[0][0]:
        for measure in rounds[0][0][part]:
            pairs = [[found[part][measure] for found in both] for both in rounds]
            before, after = (statistics.median(side) for side in zip(*pairs, strict=True))
            text = f"{part:8} {measure:19} {before:8.1f} -> {after:8.1f}"
            if measure != "load" and all(pair[0] for pair in pairs):
                ratio = statistics.median(b / a for a, b in pairs)
                text += f"   ratio {ratio:.2f}"
            each = ", ".join(f"{a:.1f} -> {b:.1f}" for a, b in pairs)
            print(f"{text}   ({each})")


@click.command()
@click.argument("trees", nargs=-1)
@click.option("--rounds", default=3, show_default=True)
@click.option("--part", "parts", multiple=True, type=click.Choice(_PARTS), default=_PARTS)
@click.option("--inside", hidden=True)
def main(trees: tuple[str, ...], rounds: int, parts: tuple[str, ...], inside: str | None) -> None:
    """Compare two source trees; prints medians, ratios and every round."""
    if inside is not None:
        try:
            _inside(parts, None if inside == "own" else float(inside))
        except BaseException:
            traceback.print_exc()
        os._exit(1)  # a window that is open would keep the process
    if len(trees) != 2:
        raise click.UsageError(f"expected two source trees, got {len(trees)}")
    _tell(trees, [[_run(tree, parts) for tree in trees] for _ in range(rounds)])


if __name__ == "__main__":
    main()
