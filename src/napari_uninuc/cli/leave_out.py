"""``uninuc leave-out``: train without one data set after the other, and tabulate."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from napari_uninuc.cli.evaluate import evaluate_values, try_evaluation
from napari_uninuc.cli.options import PathArgument, device_option
from napari_uninuc.cli.train import train_values, try_training
from napari_uninuc.errors import RecipeError

if TYPE_CHECKING:
    from napari_uninuc.evaluation.leave_out import LeaveOutRun
    from napari_uninuc.evaluation.recipe import EvaluationRecipe


@click.command("leave-out", short_help="Train without one data set after the other; compare.")
@click.argument("folder", metavar="FOLDER", type=PathArgument)
@click.option(
    "--only",
    multiple=True,
    metavar="NAME",
    help="Only these runs, for instance all or consep; may be given again.",
)
@click.option("--smoke", is_flag=True, help="Try every recipe out in seconds; nothing is kept.")
@device_option
def leave_out(folder: Path, only: tuple[str, ...], smoke: bool, device: str) -> None:
    """Train on all data sets and without each, and test on the set that was left out.

    FOLDER holds train-all.toml, train-without-NAME.toml and test.toml. Runs go on where they
    stopped, what is finished is not done again, and table.md in the output folder of test.toml
    has what is finished so far.

    \b
    Examples:
      UNINUC_DATA=~/nuclei uninuc leave-out recipes/leave-out --smoke
      UNINUC_DATA=~/nuclei uninuc leave-out recipes/leave-out --only all --only consep
    """
    from napari_uninuc.evaluation.leave_out import read_runs
    from napari_uninuc.evaluation.recipe import read_recipe

    runs, test_path = read_runs(folder)
    test = read_recipe(test_path)
    known = [run.left_out for run in runs]
    unknown = [name for name in only if name not in known]
    if unknown:
        raise RecipeError(
            f"--only: expected one of {', '.join(known)}, got {', '.join(unknown)}; correct it"
        )
    for run in runs:
        if not only or run.left_out in only:
            click.echo(f"== {run.recipe.stem}")
            _do(run, test, device, smoke)
    if not smoke:
        _tabulate(runs, test.output)


def _do(run: "LeaveOutRun", test: "EvaluationRecipe", device: str, smoke: bool) -> None:
    """Train and test one run, as far as that is not done yet."""
    from napari_uninuc.datasets.recipes import load_toml_recipe
    from napari_uninuc.evaluation.leave_out import recipe_for
    from napari_uninuc.training.recipe import TrainRecipe

    values = load_toml_recipe(run.recipe, TrainRecipe)
    tests = recipe_for(test, run.left_out, values.output).model_copy(update={"device": device})
    if smoke:
        try_training(values, device)
        try_evaluation(tests)
        return
    if not (values.output / "model" / "card.toml").is_file():
        train_values(values, device, resume=(values.output / "checkpoint.pt").is_file())
    if not (tests.output / "report.json").is_file():
        evaluate_values(tests)


def _tabulate(runs: "list[LeaveOutRun]", output: Path) -> None:
    """Write and print the table of all runs whose report is there."""
    from napari_uninuc.datasets.recipes import load_toml_recipe
    from napari_uninuc.evaluation.leave_out import as_values, compare_runs, to_markdown
    from napari_uninuc.io.targets import replacing
    from napari_uninuc.training.recipe import TrainRecipe

    reports = {
        run.left_out: load_toml_recipe(run.recipe, TrainRecipe).output / "evaluation/report.json"
        for run in runs
    }
    seen, *others = reports.items()
    finished = [(name, path) for name, path in others if path.is_file()]
    if not seen[1].is_file() or not finished:
        click.echo("no table yet: it needs the run that sees all, and one that does not")
        return
    rows = compare_runs(seen[1], finished)
    texts = {
        "table.md": to_markdown(rows),
        "table.json": json.dumps(as_values(rows), indent=1) + "\n",
    }
    for name, text in texts.items():
        with replacing(output / name) as part:
            part.write_text(text, encoding="utf-8")
    click.echo(texts["table.md"], nl=False)
    click.echo(f"saved in {output / 'table.md'}")
