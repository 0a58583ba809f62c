"""A classifier of nuclei as one file: arrays in safetensors, what they mean as JSON in its head."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from napari_uninuc.core.classes import ClassPalette, NucleusClass
from napari_uninuc.core.classifier import Classifier, Examples, Scale, Taught
from napari_uninuc.errors import CheckpointError, LabelsError
from napari_uninuc.io.targets import replacing

__all__ = ["SavedClassifier", "Teacher", "read_classifier", "write_classifier"]

_KEY = "uninuc-classifier"
_Name = Annotated[str, Field(min_length=1, max_length=200)]


@dataclass(frozen=True, slots=True)
class Teacher:
    """Who made the features that a classifier reads.

    Attributes
    ----------
    model : its id
    weights_sha256 : of its weights, hexadecimal; empty where they are in no file
    description : version of what the features are, `engine.describing.DESCRIPTION_VERSION`
    """

    model: str
    weights_sha256: str
    description: int


@dataclass(frozen=True, slots=True, eq=False)
class SavedClassifier:
    """What a person has taught, to be used on other pictures and taught further.

    Attributes
    ----------
    teacher : who made the features
    classifier : what was learnt
    colours : ``#rrggbb`` of each class of ``examples.names``
    examples, scale : what it was learnt from
    """

    teacher: Teacher
    classifier: Classifier
    colours: tuple[str, ...]
    examples: Examples
    scale: Scale

    def joined(self, other: Self) -> Self:
        """Learn from the examples of both.

        Raises
        ------
        CheckpointError
            They were taught with different weights.
        """
        other.ready_for(self.teacher)
        colours = dict(zip(other.examples.names, other.colours, strict=True))
        colours |= dict(zip(self.examples.names, self.colours, strict=True))
        examples = self.examples.joined(other.examples)
        if len(examples) == len(self.examples):
            return self
        scale = self.scale.joined(other.scale)
        return type(self)(
            self.teacher,
            Classifier.learnt(examples, scale),
            tuple(colours[name] for name in examples.names),
            examples,
            scale,
        )

    def ready_for(self, other: Teacher) -> Taught:
        """Make it ready for features that ``other`` makes.

        Raises
        ------
        CheckpointError
            It was taught with other weights, or by a program that described nuclei otherwise.
        """
        own = self.teacher
        if own != other:
            raise CheckpointError(
                f"the classifier was taught with {_called(own)}, got {_called(other)}; "
                "load those weights, or teach the classes again with these"
            )
        colours = dict(zip(self.examples.names, self.colours, strict=True))
        shown = tuple(NucleusClass(name, colours[name]) for name in self.classifier.names)
        return Taught(self.classifier, ClassPalette(shown))


class _Head(BaseModel):
    """What the JSON says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1]
    model: str
    weights_sha256: str
    description: int
    names: tuple[_Name, ...]
    colours: tuple[Annotated[str, Field(pattern="^#[0-9a-fA-F]{6}$")], ...]
    learnt: tuple[_Name, ...]
    nuclei: Annotated[int, Field(ge=1)]


def write_classifier(saved: SavedClassifier, path: Path) -> None:
    """Write a classifier to a ``.safetensors`` file.

    Raises
    ------
    OutputError
        The file cannot be written.

    Examples
    --------
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from napari_uninuc.core.classifier import Classifier, Examples, Scale
    >>> from napari_uninuc.io.classifiers import SavedClassifier, Teacher
    >>> from napari_uninuc.io.classifiers import read_classifier, write_classifier
    >>> features = np.array([[0, 0], [1, 0], [9, 1], [10, 1]], np.float32)
    >>> told = Examples(features, np.array([0, 0, 1, 1]), ("small", "large"))
    >>> scale = Scale.of(features)
    >>> saved = SavedClassifier(
    ...     Teacher("uninuc-n", "", 1), Classifier.learnt(told, scale), ("#ffd400", "#00c8ff"),
    ...     told, scale,
    ... )
    >>> write_classifier(saved, Path("sizes.safetensors"))
    >>> read_classifier(Path("sizes.safetensors")).classifier.names
    ('small', 'large')
    """
    head = _Head(
        version=1,
        model=saved.teacher.model,
        weights_sha256=saved.teacher.weights_sha256,
        description=saved.teacher.description,
        names=saved.examples.names,
        colours=saved.colours,
        learnt=saved.classifier.names,
        nuclei=saved.scale.count,
    )
    arrays: dict[str, npt.NDArray[np.generic]] = {
        "weights": saved.classifier.weights,
        "bias": saved.classifier.bias,
        "mean": saved.scale.mean,
        "spread": saved.scale.spread,
        "features": saved.examples.features,
        "classes": saved.examples.classes,
    }
    tidy = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    raw = save(tidy, metadata={_KEY: head.model_dump_json()})
    with replacing(path) as part:
        part.write_bytes(raw)


def read_classifier(path: Path) -> SavedClassifier:
    """Read what `write_classifier` wrote.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, or no classifier.
    """
    if not path.is_file():
        part = path.name == str(path) and not path.suffix
        other = f", or name a model with {path}.safetensors beside its weights" if part else ""
        raise CheckpointError(f"{path}: no such classifier; check the path{other}")
    try:
        with safe_open(str(path), framework="numpy") as opened:
            said = (opened.metadata() or {}).get(_KEY)
            if said is None:
                raise CheckpointError(
                    f"{path}: expected a classifier of nuclei, got another file; "
                    "choose one that was saved in the panel Classes"
                )
            head = _Head.model_validate_json(said)
            arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        return _put_together(head, arrays)
    except (SafetensorError, OSError, ValidationError, KeyError, ValueError) as problem:
        if isinstance(problem, CheckpointError):
            raise
        reason = " ".join(str(problem).split())[:200]
        raise CheckpointError(
            f"{path}: the classifier cannot be read ({reason}); save it again"
        ) from problem


def _put_together(head: _Head, arrays: dict[str, npt.NDArray[np.generic]]) -> SavedClassifier:
    width, learnt = len(arrays["mean"]), len(head.learnt)
    shapes = {
        "weights": (width, learnt),
        "bias": (learnt,),
        "mean": (width,),
        "spread": (width,),
        "features": (len(arrays["classes"]), width),
    }
    for name, shape in shapes.items():
        if arrays[name].shape != shape or not np.isfinite(arrays[name]).all():
            raise LabelsError(f"{name} is {arrays[name].shape}, expected finite {shape}")
    if len(head.colours) != len(head.names) or not set(head.learnt) <= set(head.names):
        raise LabelsError("classes, their colours and what was learnt do not fit together")
    examples = Examples(
        arrays["features"].astype(np.float32), arrays["classes"].astype(np.int64), head.names
    )
    scale = Scale(
        head.nuclei, arrays["mean"].astype(np.float64), arrays["spread"].astype(np.float64)
    )
    classifier = Classifier(
        head.learnt, arrays["weights"].astype(np.float64), arrays["bias"].astype(np.float64)
    )
    teacher = Teacher(head.model, head.weights_sha256, head.description)
    return SavedClassifier(teacher, classifier, head.colours, examples, scale)


def _called(teacher: Teacher) -> str:
    short = teacher.weights_sha256[:12] or "no weights file"
    return f"{teacher.model} ({short}, description {teacher.description})"
