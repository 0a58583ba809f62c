"""``uninuc evaluate``: measure a model on labelled images."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from napari_uninuc.cli.messages import progress_bar, report_warning
from napari_uninuc.cli.options import DEVICES, PathArgument, adapter_option
from napari_uninuc.cli.outputs import require_place

if TYPE_CHECKING:
    from napari_uninuc.evaluation.recipe import EvaluationRecipe
    from napari_uninuc.evaluation.report import Report


@click.command(short_help="Measure a model on labelled images.")
@click.argument("paths", metavar="[RECIPE]", nargs=-1, type=PathArgument)
@click.option(
    "--device",
    type=click.Choice(DEVICES),
    help="Where to compute.  [default: the recipe's]",
)
@adapter_option
@click.option(
    "--smoke",
    is_flag=True,
    help="Try the recipe out: one picture of each data set, few clicks; nothing is kept.",
)
@click.option(
    "--calibrate",
    is_flag=True,
    help="Fit the IoU expected of automatic outlines on the recipe's data sets, and write it "
    "onto the model's card. Not on pictures to be tested on.",
)
@click.option(
    "--compare",
    nargs=2,
    metavar="A B",
    type=PathArgument,
    help="Compare two report.json of the same images instead of evaluating; of more, named after "
    "them, say who wins against whom.",
)
@click.option(
    "--mean",
    is_flag=True,
    help="Average two or more report.json, of folds or of seeds of training, instead of "
    "evaluating.",
)
def evaluate(
    paths: tuple[Path, ...],
    device: str | None,
    adapter: Path | None,
    smoke: bool,
    calibrate: bool,
    compare: tuple[Path, Path] | None,
    mean: bool,
) -> None:
    """Evaluate a model as a TOML recipe says: automatic, and corrected by simulated clicks.

    Prints the scores and saves report.md and report.json in the recipe's output folder.

    With --compare it says instead, image by image, whether B differs from A by more than
    chance: mean difference, bootstrap interval, Wilcoxon signed-rank test; of more than two
    reports, how many of the others each beats and loses to. With --mean it averages
    what several reports say, over their pictures, over tissues, and tissue by tissue.

    \b
    Examples:
      UNINUC_DATA=~/nuclei uninuc evaluate recipes/evaluate-automatic.toml
      uninuc evaluate --compare old/report.json new/report.json
      uninuc evaluate --compare ais/report.json apg/report.json detector/report.json
      uninuc evaluate --mean split1/report.json split2/report.json split3/report.json
    """
    if mean and compare is not None:
        raise click.UsageError("Pass --compare A B or --mean REPORT..., one of both.")
    if mean:
        _mean(paths)
        return
    if compare is not None:
        if any(path.suffix == ".toml" for path in paths):
            raise click.UsageError("Pass a RECIPE or --compare A B, one of both.")
        _compare(*compare, *paths)
        return
    if len(paths) != 1:
        raise click.UsageError("Pass a RECIPE or --compare A B, one of both.")
    if smoke and calibrate:
        raise click.UsageError("--smoke keeps nothing, and --calibrate writes; pass one of both.")
    (recipe,) = paths
    if calibrate and adapter is not None:
        raise click.UsageError("--calibrate is for a model's own card; drop --adapter")
    if calibrate:
        _calibrate(recipe, device)
    else:
        _evaluate(recipe, device, adapter, smoke)


def _mean(reports: tuple[Path, ...]) -> None:
    from napari_uninuc.evaluation.splits import mean_of_reports, split_text

    click.echo(split_text(mean_of_reports(reports), reports), nl=False)


def _compare(*reports: Path) -> None:
    from napari_uninuc.evaluation.compare import compare_reports, comparison_text
    from napari_uninuc.evaluation.compare_many import compare_many, standings_text

    names = [str(report) for report in reports]
    if len(reports) == 2:
        text = comparison_text(compare_reports(*reports), *names)
    else:
        text = standings_text(compare_many(reports), names)
    click.echo(text, nl=False)


def _calibrate(recipe: Path, device: str | None) -> None:
    from napari_uninuc.evaluation.expected_iou import calibrate
    from napari_uninuc.evaluation.recipe import read_recipe

    values = read_recipe(recipe)
    if device is not None:
        values = values.model_copy(update={"device": device})
    with progress_bar("calibrating", "image") as progress:
        fit, card = calibrate(values, progress)
    click.echo(
        f"{fit.n_masks} automatic masks: calibration error {fit.before:.3f} -> {fit.after:.3f} on "
        f"the pictures it was fitted to; written onto {card}"
    )


def _evaluate(recipe: Path, device: str | None, adapter: Path | None, smoke: bool) -> None:
    from napari_uninuc.evaluation.recipe import read_recipe

    values = read_recipe(recipe)
    told = {"device": device, "adapter": adapter}
    values = values.model_copy(update={key: each for key, each in told.items() if each is not None})
    if smoke:
        try_evaluation(values)
    else:
        evaluate_values(values)


def try_evaluation(recipe: "EvaluationRecipe") -> None:
    """Run a recipe made small; nothing is kept."""
    from napari_uninuc.evaluation.report import to_text
    from napari_uninuc.evaluation.smoke import made_small

    small, notes = made_small(recipe)
    for note in notes:
        report_warning(note)
    click.echo(to_text(_report(small)), nl=False)
    click.echo("smoke run passed: one picture of each data set; nothing was kept")


def evaluate_values(recipe: "EvaluationRecipe") -> None:
    """Evaluate, print, and save the report in the recipe's output folder."""
    from napari_uninuc.evaluation.report import to_text, write_report

    for name in ("report.md", "report.json"):
        require_place(recipe.output / name)
    report = _report(recipe)
    click.echo(to_text(report), nl=False)
    click.echo(f"saved in {write_report(report, recipe.output)}")


def _report(recipe: "EvaluationRecipe") -> "Report":
    from napari_uninuc.evaluation.run import run_evaluation

    with progress_bar("evaluating", "image") as progress:
        return run_evaluation(recipe, progress)
