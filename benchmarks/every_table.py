"""Every table of the docs again, one after the other: what was printed lies in files.

python benchmarks/every_table.py DATA OUTPUT [--only NAME]... [--before TREE] [--list]

DATA is the folder of labelled pictures (``$UNINUC_DATA``). Each table is a program of its own that
prints into ``OUTPUT/NAME.txt``; a table that has ended well is not made again, so that a run that
was stopped goes on with the same command. Tables that compare with another build need ``--before``,
a checkout of it, and are left out without one.
"""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import click

_HERE = Path(__file__).resolve().parent
_TREE = _HERE.parent


@dataclass(frozen=True, slots=True)
class Table:
    """What prints a table.

    Attributes
    ----------
    page : of the docs, where the figures stand
    arguments : of Python, or of ``uninuc`` where the first is a recipe; DATA, OUTPUT and BEFORE
        are replaced
    """

    page: str
    arguments: tuple[str, ...]


TABLES = {
    "speed": Table("speed", ("against_sam2", "--rounds", "2", "--output", "OUTPUT/against-sam2")),
    "window": Table("speed", ("window_stalls.py", "BEFORE", "TREE")),
    "training-speed": Table(
        "speed",
        (
            *("training_speed.py", "BEFORE/src", "BEFORE/recipes/uninuc-n-4.toml"),
            *("TREE/recipes/uninuc-n-8.toml", "--runs", "2"),
            *("--initial", "BEFORE/models/uninuc-n/model.safetensors"),
        ),
    ),
    "automatic-cost": Table("speed", ("automatic_cost.py", "DATA", "BEFORE")),
    "windows-and-whole": Table(
        "speed", ("local_and_whole.py", "DATA", "--output", "OUTPUT/local-and-whole")
    ),
    "automatic": Table("experiments", ("evaluate-automatic.toml",)),
    "interactive": Table("experiments", ("evaluate-interactive.toml",)),
    "unseen": Table("experiments", ("evaluate-unseen.toml",)),
    "brown-views": Table("experiments", ("brown_views.py", "DATA")),
    "where-it-fails": Table("experiments", ("where_it_fails.py",)),
    "open": Table("experiments", ("evaluate-open.toml",)),
    "proposers": Table("experiments", ("tune_proposer.py", "DATA")),
    "next-points": Table("experiments", ("next_points.py", "DATA", "--outlines")),
    "dense-decoders": Table("experiments", ("dense_decoders.py", "DATA")),
    "first-clicks": Table("experiments", ("first_clicks.py",)),
    "one-click": Table("experiments", ("fix_in_place.py", "DATA", "--per-tile", "0")),
    "u-net": Table("experiments", ("unet_watershed.py", "--output", "OUTPUT/unet")),
    "half-resolution": Table(
        "experiments", ("half_resolution.py", "DATA", "OUTPUT/half-resolution")
    ),
    "classes": Table("classes", ("classes_from_clicks.py", "DATA/consep")),
    "classes-in-window": Table("classes", ("classes_in_window.py",)),
    "review": Table("review", ("review_order.py", "DATA")),
    "learning": Table("learn", ("learn_from_corrections.py", "DATA")),
    "stain": Table("stain", ("stain_indices.py", "DATA/monuseg/test", "--count", "14")),
    "formats": Table("formats", ("export_formats.py",)),
    "slide": Table("slides", ("slide_run.py", "--side", "3000", "--check")),
    "putting-together": Table("slides", ("put_together.py", "BEFORE/src")),
    "readers": Table("two-readers", ("compare_readers.py", "--slide", "100")),
    "server": Table("serve", ("serve.py",)),
    "keeping": Table("correct-nuclei", ("session_costs.py",)),
    "killed": Table("correct-nuclei", ("kill_sessions.py", "--kills", "300")),
    "damaged": Table("limits", ("fuzz_readers.py",)),
    "organs": Table("explain", ("organ_classifier.py", "DATA", "OUTPUT/organs")),
}


@click.command(help=__doc__)
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("output", type=click.Path(file_okay=False, path_type=Path))
@click.option("--only", multiple=True, type=click.Choice(list(TABLES)), help="These alone.")
@click.option("--before", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--list", "listing", is_flag=True, help="Say what would be run, and run nothing.")
def main(
    data: Path, output: Path, only: tuple[str, ...], before: Path | None, listing: bool
) -> None:
    """Run what was not run yet; the exit status is 1 where something failed."""
    output = output.resolve()
    names = {"DATA": data.resolve(), "OUTPUT": output, "TREE": _TREE, "BEFORE": before}
    failed = []
    for name in only or TABLES:
        table = TABLES[name]
        if before is None and any(each.startswith("BEFORE") for each in table.arguments):
            click.echo(f"{name:20} left out: needs --before, a checkout of another build")
            continue
        command = [sys.executable, *_command(table.arguments, names)]
        if listing:
            click.echo(f"{name:20} {' '.join(command[1:])}")
        elif not _made(name, command, table.page, data.resolve(), output):
            failed.append(name)
    if failed:
        raise click.ClickException(f"not made: {', '.join(failed)}; see their files in {output}")


def _command(arguments: tuple[str, ...], names: dict[str, Path | None]) -> list[str]:
    """What Python is given; places have their names replaced."""
    first, *rest = arguments
    if first.endswith(".toml"):
        return ["-m", "napari_uninuc.cli.app", "evaluate", str(_TREE / "recipes" / first)]
    return [str(_HERE / first), *[_placed(each, names) for each in rest]]


def _placed(argument: str, names: dict[str, Path | None]) -> str:
    head, slash, rest = argument.partition("/")
    return argument if head not in names else f"{names[head]}{slash}{rest}"


def _made(name: str, command: list[str], page: str, data: Path, output: Path) -> bool:
    """Run one into its file, unless it lies there; whether it is there now."""
    target, partial = output / f"{name}.txt", output / f"{name}.part"
    if target.exists():
        click.echo(f"{name:20} there already")
        return True
    output.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    with partial.open("w", encoding="utf-8") as file:
        done = subprocess.run(
            command,
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=output,
            env={**os.environ, "UNINUC_DATA": str(data)},
            check=False,
        )
    minutes = (time.perf_counter() - began) / 60
    if done.returncode:
        click.echo(f"{name:20} failed after {minutes:.1f} minutes: {partial}")
        return False
    partial.replace(target)
    click.echo(f"{name:20} {minutes:.1f} minutes, for docs/{page}.md")
    return True


if __name__ == "__main__":
    main()
