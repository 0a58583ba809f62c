"""``uninuc convert``: a label file into another format."""

from pathlib import Path

import click

from napari_uninuc.cli.options import PathArgument, mpp_option
from napari_uninuc.cli.outputs import plan_outputs


@click.command(short_help="Turn a label image into another format.")
@click.argument("labels", metavar="LABELS", type=PathArgument)
@click.option(
    "--output",
    required=True,
    metavar="PATH",
    type=PathArgument,
    help="Result; its suffix is the format: .tif, .ome.tif, .ome.zarr, .csv ...",
)
@mpp_option
def convert(labels: Path, output: Path, mpp: float | None) -> None:
    """Turn a label image (PNG, TIFF or OME-TIFF; 0 is background) into another format.

    Ids are kept. The scale is read from a TIFF that states it.

    \b
    Examples:
      uninuc convert labels.tif --output nuclei.csv --mpp 0.25
      uninuc convert labels.png --output labels.ome.zarr
    """
    from napari_uninuc.core.segmentation import Segmentation
    from napari_uninuc.io.formats import write_segmentation
    from napari_uninuc.io.labels import read_labels

    [(source, target)] = plan_outputs([labels], output, None)
    segmentation = Segmentation.from_labels(read_labels(source))
    write_segmentation(segmentation, target, mpp=_stated_mpp(source) if mpp is None else mpp)
    click.echo(f"{source} -> {target}: {len(segmentation.table)} nuclei")


def _stated_mpp(source: Path) -> float | None:
    """Read the scale of a label file that `read_labels` has accepted."""
    import tifffile

    from napari_uninuc.io.resolution import mpp_of_tiff
    from napari_uninuc.io.sources import is_tiff

    if not is_tiff(source):
        return None
    with tifffile.TiffFile(source) as tif:
        return mpp_of_tiff(tif)
