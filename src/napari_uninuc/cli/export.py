"""``uninuc export``: saved correction sessions as a file, a report, or a set to train on."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from napari_uninuc.cli.messages import report_warning
from napari_uninuc.cli.options import (
    PathArgument,
    only_class_option,
    only_reviewed_option,
    qupath_objects_option,
)
from napari_uninuc.cli.outputs import plan_outputs, require_kept, require_place

if TYPE_CHECKING:
    from napari_uninuc.io.formats import QuPathObjects
    from napari_uninuc.session.autosave import Restored


@click.command(short_help="Export a saved correction session, or report on it.")
@click.argument("sessions", metavar="SESSION...", type=PathArgument, nargs=-1, required=True)
@click.option(
    "--output",
    metavar="PATH",
    type=PathArgument,
    help="Nuclei; the suffix is the format, as in uninuc convert.",
)
@click.option(
    "--report",
    metavar="PATH",
    type=PathArgument,
    help="A page on what was changed, when and by whom: .html or .md.",
)
@click.option(
    "--training-set",
    metavar="FOLDER",
    type=PathArgument,
    help="Pictures and reviewed nuclei of all sessions, in a new folder for uninuc train.",
)
@click.option(
    "--like",
    metavar="IMAGE",
    type=PathArgument,
    help="The picture, for a session that was cut off before its picture was saved with it.",
)
@only_reviewed_option
@only_class_option
@qupath_objects_option
def export(
    sessions: tuple[Path, ...],
    output: Path | None,
    report: Path | None,
    training_set: Path | None,
    like: Path | None,
    only_reviewed: bool,
    only_class: str | None,
    qupath_objects: "QuPathObjects",
) -> None:
    """Export the nuclei of a saved session (a folder), write a report on it, or both.

    With --training-set, several sessions become one set of corrected pictures.

    The folder is only read, and needs nothing besides: it may have been copied from elsewhere.
    After a crash or on a damaged disk, what is certain is exported and a warning says what is not.

    \b
    Examples:
      uninuc export SESSION --output nuclei.geojson
      uninuc export SESSION --output reviewed.csv --only-reviewed
      uninuc export SESSION --report session.html
      uninuc export SESSION SESSION --training-set corrected
    """
    if len(sessions) > 1 and (output is not None or report is not None):
        raise click.UsageError(
            f"expected one session for --output or --report, got {len(sessions)}; export each apart"
        )
    if training_set is None or output is not None or report is not None:
        _export(sessions[0], output, report, like, only_reviewed, only_class, qupath_objects)
    if training_set is not None:
        _write_training_set(sessions, training_set)


def _export(
    session: Path,
    output: Path | None,
    report: Path | None,
    like: Path | None,
    only_reviewed: bool,
    only_class: str | None,
    qupath_objects: "QuPathObjects",
) -> None:
    _plan(session, output, report, like)
    from napari_uninuc.io.images import read_image
    from napari_uninuc.session.autosave import restore

    restored = restore(session, None if like is None else read_image(like))
    if restored.problem is not None:
        report_warning(restored.problem)
    if output is not None:
        count = _write_nuclei(restored, output, only_reviewed, only_class, qupath_objects)
        click.echo(f"{session} -> {output}: {count} nuclei")
    if report is not None:
        _write_report(session, restored, report)
        click.echo(f"{session} -> {report}: {restored.changes} changes")


def _plan(session: Path, output: Path | None, report: Path | None, like: Path | None) -> None:
    """Refuse what cannot be written, before anything is read."""
    from napari_uninuc.journal.report import report_suffix

    if output is None and report is None:
        raise click.UsageError(
            "expected --output, --report or --training-set, got none; name a file"
        )
    if report is not None:
        report_suffix(report)
        require_kept([session, like], [report])
        require_place(report)
    if output is not None:
        plan_outputs([session], output, None, [like])


def _write_training_set(sessions: tuple[Path, ...], folder: Path) -> None:
    from napari_uninuc.io.training_set import write_training_set
    from napari_uninuc.session.autosave import restore

    require_place(folder / "card.toml")
    pictures = []
    for session in sessions:
        restored = restore(session)
        if restored.problem is not None:
            report_warning(restored.problem)
        pictures.append((restored.session.tile, restored.session.segmentation()))
    write_training_set(pictures, folder)
    click.echo(f"{len(pictures)} pictures -> {folder}")


def _write_nuclei(
    restored: "Restored",
    output: Path,
    only_reviewed: bool,
    only_class: str | None,
    qupath_objects: "QuPathObjects",
) -> int:
    from napari_uninuc.core.nuclei import Status
    from napari_uninuc.io.formats import write_segmentation

    nuclei = restored.session.segmentation()
    kept = nuclei.only(Status.REVIEWED if only_reviewed else None, only_class)
    write_segmentation(kept, output, restored.session.tile, qupath_objects=qupath_objects)
    return len(kept.table)


def _write_report(session: Path, restored: "Restored", report: Path) -> None:
    from napari_uninuc.journal.folder import read_heading
    from napari_uninuc.journal.report import write_report

    tile = restored.session.tile
    write_report(session, read_heading(session), tile, report, _stain_rows(restored))


def _stain_rows(restored: "Restored") -> list[list[str]]:
    """Scores of all nuclei and of each class; nothing for a picture without DAB."""
    from napari_uninuc.core.stain import Levels, score_classes
    from napari_uninuc.engine.restain import may_be_brown

    tile, nuclei = restored.session.tile, restored.session.segmentation()
    if not may_be_brown(tile.rgb.reshape(-1, 3)):
        return []
    names = [str(name) for name in nuclei.table["class"].unique()]
    scored = score_classes(tile, nuclei, Levels(), names if len(names) > 1 else [])
    return [[name, *score.cells()] for name, score in scored]
