"""``uninuc data``: what public data sets there are, and whether a folder holds one."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from napari_uninuc.cli.messages import progress_bar, report_error, report_warning
from napari_uninuc.cli.options import PathArgument
from napari_uninuc.cli.outputs import require_place
from napari_uninuc.errors import DatasetError

if TYPE_CHECKING:
    import numpy as np

    from napari_uninuc.datasets.checking import Tally
    from napari_uninuc.datasets.folder import LabelledImage
    from napari_uninuc.datasets.public.layout import Layout

_PLAIN = "folder"
_MOST_LINES = 20
"""Unreadable images that are told one by one."""


@click.group(short_help="List and check data sets.", invoke_without_command=True)
@click.pass_context
def data(context: click.Context) -> None:
    """List the data sets that can be read as downloaded, and check a folder.

    \b
    Examples:
      uninuc data list
      uninuc data check ~/nuclei/pannuke --sheet pannuke.png
    """
    if context.invoked_subcommand is None:
        context.invoke(list_)


@data.command("list", short_help="List the public data sets.")
def list_() -> None:
    """List the public data sets: files, splits, classes, scale, licence, and where to get them.

    Nothing is downloaded: licences are accepted on the pages named.
    """
    from napari_uninuc.datasets.public.registry import LAYOUTS

    for layout in LAYOUTS.values():
        click.echo(f"{layout.name:12}  {layout.title}")
        for name, text in _about(layout):
            click.echo(f"{'':12}  {name:8} {text}")
    click.echo(f"{_PLAIN:12}  your own: images/NAME.png, labels/NAME.png, classes/NAME.json")


def _about(layout: "Layout") -> list[tuple[str, str]]:
    counts = [
        f"{' or '.join(map(str, number))}{'' if split == 'all' else f' {split}'}"
        for split, number in layout.counts.items()
    ]
    lines = [
        ("files", layout.expects),
        ("images", ", ".join(counts)),
        ("split", f"{', '.join(layout.splits)}: {layout.split_rule}"),
        ("scale", "unknown or mixed" if layout.mpp is None else f"{layout.mpp} um/px"),
        ("classes", ", ".join(layout.classes)),
        ("licence", layout.licence),
        ("from", layout.source),
    ]
    return [(name, text) for name, text in lines if text]


@data.command(short_help="Count what is in a folder, and say what is wrong.")
@click.argument("folder", metavar="FOLDER", type=PathArgument)
@click.option("--layout", metavar="NAME", help="Data set.  [default: as the files tell]")
@click.option(
    "--sheet",
    metavar="PATH",
    type=PathArgument,
    help="Also draw some of the labels on their pictures, as PNG.",
)
def check(folder: Path, layout: str | None, sheet: Path | None) -> int:
    """Read every image of a data set; count images, nuclei, classes, sizes; tell problems.

    Exit status is 2 where something is missing or cannot be read.

    \b
    Examples:
      uninuc data check ~/nuclei/pannuke
      uninuc data check ~/nuclei/consep --layout consep-7 --sheet consep.png
    """
    from napari_uninuc.cli.contact_sheet import write_sheet
    from napari_uninuc.datasets.checking import find_layouts

    if sheet is not None:
        require_place(sheet)
    layouts = find_layouts(folder) if layout is None else [_named(layout)]
    pieces: list[np.ndarray] = []
    passed = [_check(folder, each, pieces if sheet is not None else None) for each in layouts]
    if sheet is not None and pieces:
        write_sheet(pieces, sheet)
        click.echo(f"contact sheet of {len(pieces)} images in {sheet}")
    return 0 if all(passed) else 2


def _named(name: str) -> "Layout | None":
    from napari_uninuc.datasets.public.registry import LAYOUTS

    if name != _PLAIN and name not in LAYOUTS:
        known = ", ".join((_PLAIN, *LAYOUTS))
        raise click.UsageError(f"--layout: expected one of {known}, got {name!r}")
    return LAYOUTS.get(name)


def _check(folder: Path, layout: "Layout | None", pieces: "list[np.ndarray] | None") -> bool:
    """Check one layout, print what was found, and say whether all is well."""
    from napari_uninuc.datasets.folder import read_folder
    from napari_uninuc.datasets.public.registry import (
        checked_archives,
        count_problems,
        list_layout,
    )

    problems: list[str] = []
    images: list[LabelledImage] = []
    if layout is None:
        images += read_folder(folder)
    else:
        public = list_layout(layout, folder)
        problems += count_problems(layout, public)
        images += public
        for name, whole in checked_archives(layout, folder):
            click.echo(f"{name}: {'as published' if whole else 'NOT as published'} (sha256)")
            if not whole:
                problems.append(f"{folder / name}: not the published file; download it again")
    tally, unreadable = _read_all(images, pieces)
    _echo_found(folder, layout, tally)
    unnumbered = tally.numbering.problem() if layout is None else None
    if unnumbered is not None:
        problems.append(f"{folder}: {unnumbered}")
    problems += unreadable[:_MOST_LINES]
    if len(unreadable) > _MOST_LINES:
        problems.append(f"and {len(unreadable) - _MOST_LINES} more images that cannot be read")
    for remark in tally.remarks():
        report_warning(f"{folder}: {remark}")
    for problem in problems:
        report_error(problem)
    return not problems


def _read_all(
    images: "list[LabelledImage]", pieces: "list[np.ndarray] | None"
) -> "tuple[Tally, list[str]]":
    """Read image by image; those for the sheet are spread over the whole."""
    from napari_uninuc.cli.contact_sheet import PIECES, piece_of
    from napari_uninuc.datasets.checking import Tally

    tally, unreadable = Tally(), []
    shown = {k * len(images) // PIECES for k in range(PIECES)} if pieces is not None else set()
    with progress_bar("checking", "image") as progress:
        for k, image in enumerate(images):
            progress(k + 1, len(images))
            try:
                read = image.read()
            except DatasetError as problem:
                unreadable.append(str(problem))
                continue
            tally.add(image, read)
            if pieces is not None and k in shown:
                pieces.append(piece_of(read.tile, read.labels))
    return tally, unreadable


def _echo_found(folder: Path, layout: "Layout | None", tally: "Tally") -> None:
    title = "images and labels" if layout is None else f"{layout.name}, {layout.title}"
    click.echo(f"{folder}: {title}")
    sizes = [f"{h} x {w} px ({n})" for (h, w), n in tally.sizes.most_common(3)]
    more = len(tally.sizes) - len(sizes)
    click.echo(f"  sizes    {', '.join(sizes)}{f', and {more} more' if more > 0 else ''}")
    click.echo(f"  scale    {_scale(layout, tally)}")
    for split, number in tally.images.items():
        click.echo(f"  {split:8} {number} images, {tally.nuclei[split]} nuclei")
    click.echo(f"  in all   {tally.images.total()} images, {tally.nuclei.total()} nuclei")
    click.echo(f"  classes  {_numbers(tally.classes) or 'none'}")


def _scale(layout: "Layout | None", tally: "Tally") -> str:
    mpp, diameter = layout.mpp if layout is not None else None, tally.median_diameter_px
    known = "unknown" if mpp is None else f"{mpp} um/px as published"
    if diameter is None:
        return known
    width = f"{diameter:.1f} px" + ("" if mpp is None else f" ({diameter * mpp:.1f} um)")
    return f"{known}; half of the nuclei are wider than {width}"


def _numbers(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in counter.most_common())
