"""Walk through the napari widget as a person would, with real mouse and key events.

python docs/tour.py --side 512    (the pictures that lie here; without it four times the tile)
python docs/tour.py --loop docs/pictures/loop.webp --side 512

Opens the immunohistochemistry tile, outlines all nuclei, fixes ten, adds three, deletes five,
merges, splits, gives classes, undoes everything to the same bytes, does it again, saves and reads
back, then opens the picture again as the next morning and goes on; or, with --loop, records the
loop of README: outline, click, class, review. Every step is checked; the
screenshots of the documentation come from here, and so does the time from pressing the mouse to
the new outline on screen. Needs a screen:
xvfb-run -a -s "-screen 0 1400x900x24 +extension GLX" python docs/tour.py
"""

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import napari
import numpy as np
from napari._qt.dialogs.qt_notification import NapariQtNotification
from qtpy.QtCore import QPoint, QSettings, Qt
from qtpy.QtTest import QTest

from napari_uninuc import Tile
from napari_uninuc.datasets.sample import immunohistochemistry_tile
from napari_uninuc.gui.widget import CorrectNucleiWidget
from napari_uninuc.gui.window.show import add_tile, open_for_correction
from napari_uninuc.io.labels import read_labels
from napari_uninuc.session import AnnotationSession

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "gui"))
from driving import RIGHT, Canvas  # the tests' mouse and keys
from recording import Recording

_LONGEST_S = 120.0
_SHIFT = Qt.KeyboardModifier.ShiftModifier


class Tour:
    """A window with the widget, and what a person does in it."""

    def __init__(self, tile: Tile, output: Path) -> None:
        self.output = output
        output.mkdir(parents=True, exist_ok=True)
        self.viewer = napari.Viewer(title="UniNuc")
        self.canvas = Canvas(self.viewer)
        self.canvas.window.resize(1400, 900)
        QTest.qWaitForWindowExposed(self.canvas.window)
        self.canvas.window.activateWindow()  # nobody does so where there is no window manager
        self.widget = open_for_correction(self.viewer, tile)
        self.widget.hint.hide()
        self.settle()
        self.until(lambda: len(self.session.labels) > 0)
        self.settle()

    def settle(self) -> None:
        """Wait until the picture is open and nothing is being computed."""
        bench = self.widget.workbench
        self.until(lambda: bench.desk is not None)
        self.until(lambda: bench.run is None and not bench.worker.tasks)
        self.image = bench.desk.bridge.image
        self.canvas.settle()

    def next_morning(self, tile: Tile) -> None:
        """Put the widget away, open it and the picture anew."""
        self.widget.close_desks()
        self.viewer.window.remove_dock_widget(self.widget)
        self.viewer.layers.clear()
        for notice in self.canvas.window.findChildren(NapariQtNotification):
            notice.close()
        layer = add_tile(self.viewer, tile)
        self.widget = CorrectNucleiWidget(self.viewer)
        self.viewer.window.add_dock_widget(self.widget, name="UniNuc: correct nuclei", area="right")
        self.widget.hint.hide()
        self.widget.picture.image.value = layer
        self.settle()

    @property
    def session(self) -> AnnotationSession:
        """What is corrected."""
        return self.widget.workbench.desk.session

    def until(self, condition: Callable[[], bool]) -> None:
        """Let the window go on until something is so."""
        ends = time.monotonic() + _LONGEST_S
        while not condition():
            if time.monotonic() > ends:
                raise TimeoutError(f"waited {_LONGEST_S:.0f} s in vain")
            QTest.qWait(10)

    def answered(self) -> bool:
        """Nothing waits for the model."""
        hand = self.session.hand
        return not hand.waiting and (hand.draft is None or hand.draft.answered)

    def click(self, place_yx, **how) -> float:
        """Click and wait until the answer is drawn; milliseconds from press to drawn."""
        self.canvas.move(place_yx, self.image)  # nobody presses where the cursor is not
        began = time.perf_counter()
        self.canvas.click(place_yx, self.image, **how)
        while not self.answered():
            QTest.qWait(1)
        self.canvas.widget.grabFramebuffer()
        return 1e3 * (time.perf_counter() - began)

    def key(self, key, modifiers=Qt.KeyboardModifier.NoModifier) -> None:
        """Press a key and wait until nothing waits for the model."""
        self.canvas.key(key, modifiers)
        self.until(self.answered)

    def shot(self, name: str) -> None:
        """Save the whole window as it is."""
        self.widget.workbench.desk.bridge.flush()
        QTest.qWait(300)
        self.viewer.window.screenshot(
            str(self.output / f"{name}.png"), flash=False, canvas_only=False
        )

    def bytes_now(self) -> bytes:
        """The label image as it is."""
        return self.session.labels.pixels.tobytes()

    def inside(self, id_: int) -> tuple[float, float]:
        """The deepest pixel of a nucleus."""
        from scipy import ndimage

        mask = self.session.labels.mask(id_)
        depth = ndimage.distance_transform_edt(np.pad(mask.mask, 1))[1:-1, 1:-1]
        y, x = np.unravel_index(int(depth.argmax()), depth.shape)
        return mask.origin_yx[0] + float(y), mask.origin_yx[1] + float(x)

    def in_view(self) -> list[int]:
        """Nuclei whose middle is well inside the window, in reading order."""
        width, height = self.canvas.widget.width(), self.canvas.widget.height()
        found = []
        for id_ in self.session.labels.nuclei:
            if self.session.labels.area(id_):
                x, y = self.canvas.to_screen(self.inside(id_), self.image)
                if 30 < x < width - 30 and 30 < y < height - 30:
                    found.append(id_)
        return found

    def close(self) -> None:
        """Close the window."""
        self.widget.close_desks()
        self.viewer.close()


