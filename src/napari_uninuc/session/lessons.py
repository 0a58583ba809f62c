"""What a person has taught on one picture and brought along from others; knows no engine."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.classifier import (
    Classifier,
    Examples,
    Scale,
    left_out,
    next_to_ask,
    ranked_by_likeness,
)
from napari_uninuc.core.instances import InstanceMask
from napari_uninuc.core.labels import LabelMap
from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.protocol import Describer
from napari_uninuc.io.classifiers import SavedClassifier, Teacher
from napari_uninuc.session.annotation import AnnotationSession

__all__ = ["Describing", "Lesson", "Outcome", "lesson_of"]

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
    outlines : another object wherever an outline may be another
    """

    ids: npt.NDArray[np.int64]
    labels: LabelMap
    said: Mapping[int, int]
    palette: ClassPalette
    outlines: object

    def masks(self) -> list[InstanceMask]:
        """Of all its nuclei, px of the tile."""
        return [self.labels.mask(id_) for id_ in self.ids.tolist()]

    def learn(
        self,
        rows: npt.NDArray[np.float32],
        teacher: Teacher,
        brought: SavedClassifier | None,
        called: Mapping[str, str] = MappingProxyType({}),
    ) -> "Outcome | None":
        """Learn from the examples and class all others; None with examples of fewer than two.

        Parameters
        ----------
        rows : (N, D) what the nuclei look like
        teacher : who described them
        brought : taught on other pictures with the same weights, or nothing
        called : what classes of ``brought`` are called here, where it is something else
        """
        names = [self.palette.name_of(class_id) for class_id in self.said.values()]
        here = Counter(names)
        told = np.array([id_ in self.said for id_ in self.ids.tolist()], np.bool_)
        classes = np.array([self.said[id_] for id_ in self.ids[told].tolist()], np.int64)
        if len(rows) == 0:
            return None
        examples, scale = Examples(rows[told], classes, self.palette.names), Scale.of(rows)
        if brought is not None:
            known = brought.examples.renamed(called).only(self.palette.names)
            examples, scale = examples.joined(known), scale.joined(brought.scale)
        if len(examples.present) < 2:
            return None
        classifier = Classifier.learnt(examples, scale)
        likely = classifier.probabilities(rows)
        best = likely.argmax(axis=1)
        places = np.array([self.palette.names.index(name) for name in classifier.names])
        sure = likely.max(axis=1).round(4)  # as a journal keeps it
        colours = {each.name: each.colour for each in self.palette.classes}
        own_colours = tuple(colours[name] for name in examples.names)
        ask = next_to_ask(rows, likely, scale, told, _ASKED)
        own = np.array([here.get(name, 0) for name in examples.names])
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
            own,
        )

    def alike(
        self, rows: npt.NDArray[np.float32], like: Collection[int], unlike: Collection[int]
    ) -> list[tuple[int, float]]:
        """Nuclei whose class nobody has said, those most like some first, each with how like.

        Parameters
        ----------
        rows : (N, D) what the nuclei look like
        like, unlike : ids of examples and of counter-examples; those that are gone are left out

        Raises
        ------
        LabelsError
            No example is left.
        """
        place = {id_: k for k, id_ in enumerate(self.ids.tolist())}
        sides = [[place[id_] for id_ in each if id_ in place] for each in (like, unlike)]
        likeness = ranked_by_likeness(rows, Scale.of(rows), *sides)
        taken = {*like, *unlike, *self.said}
        found = zip(self.ids.tolist(), likeness.tolist(), strict=True)
        return sorted((one for one in found if one[0] not in taken), key=lambda one: -one[1])


class Describing:
    """What the nuclei of one session look like, kept from lesson to lesson; for one thread.

    Only nuclei whose outline is new are looked at again.
    """

    def __init__(self) -> None:
        self._by: tuple[object, Teacher] | None = None
        self._keys: dict[int, tuple[object, ...]] = {}
        self._rows = np.zeros((0, 0), np.float32)

    def rows(
        self, lesson: "Lesson", tile: Tile, describer: Describer, teacher: Teacher
    ) -> npt.NDArray[np.float32]:
        """Rows of all nuclei of a lesson, (N, D), in the order of ``lesson.ids``.

        Parameters
        ----------
        lesson, tile : what is described
        describer, teacher : who describes it; of another teacher nothing is kept
        """
        if self._by == (lesson.outlines, teacher):
            return self._rows
        masks = lesson.masks()
        keys: dict[int, tuple[object, ...]] = {
            id_: (mask.origin_yx, mask.mask.shape, mask.mask.tobytes())
            for id_, mask in zip(lesson.ids.tolist(), masks, strict=True)
        }
        earlier = None
        if self._by is not None and self._by[1] == teacher and len(self._rows):
            earlier = np.full((len(masks), self._rows.shape[1]), np.nan, np.float32)
            place = {id_: k for k, id_ in enumerate(self._keys)}
            known = [
                (k, place[id_])
                for k, (id_, key) in enumerate(keys.items())
                if self._keys.get(id_) == key
            ]
            now, then = np.array(known, np.int64).reshape(-1, 2).T
            earlier[now] = self._rows[then]
        self._rows = describer.describe(tile, masks, earlier)
        self._by, self._keys = (lesson.outlines, teacher), keys
        return self._rows


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
    own : (C,) examples of this picture, of all that are in ``taught.examples``
    """

    palette: ClassPalette
    derived: Mapping[int, tuple[int, float]]
    ask: tuple[int, ...]
    taught: SavedClassifier
    confusion: npt.NDArray[np.int64]
    own: npt.NDArray[np.int64]


def lesson_of(session: AnnotationSession, outlines: object = None) -> Lesson:
    """Freeze what there is to learn from; quick, and for the session's own thread.

    ``outlines`` is an object for all outlines as they are; by default they are taken for new.
    """
    snapshot = session.labels.snapshot()
    rows = [row for row in snapshot.nuclei.values() if row.visible]
    return Lesson(
        np.array([row.id for row in rows], np.int64),
        snapshot,
        {row.id: row.class_id for row in rows if row.class_said},
        session.classes,
        object() if outlines is None else outlines,
    )
