"""Options that several commands share, so that they read and fail alike."""

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from napari_uninuc.cli.messages import report_warning

if TYPE_CHECKING:
    from napari_uninuc.core.classifier import Taught
    from napari_uninuc.engine.class_sources import ClassSource
    from napari_uninuc.engine.predictor import Predictor
    from napari_uninuc.engine.torch_engine import TorchEngine
    from napari_uninuc.network.card import ModelCard

__all__ = [
    "DEFAULT_MODEL",
    "DEVICES",
    "PROPOSERS",
    "FiniteFloat",
    "PathArgument",
    "adapter_option",
    "classifier_option",
    "device_option",
    "load_taught_predictor",
    "model_option",
    "mpp_option",
    "only_class_option",
    "only_reviewed_option",
    "proposer_option",
    "qupath_objects_option",
    "read_source",
    "read_taught",
    "score_threshold_option",
]

DEFAULT_MODEL = "uninuc-n"

PROPOSERS = ("detector", "peaks", "both", "ais", "apg", "grid", "next-point", "detector+next-point")
"""As in `napari_uninuc.network.card`, which takes a moment to import; a test compares them."""

DEVICES = ("auto", "cpu", "cuda", "mps")

PathArgument = click.Path(path_type=Path)
"""Any path; the readers and writers say what is wrong with it."""


class FiniteFloat(click.FloatRange):
    """A number in a range; NaN and infinity are refused."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Parse `value`; fails as click does."""
        if isinstance(value, str) and re.fullmatch(r"[+-]?\d+,\d+", value):
            self.fail(f"got {value}; write {value.replace(',', '.')}, with a point.", param, ctx)
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


device_option = click.option(
    "--device",
    type=click.Choice(DEVICES),
    default="auto",
    show_default=True,
    help="Where to compute; auto takes a GPU where there is one.",
)

mpp_option = click.option(
    "--mpp",
    type=FiniteFloat(min=0, min_open=True),
    metavar="UM_PER_PX",
    help="Micrometres per pixel (0.25 is a 40x scan); wins over what the file says.",
)

model_option = click.option(
    "--model",
    default=DEFAULT_MODEL,
    show_default=True,
    metavar="ID|PATH",
    help="Model id (see: uninuc models), model folder, or .safetensors file.",
)

score_threshold_option = click.option(
    "--score-threshold",
    type=FiniteFloat(min=0, max=1),
    metavar="F",
    help="Keep nuclei with at least this score, 0 to 1.  [default: the model's own]",
)

classifier_option = click.option(
    "--classifier",
    type=PathArgument,
    metavar="FILE",
    help="Give nuclei the classes that were taught in the window and saved there, or that a dense "
    "decoder paints: its file, or 'semantic' for the one beside the weights. For the same weights "
    "only.",
)

adapter_option = click.option(
    "--adapter",
    type=PathArgument,
    metavar="FILE",
    help="State that was learnt from corrections (uninuc learn); for the same weights only.",
)

proposer_option = click.option(
    "--proposer",
    type=click.Choice(PROPOSERS),
    help="What finds nuclei: the detector, peaks of the distance map, or both; a watershed of the "
    "maps (ais), clicks that they suggest (apg) or on a grid, or points written one by one.  "
    "[default: the model's own]",
)

only_reviewed_option = click.option(
    "--only-reviewed", is_flag=True, help="Only nuclei that a person has reviewed."
)

only_class_option = click.option("--only-class", metavar="NAME", help="Only nuclei of this class.")

qupath_objects_option = click.option(
    "--qupath-objects",
    type=click.Choice(["detection", "annotation"]),
    default="detection",
    show_default=True,
    help="What nuclei of a .geojson are in QuPath: detections are fast, annotations editable.",
)


def load_taught_predictor(
    model: str, device: str, classifier: Path | None, adapter: Path | None = None
) -> "Predictor":
    """Load a model and, where they are given, what was taught it and the classifier.

    Raises
    ------
    CheckpointError
        A file that cannot be read, or a classifier or learnt state of other weights. Else as
        `load_predictor`.
    """
    from napari_uninuc.engine.predictor import load_predictor

    predictor = load_predictor(
        model, device=device, embeddings_gb=None, adapter=adapter, notice=report_warning
    )
    if classifier is not None:
        predictor.source = read_source(classifier, predictor.engine)
    return predictor


def read_source(classifier: Path, engine: "TorchEngine") -> "ClassSource":
    """Read what tells classes: of a few clicks, or a dense decoder.

    Parameters
    ----------
    classifier : its file or, of a decoder beside the weights, how it is called

    Raises
    ------
    CheckpointError
        A file that cannot be read, or a classifier of other weights.
    """
    from functools import partial

    from napari_uninuc.engine.class_sources import ExamplesSource
    from napari_uninuc.engine.dense_parts import dense_source, part_path
    from napari_uninuc.engine.describing import describe_nuclei
    from napari_uninuc.network.dense_files import is_dense_file

    path = part_path(classifier, engine.folder)
    if is_dense_file(path):
        return dense_source(engine, path)
    return ExamplesSource(partial(describe_nuclei, engine), read_taught(path, engine.card))


def read_taught(classifier: Path, card: "ModelCard") -> "Taught":
    """Read a classifier for the model of a card.

    Raises
    ------
    CheckpointError
        A file that cannot be read, or a classifier of other weights.
    """
    from napari_uninuc.engine.describing import DESCRIPTION_VERSION
    from napari_uninuc.io.classifiers import Teacher, read_classifier

    teacher = Teacher(card.id, card.sha256, DESCRIPTION_VERSION)
    return read_classifier(classifier).ready_for(teacher)