def fix(tour: Tour, ids: list[int]) -> list[float]:
    """Take nuclei in hand; take away what the first click says, give back what the second says."""
    taken = []
    for id_ in ids:
        mask = tour.session.labels.mask(id_)
        row = mask.mask.shape[0] // 2
        columns = np.flatnonzero(mask.mask[row])
        edge = (mask.origin_yx[0] + row, mask.origin_yx[1] + int(columns[-1]))
        tour.click(tour.inside(id_))
        taken.append(tour.click(edge, button=RIGHT))
        taken.append(tour.click((edge[0], edge[1] + 1), keys=_SHIFT))
        tour.key(Qt.Key.Key_Return)
        if not tour.session.labels.area(id_):
            raise AssertionError(f"nucleus {id_} was lost")
    return taken


def add(tour: Tour, count: int) -> list[float]:
    """Click the emptiest places in view."""
    from scipy import ndimage

    taken = []
    for _ in range(count):
        far = ndimage.distance_transform_edt(tour.session.labels.pixels == 0)
        grey = tour.session.tile.rgb.mean(axis=2)
        dark = np.where(far > 6, grey, 255)  # the darkest place that nobody outlined
        height, width = grey.shape
        margin = np.zeros_like(dark, bool)
        margin[height // 8 : -height // 8, width // 8 : -width // 8] = True
        y, x = np.unravel_index(int(np.where(margin, dark, 255).argmin()), dark.shape)
        taken.append(tour.click((float(y), float(x))))
        tour.key(Qt.Key.Key_Return)
    return taken


def walk(tour: Tour) -> list[float]:
    """All that the issue asks for, one after the other."""
    session = tour.session
    tour.shot("1-outlined")
    first = tour.bytes_now()
    chosen = tour.in_view()
    taken = fix(tour, chosen[:10])
    taken += add(tour, 3)
    for id_ in chosen[10:15]:
        tour.click(tour.inside(id_))
        tour.key(Qt.Key.Key_Delete)
        if session.labels.area(id_):
            raise AssertionError(f"nucleus {id_} was not deleted")
    tour.shot("2-corrected")
    one, other = chosen[15], chosen[16]
    tour.key(Qt.Key.Key_M)
    tour.canvas.drag([tour.inside(one), tour.inside(other)], tour.image)
    if session.labels.area(other):
        raise AssertionError("two nuclei were not merged")
    big = max(chosen[17:40], key=session.labels.area)
    y0, x0, y1, x1 = session.labels.box(big)
    middle = (y0 + y1) / 2
    before = len(session.labels)
    tour.key(Qt.Key.Key_T)
    tour.canvas.drag([(middle, x0 - 3.0), (middle, x1 + 3.0)], tour.image)
    if len(session.labels) != before + 1:
        raise AssertionError("a nucleus was not split")
    for name in ("tumour", "immune cell"):
        tour.widget.classes.new_name.setText(name)
        tour.widget.classes.add.click()
    tour.key(Qt.Key.Key_F)
    for digit, id_ in zip((2, 3, 2, 3, 2), chosen[20:25], strict=False):
        if session.labels.area(id_):
            tour.click(tour.inside(id_))
            tour.key(getattr(Qt.Key, f"Key_{digit}"))
            tour.key(Qt.Key.Key_Return)
    tour.shot("3-classes")
    last = tour.bytes_now()
    steps = 0
    while session.steps.history.can_undo:
        tour.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
        steps += 1
        if steps > 500:
            raise AssertionError("undo does not end")
        if tour.bytes_now() == first and session.steps.history.undo_name == "outline all nuclei":
            break
    if tour.bytes_now() != first:
        raise AssertionError("undo does not lead back to the same bytes")
    redo = Qt.KeyboardModifier.ControlModifier | _SHIFT
    while session.steps.history.can_redo:
        tour.key(Qt.Key.Key_Z, redo)
    if tour.bytes_now() != last:
        raise AssertionError("redo does not lead to the same bytes")
    tour.key(Qt.Key.Key_N)
    tour.shot("4-review")
    tour.key(Qt.Key.Key_Question)
    tour.shot("5-keys")
    tour.key(Qt.Key.Key_Question)
    tour.key(Qt.Key.Key_Escape)
    return taken


def record(tour: Tour, path: Path) -> None:
    """Record outline, click, class and review, over and over."""
    recording, panels = Recording(tour.viewer), tour.widget
    tour.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    start = panels.outline.start
    recording.point(start, start.rect().center())
    recording.frame(900)
    start.click()
    recording.frame(300)
    tour.settle()
    tour.widget.workbench.desk.bridge.flush()
    recording.frame(1200)
    chosen = tour.in_view()
    chosen = [chosen[len(chosen) * k // 4] for k in (1, 2, 3)]
    for name in ("tumour", "immune cell"):
        tour.session.add_class(name)
    for digit, id_ in zip((2, 3, 2), chosen, strict=True):
        mask = tour.session.labels.mask(id_)
        row = mask.mask.shape[0] // 2
        last = int(np.flatnonzero(mask.mask[row])[-1])
        edge = (mask.origin_yx[0] + row, mask.origin_yx[1] + last)
        for place, how, lasting_ms in (
            (tour.inside(id_), {}, 500),
            (edge, {"button": RIGHT}, 700),
            ((edge[0], edge[1] + 1), {"keys": _SHIFT}, 700),
        ):
            x, y = tour.canvas.to_screen(place, tour.image)
            recording.point(tour.canvas.widget, QPoint(round(x), round(y)))
            tour.click(place, **how)
            recording.frame(lasting_ms)
        tour.key(getattr(Qt.Key, f"Key_{digit}"))
        recording.frame(700)
        tour.key(Qt.Key.Key_Return)
    recording.pointer = None
    tour.key(Qt.Key.Key_N)
    recording.frame(900)
    for _ in range(3):
        tour.key(Qt.Key.Key_A)
        recording.frame(800)
    recording.save(path)


def go_on(tour: Tour, tile: Tile) -> None:
    """Come back to the same picture: what was corrected is offered, and comes back the same."""
    before = tour.bytes_now()
    tour.next_morning(tile)
    tour.until(tour.widget.earlier.isVisible)
    tour.shot("6-earlier")
    tour.widget.earlier.go_on.click()
    tour.until(lambda: len(tour.session.labels) > 0)
    tour.settle()
    if tour.bytes_now() != before:
        raise AssertionError("what was brought back is not what was there")


def save_and_read(tour: Tour, folder: Path) -> None:
    """Save in every format with pixels, and read back the same ids."""
    for name in ("nuclei.ome.tif", "nuclei.ome.zarr", "nuclei.geojson", "nuclei.coco.json"):
        tour.widget.workbench.save(folder / name)
        tour.until(lambda: not tour.widget.workbench.worker.tasks)
        if not np.array_equal(read_labels(folder / name), tour.session.labels.pixels):
            raise AssertionError(f"{name} does not hold what was seen")


@click.command()
@click.option(
    "--output",
    default="docs/pictures/tour",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder for the screenshots.",
)
@click.option(
    "--loop",
    default=None,
    type=click.Path(path_type=Path),
    help="Only record the loop of README, an animated WebP.",
)
@click.option("--side", default=1024, show_default=True, help="Side of the tile, px.")
def main(output: Path, loop: Path | None, side: int) -> None:
    """Walk, check, take screenshots, and print the time from press to outline."""
    sample = immunohistochemistry_tile()
    times = -(-side // sample.shape[0])
    rgb = np.tile(sample.rgb, (times, times, 1))
    tile = Tile.from_array(rgb[:side, :side], mpp=sample.mpp, name=sample.name)
    sessions = tempfile.TemporaryDirectory()
    os.environ["UNINUC_SESSIONS"] = sessions.name  # not among the person's own
    ini, user = QSettings.Format.IniFormat, QSettings.Scope.UserScope
    QSettings.setPath(ini, user, sessions.name)
    tour = Tour(tile, output)
    if loop is not None:
        record(tour, loop)
        tour.close()
        return
    taken = sorted(walk(tour))
    with tempfile.TemporaryDirectory() as folder:
        save_and_read(tour, Path(folder))
    go_on(tour, tile)
    nuclei = len(tour.session.labels)
    tour.close()
    sessions.cleanup()
    figures = {
        "tile_px": side,
        "nuclei": nuclei,
        "clicks": len(taken),
        "press_to_outline_median_ms": round(statistics.median(taken), 1),
        "press_to_outline_p95_ms": round(taken[int(0.95 * (len(taken) - 1))], 1),
    }
    click.echo(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
