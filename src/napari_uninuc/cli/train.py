"""``uninuc train``: from labelled images to a model folder."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from napari_uninuc.cli.messages import progress_bar, report_warning
from napari_uninuc.cli.options import PathArgument, device_option
from napari_uninuc.cli.outputs import require_place
from napari_uninuc.errors import CheckpointError, OutputError

if TYPE_CHECKING:
    from napari_uninuc.training.recipe import TrainRecipe

_SHOWN = {"loss": "loss", "iou": "iou_last", "reward": "reward"}
"""Name on the progress bar: name in the log."""


@click.command(short_help="Train a model from labelled images.")
@click.argument("recipe", metavar="RECIPE", type=PathArgument)
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint in the output folder.")
@device_option
@click.option(
    "--smoke",
    is_flag=True,
    help="Try the recipe out: a few small steps and an export; nothing is kept.",
)
def train(recipe: Path, resume: bool, device: str, smoke: bool) -> None:
    """Train a model as a TOML recipe says, and save it as a model folder.

    Checkpoints and log.csv go to the recipe's output folder; a run that was stopped goes on
    with --resume.

    \b
    Examples:
      UNINUC_DATA=~/nuclei uninuc train recipes/uninuc-n.toml --smoke
      UNINUC_DATA=~/nuclei uninuc train recipes/uninuc-n.toml
      UNINUC_DATA=~/nuclei uninuc train recipes/uninuc-n.toml --resume
    """
    if smoke and resume:
        raise click.UsageError("--smoke keeps nothing and resumes nothing; drop --resume")
    from napari_uninuc.datasets.recipes import load_toml_recipe
    from napari_uninuc.training.recipe import TrainRecipe

    values = load_toml_recipe(recipe, TrainRecipe)
    if smoke:
        try_training(values, device)
        return
    train_values(values, device, resume=resume)


def train_values(recipe: "TrainRecipe", device: str, *, resume: bool) -> None:
    """Train and save a model; OutputError where a run is in the way."""
    _require_own_output(recipe.output, resume)
    folder = _train(recipe, device, resume=resume)
    if folder is not None:
        what = "model saved in" if folder.is_dir() else "decoder saved as"
        click.echo(f"{what} {folder}")


def try_training(recipe: "TrainRecipe", device: str) -> None:
    """Run a recipe made small, in a folder that goes away."""
    from napari_uninuc.training.smoke import STEPS, made_small

    with TemporaryDirectory(prefix="uninuc-smoke-") as folder:
        small, notes = made_small(recipe, Path(folder))
        for note in notes:
            report_warning(note)
        _train(small, device, smoke=True)
    click.echo(f"smoke run passed: {STEPS} steps and export; nothing was kept")


def _train(
    recipe: "TrainRecipe", device: str, *, resume: bool = False, smoke: bool = False
) -> Path | None:
    """Train; the model's folder or a part's file, None in processes that write nothing."""
    from napari_uninuc.engine.device import choose_device
    from napari_uninuc.training.export import export_learnt
    from napari_uninuc.training.ranks import Ranks
    from napari_uninuc.training.run import begin
    from napari_uninuc.training.tuning import kept_from

    ranks = Ranks.launched()
    place = ranks.device(choose_device(device))
    with ranks.joined(place):
        tell = report_warning if ranks.is_first else _silent
        training = begin(recipe, place, resume=resume, smoke=smoke, ranks=ranks, tell=tell)
        if not ranks.is_first:
            training.run()
            return None
        with progress_bar("training", "step") as progress:

            def show(step: int, steps: int, log: dict[str, float]) -> None:
                shown = {name: log[key] for name, key in _SHOWN.items() if key in log}
                progress(step, steps, **shown)

            training.run(show)
        folder = export_learnt(training)
    earlier = training.began.earlier
    part = any((recipe.corrections, recipe.next_point, recipe.dense))
    kept = "" if earlier is None or part else kept_from(earlier)
    if kept and not smoke:
        report_warning(f"the card has {kept} (docs/train-your-own.md, 4)")
    return folder


def _silent(_: str) -> None:
    """For what the first process has told."""


def _require_own_output(output: Path, resume: bool) -> None:
    """Refuse to write a new run over an old one, and to go on with none."""
    checkpoint = output / "checkpoint.pt"
    if resume and not checkpoint.is_file():
        raise CheckpointError(f"{checkpoint}: nothing to resume; start without --resume")
    if checkpoint.exists() and not resume:
        raise OutputError(
            f"{output}: a new run needs a folder of its own, got one with {checkpoint.name}; "
            "pass --resume, or change output in the recipe"
        )
    require_place(checkpoint)
