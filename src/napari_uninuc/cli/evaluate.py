"""``uninuc evaluate``: measure a model on labelled images."""

from pathlib import Path

import click

from napari_uninuc.cli.messages import progress_bar
from napari_uninuc.cli.options import DEVICES, PathArgument
from napari_uninuc.cli.outputs import require_place


@click.command(short_help="Measure a model on labelled images.")
@click.argument("recipe", metavar="[RECIPE]", required=False, type=PathArgument)
@click.option(
    "--device",
    type=click.Choice(DEVICES),
    help="Where to compute.  [default: the recipe's]",
)
@click.option(
    "--compare",
    nargs=2,
    metavar="A B",
    type=PathArgument,
    help="Compare two report.json of the same images instead of evaluating.",
)
def evaluate(recipe: Path | None, device: str | None, compare: tuple[Path, Path] | None) -> None:
    """Evaluate a model as a TOML recipe says: automatic, and corrected by simulated clicks.

    Prints the scores and saves report.md and report.json in the recipe's output folder.

    With --compare it says instead, image by image, whether B differs from A by more than
    chance: mean difference, bootstrap interval, Wilcoxon signed-rank test.

    \b
    Examples:
      UNINUC_DATA=~/nuclei uninuc evaluate recipes/evaluate-automatic.toml
      uninuc evaluate --compare old/report.json new/report.json
    """
    if (recipe is None) == (compare is None):
        raise click.UsageError("Pass a RECIPE or --compare A B, one of both.")
    if compare is not None:
        _compare(*compare)
    if recipe is not None:
        _evaluate(recipe, device)


def _compare(first: Path, second: Path) -> None:
    from napari_uninuc.evaluation.compare import compare_reports, comparison_text

    click.echo(comparison_text(compare_reports(first, second), str(first), str(second)), nl=False)


def _evaluate(recipe: Path, device: str | None) -> None:
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
