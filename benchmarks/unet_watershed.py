"""A plain U-Net and watershed, taught here with the bundled model's data: is the margin noise?

python benchmarks/unet_watershed.py DATA [--steps N] [--views N] [--output FOLDER]

DATA is the folder that holds ``monuseg/train``. Teaches a U-Net of 8 million weights from nothing
with the data of ``recipes/uninuc-n.toml``, chooses the watershed's settings on the four validation
tiles, and writes a report of the official test tiles like those of ``uninuc evaluate``. Beside a
report of the bundled model::

    uninuc evaluate recipes/evaluate-automatic.toml
    uninuc evaluate --compare FOLDER/report.json runs/evaluate-automatic/report.json

Stopped and called again, it goes on from its last checkpoint.
"""

import json
import os
import platform
from dataclasses import asdict
from pathlib import Path

import click
from unet_segmenter import UNetWatershed, choose_settings
from unet_training import teach
from validation_tiles import MPP, VALIDATION

from napari_uninuc.datasets.folder import read_folder
from napari_uninuc.datasets.recipes import load_toml_recipe
from napari_uninuc.evaluation.automatic import evaluate_automatic
from napari_uninuc.evaluation.report import Report, to_text, write_report
from napari_uninuc.training.recipe import TrainRecipe

_RECIPE = Path(__file__).parents[1] / "recipes" / "uninuc-n.toml"
_ZOOM = (0.6, 1.6)
_TILES = {
    "monuseg-test": ("monuseg/test", ()),
    "consep-test": ("consep", ("test_*",)),
    "monuseg-validation": ("monuseg/train", VALIDATION),
}


@click.command()
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--steps", default=6000, show_default=True, type=click.IntRange(min=1))
@click.option("--views", default=8, show_default=True, type=click.IntRange(1, 8))
@click.option("--output", default="runs/unet", type=click.Path(path_type=Path))
def main(data: Path, steps: int, views: int, output: Path) -> None:
    """Teach, choose, measure."""
    os.environ["UNINUC_DATA"] = str(data)
    recipe = load_toml_recipe(_RECIPE, TrainRecipe)
    crops = recipe.crops.model_copy(update={"zoom": _ZOOM})
    model = teach(
        recipe.model_copy(update={"steps": steps, "output": output / "training", "crops": crops})
    )
    judged = [image.read(MPP) for image in read_folder(data / "monuseg/train", VALIDATION)]
    settings, msa = choose_settings(model, judged, views)
    click.echo(f"validation mSA {msa:.4f} with {settings}")
    predictor = UNetWatershed(model, settings, views)
    rows = [
        row
        for name, (folder, include) in _TILES.items()
        for row in evaluate_automatic(
            predictor, read_folder(data / folder, include), dataset=name, mpp=MPP
        )
    ]
    chosen = {"steps": steps, "watershed": asdict(settings), "views": views, "validation": msa}
    report = Report(
        model="U-Net and watershed",
        model_sha256="",
        settings=json.dumps(chosen),
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
