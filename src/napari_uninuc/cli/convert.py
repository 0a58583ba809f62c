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
    """Turn a label image (PNG, TIFF, OME-TIFF or OME-Zarr; 0 is background) into another format.

    Ids are kept, and so are classes and scores of an OME-Zarr where the new format holds them.
    The scale is read from a TIFF or OME-Zarr that states it.

    \b
    Examples:
      uninuc convert labels.tif --output nuclei.csv --mpp 0.25
      uninuc convert labels.png --output labels.ome.zarr
      uninuc convert labels.ome.zarr --output labels.tif
    """
    from napari_uninuc.io.formats import write_segmentation
    from napari_uninuc.io.labels import read_segmentation

    [(source, target)] = plan_outputs([labels], output, None)
    stored = read_segmentation(source)
    write_segmentation(stored.segmentation, target, mpp=stored.mpp if mpp is None else mpp)
    click.echo(f"{source} -> {target}: {len(stored.segmentation.table)} nuclei")
