"""A plain U-Net and watershed, taught here with the bundled model's data: is the margin noise?

python benchmarks/unet_watershed.py [--recipe R] [--tested E] [--chosen-on NAME] [--steps N] ...

Teaches a U-Net of 8 million weights from nothing with the data of a training recipe, chooses the
watershed's settings on one data set of an evaluation recipe, and writes a report of all of them
like those of ``uninuc evaluate``. The recipes want ``$UNINUC_DATA``. Without options: the data of
the bundled model, MoNuSeg's validation tiles, the test tiles. Beside a report of that model::

    uninuc evaluate recipes/evaluate-automatic.toml
    uninuc evaluate --compare FOLDER/report.json runs/evaluate-automatic/report.json

For the open model: ``--recipe recipes/uninuc-o.toml --tested recipes/evaluate-open-validation.toml
--chosen-on nuinsseg-unseen-organs``.

Stopped and called again, it goes on from its last checkpoint.
"""

import json
import platform
from dataclasses import asdict
from pathlib import Path

import click
from unet_segmenter import UNetWatershed, choose_settings
from unet_training import teach

from napari_uninuc.datasets.recipes import load_toml_recipe
from napari_uninuc.evaluation.automatic import evaluate_automatic
from napari_uninuc.evaluation.recipe import EvaluationRecipe
from napari_uninuc.evaluation.report import Report, to_text, write_report
from napari_uninuc.training.recipe import TrainRecipe

_RECIPES = Path(__file__).parents[1] / "recipes"
_ZOOM = (0.6, 1.6)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option("--recipe", default=_RECIPES / "uninuc-n.toml", type=_FILE, help="Of training.")
@click.option("--tested", default=_RECIPES / "evaluate-automatic.toml", type=_FILE)
@click.option("--chosen-on", default="monuseg-validation", show_default=True)
@click.option("--steps", default=6000, show_default=True, type=click.IntRange(min=1))
@click.option("--views", default=8, show_default=True, type=click.IntRange(1, 8))
@click.option("--output", default="runs/unet", type=click.Path(path_type=Path))
def main(recipe: Path, tested: Path, chosen_on: str, steps: int, views: int, output: Path) -> None:
    """Teach, choose, measure."""
    taught = load_toml_recipe(recipe, TrainRecipe)
    sets = {spec.name: spec for spec in load_toml_recipe(tested, EvaluationRecipe).datasets}
    if chosen_on not in sets:
        raise click.UsageError(f"--chosen-on: expected one of {', '.join(sets)}, got {chosen_on}")
    crops = taught.crops.model_copy(update={"zoom": _ZOOM})
    model = teach(
        taught.model_copy(update={"steps": steps, "output": output / "training", "crops": crops})
    )
    chosen = sets[chosen_on]
    judged = [image.read(chosen.mpp) for image in chosen.images()]
    settings, msa = choose_settings(model, judged, views)
    click.echo(f"{chosen_on}: mSA {msa:.4f} with {settings}")
    predictor = UNetWatershed(model, settings, views)
    rows = [
        row
        for spec in sets.values()
        for row in evaluate_automatic(predictor, spec.images(), dataset=spec.name, mpp=spec.mpp)
    ]
    made = {"steps": steps, "watershed": asdict(settings), "views": views, "chosen_msa": msa}
    report = Report(
        model="U-Net and watershed",
        model_sha256="",
        settings=json.dumps(made),
        max_nuclei=None,
        versions=(f"Python {platform.python_version()}",),
        automatic=tuple(rows),
        interactive=(),
        parameters=sum(part.numel() for part in model.parameters()),
    )
    write_report(report, output / f"{views}-views")
    click.echo(to_text(report))


if __name__ == "__main__":
    main()
