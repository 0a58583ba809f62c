"""``uninuc convert``: a label file into another format."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from napari_uninuc.cli.messages import report_warning
from napari_uninuc.cli.options import (
    PathArgument,
    mpp_option,
    only_class_option,
    only_reviewed_option,
    qupath_objects_option,
)
from napari_uninuc.cli.outputs import plan_outputs

if TYPE_CHECKING:
    from napari_uninuc.core.tile import Tile
    from napari_uninuc.io.dicom_slide import DicomSlide
    from napari_uninuc.io.dicom_terms import Code
    from napari_uninuc.io.formats import QuPathObjects
    from napari_uninuc.io.shapes import Through


_ANNOTATIONS = ".ann.dcm"


@click.command(short_help="Turn a label file into another format.")
@click.argument("labels", metavar="LABELS", type=PathArgument)
@click.option(
    "--output",
    required=True,
    metavar="PATH",
    type=PathArgument,
    help="Result; its suffix is the format: .tif, .ome.tif, .png, .ome.zarr, .geojson, "
    ".geojson.gz, .coco.json, .rois.zip, .ann.dcm, .seg.dcm, .sd.zarr, _seg.npy, .csv, .parquet.",
)
@mpp_option
@click.option(
    "--like",
    metavar="IMAGE",
    type=PathArgument,
    help="The picture: gives the size that a GeoJSON of another program does not state, says "
    "which picture of a COCO file is meant, gives the pixels of an .ome.zarr, and the colours in "
    "a table.",
)
@click.option(
    "--origin",
    nargs=2,
    type=int,
    metavar="Y X",
    help="Where the picture's first pixel lies on the slide, in px, for a GeoJSON of another "
    "program.  [default: what the file says, else 0 0]",
)
@click.option(
    "--outlines",
    type=click.Choice(["corners", "centres"]),
    help="Where outlines of LABELS run: around pixels, or through the centres of the outermost "
    "ones.  [default: as the program that writes such files does]",
)
@click.option(
    "--slide",
    metavar="PATH",
    type=PathArgument,
    help="DICOM slide, a folder or a file of it, that an .ann.dcm or .seg.dcm is about.",
)
@click.option(
    "--class-code",
    "class_codes",
    multiple=True,
    metavar="NAME=SCHEME:VALUE:MEANING",
    help="Code of a class in DICOM, such as tumour=SCT:252987004:Cancer cell; may be "
    "repeated.  [default: SCT:84640000:Nucleus]",
)
@only_reviewed_option
@only_class_option
@qupath_objects_option
def convert(
    labels: Path,
    output: Path,
    mpp: float | None,
    like: Path | None,
    origin: tuple[int, int] | None,
    outlines: "Through | None",
    slide: Path | None,
    class_codes: tuple[str, ...],
    only_reviewed: bool,
    only_class: str | None,
    qupath_objects: "QuPathObjects",
) -> None:
    """Turn a label file into another format.

    It may be PNG, TIFF, OME-TIFF, OME-Zarr, GeoJSON, COCO, cellpose's _seg.npy, an ImageJ ROI
    set, JSON of HoVer-Net or CellViT, a tiatoolbox store, XML of ASAP
    or ImageScope, DICOM annotations, or a DICOM segmentation of a slide. The folder that
    uninuc slide wrote becomes .ann.dcm, however large the slide is.

    0 is background. Ids are kept, and so are class, score, status and colours where the new
    format holds them. Scale and place on the slide are read where the file states them. Tables
    (.csv, .parquet) hold no outlines, so they are written only.

    \b
    Examples:
      uninuc convert labels.tif --output nuclei.csv --mpp 0.25
      uninuc convert labels.ome.zarr --output nuclei.geojson.gz
      uninuc convert qupath.geojson --output labels.tif --like tile.png
      uninuc convert results --output nuclei.ann.dcm --slide slide.dcm
    """
    from napari_uninuc.core.nuclei import Status
    from napari_uninuc.io.formats import write_segmentation
    from napari_uninuc.io.labels import read_segmentation

    [(source, target)] = plan_outputs([labels], output, None, [like])
    if run := _run_of(source, target):
        status = Status.REVIEWED if only_reviewed else None
        count = _slide_annotations(run, target, status, only_class, slide, class_codes)
        click.echo(f"{source} -> {target}: {count} nuclei")
        return
    tile = None if like is None else _picture(like, mpp)
    shape = None if tile is None else tile.shape
    stored = read_segmentation(source, shape, origin, like, outlines)
    kept = stored.segmentation.only(Status.REVIEWED if only_reviewed else None, only_class)
    write_segmentation(
        kept,
        target,
        tile,
        stored.mpp if mpp is None else mpp,
        origin_yx_slide=stored.origin_yx_slide,
        qupath_objects=qupath_objects,
        slide=None if slide is None else _dicom_slide(slide),
        codes=_codes(class_codes),
    )
    if stored.notice:
        report_warning(f"{source}: {stored.notice}")
    click.echo(f"{source} -> {target}: {len(kept.table)} nuclei")


def _run_of(source: Path, target: Path) -> Path | None:
    """Find the folder of a run of `uninuc slide` that was named; None where none was."""
    from napari_uninuc.errors import LabelsError
    from napari_uninuc.slides.state import STATE
    from napari_uninuc.slides.summary import OUTPUTS

    to_annotations = target.name.lower().endswith(_ANNOTATIONS)
    if (source / STATE).is_file():
        if to_annotations:
            return source
        raise LabelsError(
            f"{source}: expected a file, got the result of a slide, which becomes {_ANNOTATIONS} "
            f"only; name {OUTPUTS['geojson']} or {OUTPUTS['labels']} in it"
        )
    inside = source.name == OUTPUTS["labels"] and (source.parent / STATE).is_file()
    return source.parent if inside and to_annotations else None


def _slide_annotations(
    folder: Path,
    target: Path,
    status: str | None,
    only_class: str | None,
    slide: Path | None,
    class_codes: tuple[str, ...],
) -> int:
    from napari_uninuc.slides.annotations import slide_nuclei, write_slide_annotations
    from napari_uninuc.slides.results import open_result

    result = open_result(folder)
    nuclei = slide_nuclei(result, status, only_class)
    described = None if slide is None else _dicom_slide(slide)
    write_slide_annotations(result, nuclei, target, described, _codes(class_codes))
    return len(nuclei.table)


def _picture(path: Path, mpp: float | None) -> "Tile":
    from napari_uninuc.io.images import read_image

    return read_image(path, mpp)


def _dicom_slide(path: Path) -> "DicomSlide":
    from napari_uninuc.io.dicom_slide import read_dicom_slide

    return read_dicom_slide(path)


def _codes(stated: tuple[str, ...]) -> "dict[str, Code]":
    from napari_uninuc.io.dicom_terms import Code

    found = {}
    for each in stated:
        name, _, code = each.partition("=")
        parts = code.split(":", 2)
        if not name or len(parts) < 3 or not all(parts):
            raise click.BadParameter(
                f"expected NAME=SCHEME:VALUE:MEANING, got {each!r}", param_hint="--class-code"
            )
        found[name] = Code(parts[1], parts[0], parts[2])
    return found
