"""``uninuc score``: immunohistochemistry counted as a report has it."""

import csv
import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from napari_uninuc.cli.messages import progress_bar, report_error, report_warning
from napari_uninuc.cli.options import (
    FiniteFloat,
    PathArgument,
    classifier_option,
    device_option,
    load_taught_predictor,
    model_option,
    mpp_option,
    score_threshold_option,
)
from napari_uninuc.cli.outputs import require_place
from napari_uninuc.errors import ImageError, LabelsError, OutputError

if TYPE_CHECKING:
    from napari_uninuc.core.stain import Levels, StainScore
    from napari_uninuc.engine.predictor import Predictor

__all__ = ["COLUMNS", "score"]

COLUMNS = (
    "picture",
    "nuclei",
    "positive",
    "index",
    "index_low",
    "index_high",
    "h_score",
    "allred",
    "area_mm2",
    "density_per_mm2",
    "threshold",
)


@click.command(short_help="Labelling index and scores of immunohistochemistry.")
@click.argument("pictures", nargs=-1, required=True, metavar="PICTURE...", type=PathArgument)
@click.option(
    "--output",
    required=True,
    metavar="PATH.csv",
    type=PathArgument,
    help="One row a picture. An earlier table is replaced.",
)
@model_option
@device_option
@mpp_option
@score_threshold_option
@classifier_option
@click.option(
    "--threshold",
    type=FiniteFloat(min=0, min_open=True),
    metavar="F",
    help="Optical density of DAB from which a nucleus is positive; 2+ and 3+ begin 0.2 and 0.4 "
    "above.  [default: 0.2]",
)
@click.option("--class", "class_name", metavar="NAME", help="Count nuclei of this class alone.")
def score(
    pictures: tuple[Path, ...],
    output: Path,
    model: str,
    device: str,
    mpp: float | None,
    score_threshold: float | None,
    classifier: Path | None,
    threshold: float | None,
    class_name: str | None,
) -> int:
    """Count brown (DAB) nuclei: labelling index with its 95 % interval, H-score, Allred.

    The index is in percent; it and the scores are empty where no nucleus was found, area and
    density where the scale is unknown. docs/stain.md says what each number is.

    \b
    Examples:
      uninuc score ki67.png --output ki67.csv --mpp 0.25
      uninuc score *.tif --output all.csv --classifier mine.safetensors --class tumour
    """
    if output.suffix.lower() != ".csv":
        raise OutputError(f"{output}: scores are written as .csv, got another ending; change it")
    require_place(output)
    from napari_uninuc.core.stain import Levels

    levels = Levels() if threshold is None else Levels.from_weak(threshold)
    predictor = load_taught_predictor(model, device, classifier)
    if class_name is not None and class_name not in predictor.card.classes:
        raise LabelsError(
            f"expected one of the classes {', '.join(predictor.card.classes)}, got "
            f"{class_name!r}; name one, and give the --classifier that tells it apart"
        )
    found, failed = [], 0
    for picture in pictures:
        try:
            row = _scored(picture, predictor, mpp, score_threshold, levels, class_name)
        except ImageError as problem:
            if len(pictures) == 1:
                raise
            report_error(str(problem))
            failed += 1
            continue
        click.echo(f"{picture}: {row}")
        found.append((picture, row))
    if found:  # else an earlier table is worth more than an empty one
        _write(output, found)
    return 2 if failed else 0


def _scored(
    picture: Path,
    predictor: "Predictor",
    mpp: float | None,
    score_threshold: float | None,
    levels: "Levels",
    class_name: str | None,
) -> "StainScore":
    from napari_uninuc.core.stain import require_colour, score_nuclei
    from napari_uninuc.engine.restain import is_brown
    from napari_uninuc.io.images import read_image_with_notice

    tile, notice = read_image_with_notice(picture, mpp)
    if notice:
        report_warning(notice)
    try:
        require_colour(tile.rgb)
    except ImageError as problem:
        raise ImageError(f"{picture}: {problem}") from None
    if not is_brown(tile.rgb.reshape(-1, 3)):
        report_warning(f"{picture}: hardly any DAB (brown) is seen; is it immunohistochemistry?")
    with progress_bar(picture.name, "field") as progress:
        predictor.set_image(tile)
        nuclei = predictor.segment(score_threshold, progress=progress)
    return score_nuclei(tile, nuclei.only(class_name=class_name), levels)


def _write(output: Path, found: list[tuple[Path, "StainScore"]]) -> None:
    from napari_uninuc.io.targets import replacing

    with replacing(output) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for picture, row in found:
            writer.writerow([str(picture), *(_cell(getattr(row, name)) for name in COLUMNS[1:])])


def _cell(value: float) -> str:
    """A number with six digits; nothing for one that is undefined."""
    return "" if math.isnan(value) else f"{value:.6g}"
