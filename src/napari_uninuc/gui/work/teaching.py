"""Classes told by a few clicks: learnt in the worker whenever an example comes or goes."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_uninuc.core.edits import Edit
from napari_uninuc.engine.protocol import Annotator
from napari_uninuc.errors import ModelNotFoundError, ServerAwayError
from napari_uninuc.gui.work.jobs import Worker
from napari_uninuc.io.classifiers import SavedClassifier, Teacher
from napari_uninuc.session import AnnotationSession
from napari_uninuc.session.lessons import Lesson, Outcome, lesson_of

__all__ = ["Teaching"]

_AWAY_MS = 5000
"""Between two tries to learn from what only a server that is away can see."""


class Teaching:
    """Keeps the derived classes of one session in step with its examples, while it is on.

    Parameters
    ----------
    worker : where nuclei are described and classes learnt
    session : whose nuclei
    annotator : gives the model, called in the worker's thread
    on_problem : told in the window's thread what went wrong; it is off then

    Attributes
    ----------
    changed : it was turned on or off, or something was learnt
    outcome : of the last lesson; None before, and where two classes have no example yet
    """

    changed = Signal()

    def __init__(
        self,
        worker: Worker,
        session: AnnotationSession,
        annotator: Callable[[], Annotator],
        *,
        on_problem: Callable[[Exception], None],
    ) -> None:
        self._worker, self._session, self._annotator = worker, session, annotator
        self._on_problem = on_problem
        self.outcome: Outcome | None = None
        self._brought: SavedClassifier | None = None
        self._on = self._busy = self._stale = self._told_away = False
        self._described: tuple[object, npt.NDArray[np.float32]] | None = None
        self._shapes: object = object()
        self._soon = QTimer()
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self._learn)
        session.labels.changed.connect(self._on_edit)
        session.classes_changed.connect(self._on_classes)

    @property
    def on(self) -> bool:
        """Whether classes are derived."""
        return self._on

    @on.setter
    def on(self, on: bool) -> None:
        if on == self._on:
            return
        self._on = on
        if on:
            self._soon.start(0)
        else:
            self._soon.stop()
            self.outcome = None
            self._session.derived = {}
        self.changed.emit()

    def bring(self, saved: SavedClassifier) -> None:
        """Go on from what was taught elsewhere; classes that are new here are added.

        Raises
        ------
        CheckpointError
            Taught with other weights than those in use; nothing has changed then.
        ModelNotFoundError
            No model is loaded.
        """
        taught = saved.ready_for(_teacher(self._annotator()))
        self._session.join_classes(taught.palette)
        self._brought = saved
        self._on = False
        self.on = True

    @property
    def offered(self) -> tuple[str, ...]:
        """Names of classifiers that are where the model computes; none on this computer."""
        try:
            return tuple(getattr(self._annotator(), "classifiers", ()))
        except ModelNotFoundError:
            return ()

    def bring_offered(self, name: str) -> None:
        """Go on from one of `offered`; it is fetched in the worker."""
        self._worker.submit(
            f"Fetching {name}",
            partial(self._fetch, name),
            on_done=self.bring,
            on_error=self._on_problem,
        )

    def _fetch(self, name: str) -> SavedClassifier:
        annotator: Any = self._annotator()
        saved: SavedClassifier = annotator.classifier(name)
        return saved

    def next(self) -> int | None:
        """The nucleus to ask for next: in doubt, and unlike the examples; None where none is."""
        if self.outcome is None:
            return None
        rows = self._session.labels.nuclei
        for id_ in self.outcome.ask:
            row = rows.get(id_)
            if row is not None and row.visible and not row.class_said:
                return id_
        return None

    def close(self) -> None:
        """Stop; the derived classes stay as they are."""
        self._soon.stop()
        self._on = False
        self._session.labels.changed.disconnect(self._on_edit, missing_ok=True)
        self._session.classes_changed.disconnect(self._on_classes, missing_ok=True)

    def _on_edit(self, edit: Edit) -> None:
        if edit.after.size:
            self._shapes = object()
        if self._on:
            self._soon.start(0)

    def _on_classes(self, _: Any) -> None:
        if self._on:
            self._soon.start(0)

    def _learn(self) -> None:
        """Have the worker learn from what is there now; what comes meanwhile is learnt after."""
        if self._busy:
            self._stale = True
            return
        self._busy, self._stale = True, False
        lesson, shapes = lesson_of(self._session), self._shapes
        self._worker.submit(
            "Learning classes",
            partial(self._work, lesson, shapes, self._session.tile, self._brought),
            on_done=self._learnt,
            on_error=self._failed,
            on_cancel=self._stopped,
            urgent=True,
        )

    def _work(
        self, lesson: Lesson, shapes: object, tile: Any, brought: SavedClassifier | None
    ) -> Outcome | None:
        """In the worker: describe nuclei whose outlines are new, then learn."""
        annotator = self._annotator()
        teacher = _teacher(annotator)
        if brought is not None:
            brought.ready_for(teacher)
        key = (shapes, teacher)
        if self._described is None or self._described[0] != key:
            self._described = key, annotator.describe(tile, lesson.masks())
        return lesson.learn(self._described[1], teacher, brought)

    def _learnt(self, outcome: Outcome | None) -> None:
        self._busy = False
        if not self._on:
            return
        if outcome is not None and outcome.palette != self._session.classes:
            self._soon.start(0)  # a class was moved, renamed or removed meanwhile
            return
        self._told_away = False
        self.outcome = outcome
        self._session.derived = {} if outcome is None else outcome.derived
        self.changed.emit()
        if self._stale:
            self._soon.start(0)

    def _stopped(self) -> None:
        self._busy = False

    def _failed(self, problem: Exception) -> None:
        self._busy = False
        if isinstance(problem, ServerAwayError):
            if not self._told_away:
                self._on_problem(problem)
            self._told_away = True
            if self._on:
                self._soon.start(_AWAY_MS)  # what was learnt stays meanwhile
            return
        self._brought = None
        self.on = False
        self._on_problem(problem)


def _teacher(annotator: Annotator) -> Teacher:
    """Say who describes nuclei, here or at a server."""
    return Teacher(annotator.card.id, annotator.card.sha256, annotator.description)
