"""``uninuc explain``: which nuclei a classifier of pictures looks at."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from napari_uninuc.cli.messages import progress_bar
from napari_uninuc.cli.options import PathArgument
from napari_uninuc.cli.outputs import require_place
from napari_uninuc.errors import DatasetError

if TYPE_CHECKING:
    from napari_uninuc.explain.callables import Classifier
    from napari_uninuc.explain.perturbation import Perturbation, Pictured

_HOW = ("blurred", "mean-filled", "inpainted")
"""As in `napari_uninuc.explain.perturbation`, which takes a moment to import."""


@click.command(short_help="Which nuclei a classifier of pictures looks at.")
@click.argument("classifier", metavar="MODULE:NAME|FILE.py:NAME")
@click.argument("folder", metavar="FOLDER", type=PathArgument)
@click.option(
    "--output",
    required=True,
    metavar="FOLDER",
    type=PathArgument,
    help="Where tables and pictures go; made if missing.",
)
@click.option(
    "--truth",
    metavar="FILE.csv",
    type=PathArgument,
    help="What each picture is: columns picture and class, as the classifier names them. Without "
    "it a picture is what the classifier says.",
)
@click.option("--how", type=click.Choice(_HOW), default="blurred", show_default=True)
@click.option("--include", multiple=True, metavar="PATTERN", help="Only pictures of such names.")
@click.option(
    "--pictures",
    type=click.IntRange(min=0),
    default=3,
    show_default=True,
    help="How many of them are drawn: without each class of nuclei, and with activations.",
)
def explain(
    classifier: str,
    folder: Path,
    output: Path,
    truth: Path | None,
    how: "Perturbation",
    include: tuple[str, ...],
    pictures: int,
) -> None:
    """Tell which nuclei a classifier of pictures looks at.

    FOLDER holds images/, labels/ and, for nuclei with classes, classes/, as data to train on do.
    The classifier is a Python function from a picture (H, W, 3) to probabilities, which is
    imported and run: take only one that you trust. docs/explain.md says what the columns mean.

    \b
    Examples:
      uninuc explain my_model.py:predict tiles --output findings
      uninuc explain my_model.py:predict tiles --truth truth.csv --how inpainted --output findings
    """
    from napari_uninuc.explain.activation import activation_of, mean_activations
    from napari_uninuc.explain.callables import ReadableClassifier, classifier_named
    from napari_uninuc.explain.findings import (
        findings_text,
        write_activation_picture,
        write_perturbed_pictures,
        write_table,
    )
    from napari_uninuc.explain.perturbation import importance_of

    require_place(output / "importance.csv")
    asked = classifier_named(classifier)
    readable = asked if isinstance(asked, ReadableClassifier) else None
    activated = []

    def seen() -> Iterator["Pictured"]:
        for index, picture in enumerate(_pictures(asked, folder, include, truth)):
            if readable is not None:
                activated.append(activation_of(readable, picture))
            if index < pictures:
                write_perturbed_pictures(picture, how, output)
                if readable is not None:
                    write_activation_picture(picture, activated[-1], output)
            yield picture

    rows = importance_of(asked, seen(), how)
    write_table(rows, output / "importance.csv")
    click.echo(findings_text(rows), nl=False)
    if readable is not None:
        means = mean_activations(activated)
        write_table(means, output / "activation.csv")
        click.echo("\n" + findings_text(means), nl=False)
    click.echo(f"saved in {output}")


def _pictures(
    classifier: "Classifier", folder: Path, include: tuple[str, ...], truth: Path | None
) -> Iterator["Pictured"]:
    """Read the pictures one after the other, with what they are."""
    from napari_uninuc.datasets.folder import read_folder
    from napari_uninuc.explain.perturbation import Pictured

    images = read_folder(folder, include)
    truths: list[int | None] = [None] * len(images)
    if truth is not None:  # what is wrong with it is said before anything is written
        told = _read_truth(truth)
        names = tuple(getattr(classifier, "classes", ()))
        truths = [_class_of(image.name, told, names, truth) for image in images]
    with progress_bar("explaining", "picture") as progress:
        for done, (image, what) in enumerate(zip(images, truths, strict=True), start=1):
            labelled = image.read()
            yield Pictured(
                image.name, labelled.tile.rgb, labelled.labels, labelled.classes or {}, what
            )
            progress(done, len(images))


def _read_truth(path: Path) -> dict[str, str]:
    """Read picture and class of every row; DatasetError where they are not there."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return {row["picture"]: row["class"] for row in csv.DictReader(file)}
    except (OSError, KeyError, UnicodeDecodeError, csv.Error) as problem:
        raise DatasetError(
            f"{path}: expected a .csv with the columns picture and class, got none ({problem}); "
            "correct it"
        ) from problem


def _class_of(picture: str, told: dict[str, str], names: tuple[str, ...], path: Path) -> int:
    name = told.get(picture)
    if name is None:
        raise DatasetError(f"{path}: expected a row for {picture}, got none; add it")
    if name in names:
        return names.index(name)
    if not names and name.isdecimal():
        return int(name)
    raise DatasetError(
        f"{path}: {picture} is {name!r}, which is none of the classifier's classes "
        f"({', '.join(names) or 'numbers'}); correct it"
    )
