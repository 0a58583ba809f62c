"""``uninuc compare``: where readers of one picture agree, and every place where they do not."""

from contextlib import ExitStack
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING

import click

from napari_uninuc.cli.messages import report_warning
from napari_uninuc.cli.options import PathArgument
from napari_uninuc.cli.outputs import require_kept, require_place
from napari_uninuc.errors import OutputError

if TYPE_CHECKING:
    from napari_uninuc.agreement.comparison import Comparison
    from napari_uninuc.agreement.reading import Reading


@click.command(short_help="Compare what two or more readers outlined in one picture.")
@click.argument("a", metavar="A", type=PathArgument)
@click.argument("b", metavar="B", type=PathArgument)
@click.argument("more", metavar="[MORE]...", type=PathArgument, nargs=-1)
@click.option(
    "--output",
    required=True,
    metavar="PATH",
    type=PathArgument,
    help="Page with figures and pictures, .html; the numbers are written beside it, .json.",
)
@click.option(
    "--table",
    metavar="PATH",
    type=PathArgument,
    help="Every nucleus and disagreement of A and B, one a row: .csv or .parquet.",
)
@click.option(
    "--like",
    metavar="PICTURE",
    type=PathArgument,
    help="The picture or slide: shown in the page, and gives the size that a GeoJSON of another "
    "program does not state. Sessions bring their own.",
)
def compare(
    a: Path, b: Path, more: tuple[Path, ...], output: Path, table: Path | None, like: Path | None
) -> None:
    """Compare what two or more readers outlined in one picture.

    Each is a saved session (a folder), a label file, or a folder of uninuc slide. The page tells
    which nuclei both have, which only one has, which are split, merged or of another class, and
    how well the readers agree, on the whole and by region.

    \b
    Examples:
      uninuc compare anna.geojson ben.geojson --like tile.png --output agreement.html
      uninuc compare SESSION SESSION --output agreement.html --table findings.csv
    """
    _plan((a, b, *more, like), output, table)
    from napari_uninuc.agreement.comparison import fleiss_kappa
    from napari_uninuc.agreement.crops import lent_crops
    from napari_uninuc.agreement.report import Agreement, write_report
    from napari_uninuc.agreement.table import write_findings

    readings = _read((a, b, *more), like)
    comparisons = _compare(readings)
    fleiss = fleiss_kappa(comparisons[: len(readings) - 1]) if more else None
    with ExitStack() as lent:
        crops = [lent.enter_context(lent_crops(like, each.a, each.b)) for each in comparisons]
        numbers = write_report(Agreement(comparisons, crops, fleiss), output)
    if table is not None:
        write_findings(comparisons[0], table)
    for each in comparisons:
        _tell(each)
    click.echo(" and ".join(str(path) for path in (output, numbers, table) if path is not None))


def _plan(sources: tuple[Path | None, ...], output: Path, table: Path | None) -> None:
    """Refuse what cannot be written, before anything is read."""
    from napari_uninuc.agreement.table import table_suffix

    if output.suffix.lower() != ".html":
        raise OutputError(
            f"{output}: expected a name that ends in .html, got {output.name!r}; change the ending"
        )
    targets = [output, output.with_suffix(".json"), *([] if table is None else [table])]
    if table is not None:
        table_suffix(table)
    require_kept(sources, targets)
    for target in targets:
        require_place(target)


def _read(paths: tuple[Path, ...], like: Path | None) -> list["Reading"]:
    """Open all readings, named so that they can be told apart."""
    from dataclasses import replace

    from napari_uninuc.agreement.reading import open_reading

    shape = None if like is None else _shape_of(like)
    readings = [open_reading(path, shape, like) for path in paths]
    for path, reading in zip(paths, readings, strict=True):
        if reading.notice:
            report_warning(f"{path}: {reading.notice}")
    if len({each.name for each in readings}) < len(readings):
        return [replace(r, name=str(path)) for path, r in zip(paths, readings, strict=True)]
    return readings


def _shape_of(like: Path) -> tuple[int, int] | None:
    """Size of a picture; None of a slide, whose readings say their own."""
    from napari_uninuc.io.images import read_image
    from napari_uninuc.slides.opening import is_slide

    return None if is_slide(like) else read_image(like).shape


def _compare(readings: list["Reading"]) -> list["Comparison"]:
    """Compare every pair, those of the first reader first."""
    from itertools import combinations

    from napari_uninuc.agreement.comparison import compare as compare_two

    return [compare_two(one, other) for one, other in combinations(readings, 2)]


def _tell(comparison: "Comparison") -> None:
    from napari_uninuc.agreement.kinds import Kind

    total, figures = comparison.total, comparison.figures
    differing = ", ".join(
        f"{total[kind]} {kind.value.replace('_', ' ')}" for kind in Kind if kind is not Kind.MATCHED
    )
    f1 = "" if isnan(figures.f1[0].value) else f"; F1 {figures.f1[0].value:.3f} at IoU 0.5"
    click.echo(
        f"{comparison.a.name} (A) and {comparison.b.name} (B): {total[Kind.MATCHED]} matched, "
        f"{differing}{f1}"
    )
