"""``uninuc evaluate``: measure a model on labelled images."""

from pathlib import Path

import click

from napari_uninuc.cli.messages import progress_bar
from napari_uninuc.cli.options import DEVICES, PathArgument
from napari_uninuc.cli.outputs import require_place


@click.command(short_help="Measure a model on labelled images.")
@click.argument("recipe", metavar="RECIPE", type=PathArgument)
@click.option(
    "--device",
    type=click.Choice(DEVICES),
    help="Where to compute.  [default: the recipe's]",
)
def evaluate(recipe: Path, device: str | None) -> None:
    """Evaluate a model as a TOML recipe says: automatic, and corrected by simulated clicks.

    Prints the scores and saves report.md and report.json in the recipe's output folder.

    \b
    Example:
      UNINUC_DATA=~/nuclei uninuc evaluate recipes/evaluate-automatic.toml
    """
    from napari_uninuc.evaluation.recipe import read_recipe, run_evaluation
    from napari_uninuc.evaluation.report import to_text, write_report

    values = read_recipe(recipe)
    if device is not None:
        values = values.model_copy(update={"device": device})
    for name in ("report.md", "report.json"):
        require_place(values.output / name)
    with progress_bar("evaluating", "image") as progress:
        report = run_evaluation(values, progress)
    click.echo(to_text(report), nl=False)
    click.echo(f"saved in {write_report(report, values.output)}")
