"""``uninuc score``: immunohistochemistry counted as a report has it."""

import csv
import math
from collections.abc import Sequence
from dataclasses import replace
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
from napari_uninuc.errors import ImageError, LabelsError, OutputError, SessionError

if TYPE_CHECKING:
    from napari_uninuc.core.segmentation import Segmentation
    from napari_uninuc.core.stain import Levels, StainScore
    from napari_uninuc.core.tile import Tile
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
    "overruled",
    "class",
)


@click.command(short_help="Labelling index and scores of immunohistochemistry.")
@click.argument("pictures", nargs=-1, required=True, metavar="PICTURE...", type=PathArgument)
@click.option(
    "--output",
    required=True,
    metavar="PATH.csv",
    type=PathArgument,
    help="One row a picture and class. An earlier table is replaced.",
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
@click.option(
    "--slide",
    "slide_path",
    metavar="SLIDE",
    type=PathArgument,
    help="The slide, where PICTURE is a folder that uninuc slide wrote.",
)
@click.option(
    "--each-class", is_flag=True, help="Besides the row of all nuclei, one for each class."
)
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
    slide_path: Path | None,
    each_class: bool,
) -> int:
    """Count brown (DAB) nuclei: labelling index with its 95 % interval, H-score, Allred.

    A PICTURE may be a saved session (a folder): its nuclei are counted as they were corrected, and
    those whose staining a person has overruled as that person said. It may be a folder that
    `uninuc slide` wrote, with its --slide: all its nuclei are counted, on the area of its tissue.

    The index is in percent; it and the scores are empty where no nucleus was found, area and
    density where the scale is unknown. docs/stain.md says what each number is.

    \b
    Examples:
      uninuc score ki67.png --output ki67.csv --mpp 0.25
      uninuc score *.tif --output all.csv --classifier mine.safetensors --class tumour
      uninuc score SESSION --output corrected.csv --each-class
      uninuc score results --slide ki67.svs --output slide.csv
    """
    if output.suffix.lower() != ".csv":
        raise OutputError(f"{output}: scores are written as .csv, got another ending; change it")
    require_place(output)
    from napari_uninuc.core.stain import Levels

    levels = Levels() if threshold is None else Levels.from_weak(threshold)
    source = _Nuclei(model, device, classifier, mpp, score_threshold)
    _require_fitting(pictures, slide_path)
    found: list[tuple[Path, str, StainScore]] = []
    failed = 0
    for picture in pictures:
        try:
            rows = (
                _scored(picture, source, levels, class_name, each_class)
                if slide_path is None
                else _scored_run(picture, slide_path, mpp, levels, class_name, each_class)
            )
        except (ImageError, SessionError) as problem:
            if len(pictures) == 1:
                raise
            report_error(str(problem))
            failed += 1
            continue
        for name, row in rows:
            click.echo(f"{picture}{'' if name == 'all' else f', {name}'}: {row}")
            found.append((picture, name, row))
    if found:  # else an earlier table is worth more than an empty one
        _write(output, found)
    return 2 if failed else 0


class _Nuclei:
    """Finds the nuclei of pictures; the model is loaded when one must be outlined."""

    def __init__(
        self,
        model: str,
        device: str,
        classifier: Path | None,
        mpp: float | None,
        score_threshold: float | None,
    ) -> None:
        self._how = model, device, classifier
        self._mpp, self._score_threshold = mpp, score_threshold
        self._predictor: Predictor | None = None

    def of(self, picture: Path, class_name: str | None) -> "tuple[Tile, Segmentation]":
        """Picture and nuclei, outlined or as a person left them."""
        if picture.is_dir() and picture.suffix != ".zarr":
            return self._of_session(picture)
        from napari_uninuc.io.images import read_image_with_notice

        if self._predictor is None:
            self._predictor = load_taught_predictor(*self._how)
        _require_class(class_name, self._predictor.card.classes)
        tile, notice = read_image_with_notice(picture, self._mpp)
        if notice:
            report_warning(notice)
        _require_brown(picture, tile)
        with progress_bar(picture.name, "field") as progress:
            self._predictor.set_image(tile)
            return tile, self._predictor.segment(self._score_threshold, progress=progress)

    def _of_session(self, folder: Path) -> "tuple[Tile, Segmentation]":
        from napari_uninuc.session.autosave import restore

        restored = restore(folder)
        if restored.problem is not None:
            report_warning(restored.problem)
        tile = restored.session.tile
        if self._mpp is not None:
            tile = replace(tile, mpp=self._mpp)
        _require_brown(folder, tile)
        return tile, restored.session.segmentation()


