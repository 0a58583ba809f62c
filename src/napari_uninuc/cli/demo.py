"""``uninuc demo``: the main job on a tile that is already here."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from napari_uninuc.cli.messages import progress_bar, report_warning
from napari_uninuc.cli.options import DEFAULT_MODEL, PathArgument, device_option
from napari_uninuc.cli.outputs import require_place

if TYPE_CHECKING:
    from napari_uninuc.core.segmentation import Segmentation
    from napari_uninuc.core.tile import Tile

_RESULTS = ("labels.ome.zarr", "labels.tif", "overlay.png")


@click.command(short_help="Segment a tile that is already here.")
@click.option(
    "--output",
    default="demo-output",
    show_default=True,
    metavar="DIR",
    type=PathArgument,
    help="Folder for the results, made if missing; earlier results are replaced.",
)
@click.option("--gui", is_flag=True, help="Open the result in napari.")
@device_option
def demo(output: Path, gui: bool, device: str) -> None:
    """Segment scikit-image's immunohistochemistry tile with the bundled model.

    Writes labels.ome.zarr (image and nuclei), labels.tif and overlay.png (nuclei outlined).
    Nothing is downloaded.

    \b
    Examples:
      uninuc demo
      uninuc demo --output somewhere --gui
    """
    places = [output / name for name in _RESULTS]
    for place in places:
        require_place(place)
    if gui:
        from napari_uninuc.gui.window.check import require_window

        require_window()
    from napari_uninuc.datasets.sample import immunohistochemistry_tile

    tile = immunohistochemistry_tile()
    segmentation = _segment(tile, device)
    _write(tile, segmentation, places)
    _report(tile, segmentation, places)
    if gui:
        from napari_uninuc.gui.window.show import show_for_correction

        show_for_correction(tile)


def _segment(tile: "Tile", device: str) -> "Segmentation":
    from napari_uninuc.engine.predictor import load_predictor

    predictor = load_predictor(DEFAULT_MODEL, device=device, notice=report_warning)
    with progress_bar("segmenting", "field") as progress:
        predictor.set_image(tile)
        return predictor.segment(progress=progress)


def _write(tile: "Tile", segmentation: "Segmentation", places: list[Path]) -> None:
    from napari_uninuc.cli.overlay import write_overlay
    from napari_uninuc.io.formats import write_segmentation

    *labels, overlay = places
    for place in labels:
        write_segmentation(segmentation, place, tile)
    write_overlay(tile, segmentation.labels, overlay)


def _report(tile: "Tile", segmentation: "Segmentation", places: list[Path]) -> None:
    height, width = tile.shape
    click.echo(f"{len(segmentation.table)} nuclei in {tile.name}, {width} x {height} px")
    for step, seconds in segmentation.timings.items():
        click.echo(f"  {step:8}{seconds:8.2f} s")
    for place in places:
        click.echo(f"wrote {place}")
