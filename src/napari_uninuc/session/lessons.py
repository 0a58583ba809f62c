"""What a person has taught on one picture and brought along from others; knows no engine."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.classifier import Classifier, Examples, Scale, left_out, next_to_ask
from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.labels import LabelMap
from napari_uninuc.io.classifiers import SavedClassifier, Teacher
from napari_uninuc.session.annotation import AnnotationSession

__all__ = ["Lesson", "Outcome", "lesson_of"]

_ASKED = 8
"""Nuclei that are offered before the next answer must have been learnt from."""


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """Nuclei of a session at one moment, for any thread.

    Attributes
    ----------
    ids : (N,) of all visible nuclei
    labels : as they are then, nobody else's
    said : id -> class id, where a person has said it
    palette : the classes
    """

    ids: npt.NDArray[np.int64]
    labels: LabelMap
    said: Mapping[int, int]
    palette: ClassPalette

    def masks(self) -> list[InstanceMask]:
        """Of all its nuclei, px of the tile."""
        return [self.labels.mask(id_) for id_ in self.ids.tolist()]

    def learn(
        self,
        rows: npt.NDArray[np.float32],
        teacher: Teacher,
        brought: SavedClassifier | None,
    ) -> "Outcome | None":
        """Learn from the examples and class all others; None with examples of fewer than two.

        Parameters
        ----------
        rows : (N, D) what the nuclei look like
        teacher : who described them
        brought : taught on other pictures with the same weights, or nothing
        """
        told = np.array([id_ in self.said for id_ in self.ids.tolist()], np.bool_)
        classes = np.array([self.said[id_] for id_ in self.ids[told].tolist()], np.int64)
        if len(rows) == 0:
            return None
        examples, scale = Examples(rows[told], classes, self.palette.names), Scale.of(rows)
        if brought is not None:
            known = brought.examples.only(self.palette.names)
            examples, scale = examples.joined(known), scale.joined(brought.scale)
        if len(examples.present) < 2:
            return None
        classifier = Classifier.learnt(examples, scale)
        likely = classifier.probabilities(rows)
        best = likely.argmax(axis=1)
        places = np.array([self.palette.names.index(name) for name in classifier.names])
        sure = likely.max(axis=1)
        colours = {each.name: each.colour for each in self.palette.classes}
        own_colours = tuple(colours[name] for name in examples.names)
        ask = next_to_ask(rows, likely, scale, told, _ASKED)
        return Outcome(
            self.palette,
            dict(
                zip(
                    self.ids.tolist(),
                    zip(places[best].tolist(), sure.tolist(), strict=True),
                    strict=True,
                )
            ),
            tuple(self.ids[ask].tolist()),
            SavedClassifier(teacher, classifier, own_colours, examples, scale),
            left_out(examples, scale),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What a lesson has come to.

    Attributes
    ----------
    palette : that of the lesson
    derived : see `AnnotationSession.derived`
    ask : ids whose class would teach most, in order
    taught : to be saved
    confusion : (C, C) examples left out, said x taken for; classes are ``taught.examples.names``
    """

    palette: ClassPalette
    derived: Mapping[int, tuple[int, float]]
    ask: tuple[int, ...]
    taught: SavedClassifier
    confusion: npt.NDArray[np.int64]


def lesson_of(session: AnnotationSession) -> Lesson:
    """Freeze what there is to learn from; quick, and for the session's own thread."""
    snapshot = session.labels.snapshot()
    rows = [row for row in snapshot.nuclei.values() if row.visible]
    return Lesson(
        np.array([row.id for row in rows], np.int64),
        snapshot,
        {row.id: row.class_id for row in rows if row.class_said},
        session.classes,
    )
