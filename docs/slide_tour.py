"""Open a slide in napari, draw a region, outline it: the picture of docs/slides.md.

xvfb-run -a -s "-screen 0 1400x900x24 +extension GLX" python docs/slide_tour.py [--output DIR]

The slide is scikit-image's immunohistochemistry tile, mirrored where it repeats, on glass; mouse
and keys are real events. The nuclei must lie on the slide to the pixel, which is checked.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import napari
import numpy as np
import tifffile
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_uninuc.datasets.sample import immunohistochemistry_tile
from napari_uninuc.gui.widget import CorrectNucleiWidget

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "gui"))
from driving import Canvas  # the tests' mouse and keys

_LONGEST_S = 120.0
_MPP = 0.25
_GLASS = 243
_FIRST, _LAST = (900, 900), (1500, 1800)
"""Corners of the region, px of the slide."""


@click.command()
@click.option("--output", default="docs/pictures", type=click.Path(path_type=Path))
def main(output: Path) -> None:
    """Write region.png."""
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["UNINUC_SESSIONS"] = scratch
        slide = Path(scratch) / "slide.ome.tif"
        _write_slide(slide)
        viewer = napari.Viewer(title="UniNuc")
        canvas = Canvas(viewer)
        canvas.window.resize(1400, 900)
        QTest.qWaitForWindowExposed(canvas.window)
        canvas.window.activateWindow()
        widget = CorrectNucleiWidget(viewer)
        viewer.window.add_dock_widget(widget, name="UniNuc: correct nuclei", area="right")
        widget.hint.hide()
        _correct(viewer, canvas, widget, slide)
        viewer.window.screenshot(str(output / "region.png"), flash=False, canvas_only=False)
        widget.close_desks()
        viewer.close()
    click.echo(f"wrote {output / 'region.png'}")


def _correct(
    viewer: napari.Viewer, canvas: Canvas, widget: CorrectNucleiWidget, path: Path
) -> None:
    """Open the slide, draw a region and outline it."""
    bench, slides = widget.workbench, widget.slides

    def settled() -> None:
        _until(lambda: bench.run is None and not bench.worker.tasks)
        canvas.settle()

    (layer,) = viewer.open(str(path), plugin="napari-uninuc")
    _until(lambda: slides.current is not None)
    settled()
    canvas.key(Qt.Key.Key_R)
    canvas.drag([_FIRST, (1200, 1300), _LAST], layer)
    _until(lambda: slides.region is not None)
    settled()
    widget.outline.start.click()
    settled()
    slides.tour.go_to(slides.region)  # as a double click in the list does
    bench.desk.bridge.flush()
    QTest.qWait(500)
    region = bench.desk.session.tile
    y, x = region.origin_yx_slide
    height, width = region.shape
    on_slide = np.asarray(layer.data[0][y : y + height, x : x + width])
    assert np.array_equal(on_slide, region.rgb), "the region is the slide's pixels"
    click.echo(f"region {width} x {height} px, {len(bench.desk.session.labels)} nuclei")


def _until(condition: Callable[[], bool]) -> None:
    """Let the window go on until something is so."""
    ends = time.monotonic() + _LONGEST_S
    while not condition():
        if time.monotonic() > ends:
            raise TimeoutError(f"waited {_LONGEST_S:.0f} s in vain")
        QTest.qWait(10)


def _write_slide(path: Path) -> None:
    """Real tissue in the middle of glass, three levels."""
    piece = immunohistochemistry_tile().rgb
    row = np.concatenate([piece, piece[:, ::-1]] * 2, axis=1)
    tissue = np.concatenate([row, row[::-1]] * 2, axis=0)
    slide = np.full((tissue.shape[0] + 1000, tissue.shape[1] + 1600, 3), _GLASS, np.uint8)
    slide[500:-500, 800:-800] = tissue
    levels = [slide, slide[::2, ::2], slide[::4, ::4]]
    layout = {"tile": (256, 256), "photometric": "rgb", "compression": "deflate"}
    scale = {"axes": "YXS", "PhysicalSizeX": _MPP, "PhysicalSizeY": _MPP}
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(levels[0], subifds=2, metadata=scale, **layout)
        for level in levels[1:]:
            writer.write(level, subfiletype=1, **layout)


if __name__ == "__main__":
    main()