def _require_class(name: str | None, known: Sequence[str]) -> None:
    if name is not None and name not in known:
        raise LabelsError(
            f"expected one of the classes {', '.join(known)}, got {name!r}; name one, and give "
            "the --classifier that tells it apart"
        )


def _require_brown(picture: Path, tile: "Tile") -> None:
    from napari_uninuc.core.stain import require_colour
    from napari_uninuc.engine.restain import may_be_brown

    try:
        require_colour(tile.rgb)
    except ImageError as problem:
        raise ImageError(f"{picture}: {problem}") from None
    if not may_be_brown(tile.rgb.reshape(-1, 3)):
        report_warning(f"{picture}: hardly any DAB (brown) is seen; is it immunohistochemistry?")


def _scored(
    picture: Path,
    source: _Nuclei,
    levels: "Levels",
    class_name: str | None,
    each_class: bool,
) -> "list[tuple[str, StainScore]]":
    from napari_uninuc.core.stain import score_classes

    tile, nuclei = source.of(picture, class_name)
    names = nuclei.palette.names
    if class_name is not None:
        _require_class(class_name, names)
        return score_classes(tile, nuclei, levels, [class_name])[1:]
    return score_classes(tile, nuclei, levels, names if each_class else [])


def _require_fitting(pictures: Sequence[Path], slide: Path | None) -> None:
    """Results of slides go one by one, each with its slide."""
    from napari_uninuc.slides.state import STATE

    run = next((each for each in pictures if (each / STATE).is_file()), None)
    if slide is not None and (run is None or len(pictures) > 1):
        raise click.UsageError(
            "--slide goes with one folder that uninuc slide wrote, got "
            f"{', '.join(map(str, pictures))}"
        )
    if slide is None and run is not None:
        raise click.UsageError(f"{run} is the result of a slide; name that slide with --slide")


def _scored_run(
    folder: Path,
    slide_path: Path,
    mpp: float | None,
    levels: "Levels",
    class_name: str | None,
    each_class: bool,
) -> "list[tuple[str, StainScore]]":
    import numpy as np

    from napari_uninuc.core.stain import StainScore
    from napari_uninuc.slides.opening import open_slide
    from napari_uninuc.slides.plan import fingerprint_of
    from napari_uninuc.slides.results import open_result
    from napari_uninuc.slides.staining import dab_of_result, tissue_of_result
    from napari_uninuc.slides.tissue import find_tissue

    slide = open_slide(slide_path, mpp)
    try:
        fingerprint = fingerprint_of(slide, find_tissue(slide))
        result = open_result(folder, fingerprint, slide.origin_yx)
        area = tissue_of_result(result)
        if not result.plan.brown:
            report_warning(f"{slide_path}: hardly any DAB (brown); is it immunohistochemistry?")
        with progress_bar(slide_path.name, "square") as progress:
            classes, density = dab_of_result(result, slide, progress=progress)
    finally:
        slide.close()
    names = list(dict.fromkeys([*result.plan.classes, *classes.tolist()]))
    _require_class(class_name, names)
    nobody = np.full(len(density), math.nan)
    chosen = {"all": np.ones(len(density), np.bool_)} if class_name is None else {}
    for name in names if each_class or class_name is not None else ():
        if class_name in (None, name):
            chosen[name] = classes == name
    return [
        (name, StainScore.measured(density[each], nobody[each], levels, area))
        for name, each in chosen.items()
    ]


def _write(output: Path, found: "list[tuple[Path, str, StainScore]]") -> None:
    from napari_uninuc.io.targets import replacing

    with replacing(output) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for picture, name, row in found:
            cells = (_cell(getattr(row, column)) for column in COLUMNS[1:-1])
            writer.writerow([str(picture), *cells, name])


def _cell(value: float) -> str:
    """A number with six digits; nothing for one that is undefined."""
    return "" if math.isnan(value) else f"{value:.6g}"
