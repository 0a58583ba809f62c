"""What one more example costs: learning, classing all nuclei, and recolouring the window.

python benchmarks/classes_in_window.py [--nuclei N] [--columns D]

Nuclei are painted, what they look like is drawn at random. Seconds of the processor, so that other
programs change little; the window is drawn without a graphics card where there is none.
"""

import time

import click
import napari
import numpy as np

from napari_uninuc import Segmentation
from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.tile import Tile
from napari_uninuc.gui.layers.bridge import LayerBridge
from napari_uninuc.io.classifiers import Teacher
from napari_uninuc.session import AnnotationSession
from napari_uninuc.session.lessons import lesson_of

_PITCH, _RADIUS = 24, 8


def nuclei_in_rows(count: int) -> np.ndarray:
    """Labels (H, W) of so many discs."""
    y, x = np.ogrid[-_PITCH // 2 : _PITCH // 2, -_PITCH // 2 : _PITCH // 2]
    disc = (y**2 + x**2 <= _RADIUS**2).astype(np.int32)
    side = int(np.ceil(np.sqrt(count)))
    ids = np.arange(1, side * side + 1, dtype=np.int32).reshape(side, side)
    labels = np.kron(np.where(ids <= count, ids, 0), disc)
    return np.ascontiguousarray(labels, dtype=np.int32)


@click.command()
@click.option("--nuclei", default=5000, show_default=True)
@click.option("--columns", default=1000, show_default=True, help="Of what is known of each.")
def main(nuclei: int, columns: int) -> None:
    """Time each step and print a table."""
    labels = nuclei_in_rows(nuclei)
    rgb = np.full((*labels.shape, 3), 230, np.uint8)
    rgb[labels > 0] = (90, 60, 140)
    session = AnnotationSession(Tile.from_array(rgb, 0.25), ClassPalette.of_names(list("abcd")))
    session.adopt(Segmentation.from_labels(labels, "a"))
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(nuclei, columns)).astype(np.float32)
    rows += (np.arange(nuclei) % 4)[:, None] / 2
    viewer = napari.Viewer(show=False)
    image = viewer.add_image(rgb, name="tile")
    bridge = LayerBridge(viewer, session, image, on_problem=print)
    bridge.flush()
    print("| examples a class | freeze | learn and class | recolour | draw | in all, ms |")
    print("|---|---|---|---|---|---|")
    for each in (5, 20, 100):
        for id_ in range(1, 4 * each + 1):
            session.set_class([id_], (id_ - 1) % 4)
        taken = []
        for _ in range(3):
            session.derived = {}
            viewer.screenshot(flash=False)
            marks = [time.process_time()]
            lesson = lesson_of(session)
            marks.append(time.process_time())
            outcome = lesson.learn(rows, Teacher("random", "", 1), None)
            marks.append(time.process_time())
            session.derived = outcome.derived
            marks.append(time.process_time())
            viewer.screenshot(flash=False)
            marks.append(time.process_time())
            taken.append(np.diff(marks))
        best = 1000 * np.min(taken, axis=0)
        print(
            f"| {each} | {' | '.join(f'{ms:.0f}' for ms in best)} | {best.sum():.0f} |", flush=True
        )
    bridge.close()
    viewer.close()


if __name__ == "__main__":
    main()
