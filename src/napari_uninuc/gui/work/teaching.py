"""Classes told by a few clicks: learnt in the worker whenever an example comes or goes."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_uninuc.core.classes import ClassPalette
from napari_uninuc.core.edits import Edit
from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.protocol import Annotator, Describer
from napari_uninuc.errors import LabelsError, ModelNotFoundError, ServerAwayError
from napari_uninuc.gui.work.jobs import Worker
from napari_uninuc.io.classifiers import SavedClassifier, Teacher
from napari_uninuc.session import AnnotationSession
from napari_uninuc.session.lessons import Describing, Lesson, Outcome, lesson_of

__all__ = ["Alike", "Teaching"]


@dataclass(frozen=True, slots=True)
class Alike:
    """Nuclei that are proposed for one class.

    Attributes
    ----------
    class_id : the class
    ranked : ids, those most like its examples first
    unlike : ids that were said not to be meant
    count : how many of them are meant
    """

    class_id: int
    ranked: tuple[int, ...]
    unlike: frozenset[int]
    count: int

    @property
    def ids(self) -> tuple[int, ...]:
        """Those that are meant."""
        return self.ranked[: self.count]


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
    changed : it was turned on or off, something was learnt, or nuclei are proposed
    outcome : of the last lesson; None before, and where two classes have no example yet
    alike : nuclei that are proposed for one class; None where none are
    last_class : class id that a person has given last
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
        self.alike: Alike | None = None
        self.last_class = session.current_class
        self._brought: SavedClassifier | None = None
        self._palette = session.classes
        self._called: dict[tuple[str, ...], dict[str, str]] = {self._palette.names: {}}
        self._on, self._busy, self._stale = bool(session.derived), False, False
        self._told_away = False
        self._restored = self._on  # with the session; what it was learnt from may not be here
        self._describing, self._outlines = Describing(), object()
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
        self._on, self._restored = on, False
        if on:
            self._soon.start(0)
        else:
            self._soon.stop()
            self.outcome = None
            self._session.derived = {}
        self.changed.emit()

    def bring(self, saved: SavedClassifier) -> None:
        """Go on from what was taught elsewhere too; classes that are new here are added.

        What was brought before stays: examples of all pictures count.

        Raises
        ------
        CheckpointError
            Taught with other weights than those in use; nothing has changed then.
        ModelNotFoundError
            No model is loaded.
        """
        session = self._session
        shown = saved.ready_for(self._describer()[1]).palette
        brought = saved if self._brought is None else self._brought.joined(saved)
        called = self._called.get(session.classes.names, {})
        session.join_classes(shown)
        self._brought, self._called = brought, {session.classes.names: called}
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

    # -- all like this ----------------------------------------------------------------------

    def propose(self, class_id: int, unlike: frozenset[int] = frozenset()) -> None:
        """Find all nuclei like the examples of one class and select them, those most like first.

        Parameters
        ----------
        class_id : whose examples on this picture are meant
        unlike : ids that are not meant; so are examples of other classes

        Raises
        ------
        LabelsError
            The class has no example on this picture.
        """
        said = [row for row in self._session.labels.nuclei.values() if row.class_said]
        like = frozenset(row.id for row in said if row.visible and row.class_id == class_id)
        others = {row.id for row in said if row.visible and row.class_id != class_id}
        if not like:
            raise LabelsError(
                f"nuclei like examples of {self._session.classes.name_of(class_id)} are found once "
                "it has one, got none; give a few nuclei this class first"
            )
        lesson = lesson_of(self._session, self._outlines)
        self._worker.submit(
            "Finding nuclei like these",
            partial(self._find_alike, lesson, self._session.tile, like, unlike | others),
            on_done=partial(self._show_alike, class_id, unlike),
            on_error=self._on_problem,
            urgent=True,
        )

    def take_alike(self, count: int) -> None:
        """Select so many of the nuclei that are proposed, those most like first."""
        if self.alike is not None and count != self.alike.count:
            self.alike = replace(self.alike, count=count)
            self._session.select(self.alike.ids)
            self.changed.emit()

    def refuse(self, ids: Iterable[int]) -> None:
        """Take nuclei for counter-examples, and propose anew."""
        if self.alike is not None:
            self.propose(self.alike.class_id, self.alike.unlike | frozenset(ids))

    def accept_alike(self) -> bool:
        """Give what is proposed, and still selected, the class: one step of undo."""
        alike, chosen = self.alike, self._session.selection
        return alike is not None and self._session.set_class(chosen, alike.class_id)

    def drop_alike(self) -> None:
        """Propose nothing any more; nothing has changed."""
        if self.alike is not None:
            self.alike = None
            self._session.select(())
            self.changed.emit()

    def _forget_alike(self) -> None:
        if self.alike is not None:
            self.alike = None
            self.changed.emit()

    def _find_alike(
        self, lesson: Lesson, tile: Tile, like: frozenset[int], unlike: frozenset[int]
    ) -> list[tuple[int, float]]:
        describer, teacher = self._describer()
        rows = self._describing.rows(lesson, tile, describer, teacher)
        return lesson.alike(rows, like, unlike)

    def _show_alike(
        self, class_id: int, unlike: frozenset[int], found: list[tuple[int, float]]
    ) -> None:
        ranked = tuple(id_ for id_, _ in found)
        self.alike = Alike(class_id, ranked, unlike, sum(likeness > 0.5 for _, likeness in found))
        self._session.hand.keep()
        if self.alike is not None:  # what was in hand is kept, and may be another outline now
            self._session.select(self.alike.ids)
        self.changed.emit()

    # -- following the session --------------------------------------------------------------

    def close(self) -> None:
        """Stop; the derived classes stay as they are."""
        self._soon.stop()
        self._on = False
        self._session.labels.changed.disconnect(self._on_edit, missing_ok=True)
        self._session.classes_changed.disconnect(self._on_classes, missing_ok=True)

    def _on_edit(self, edit: Edit) -> None:
        given = [row.class_id for row in edit.rows_after.values() if row and row.class_said]
        if edit.verb == "class" and given and self._session.steps.move == "do":
            self.last_class = given[0]
            self.drop_alike()  # accepted, or left for something else
        if edit.after.size:
            self._outlines = object()
            self._forget_alike()  # a nucleus of it may be gone
        if self._on:
            self._soon.start(0)

    def _on_classes(self, palette: ClassPalette) -> None:
        """Follow the names of classes: what was brought is known by those it had then."""
        before, self._palette = self._palette, palette
        if palette.names not in self._called:  # else it was undone, or done again
            became, called = self._session.became, self._called.get(before.names, {})
            names = () if self._brought is None else self._brought.examples.names
            now = {name: called.get(name, name) for name in names}
            self._called[palette.names] = {n: became.get(each, each) for n, each in now.items()}
        self._forget_alike()
        if self._on:
            self._soon.start(0)

    def _learn(self) -> None:
        """Have the worker learn from what is there now; what comes meanwhile is learnt after."""
        if self._busy:
            self._stale = True
            return
        self._busy, self._stale = True, False
        lesson = lesson_of(self._session, self._outlines)
        called = self._called.get(self._session.classes.names, {})
        self._worker.submit(
            "Learning classes",
            partial(self._work, lesson, self._session.tile, self._brought, called),
            on_done=self._learnt,
            on_error=self._failed,
            on_cancel=self._stopped,
            urgent=True,
        )

    def _work(
        self,
        lesson: Lesson,
        tile: Tile,
        brought: SavedClassifier | None,
        called: Mapping[str, str],
    ) -> Outcome | None:
        """In the worker: describe nuclei whose outlines are new, then learn."""
        describer, teacher = self._describer()
        if brought is not None:
            brought.ready_for(teacher)
        rows = self._describing.rows(lesson, tile, describer, teacher)
        return lesson.learn(rows, teacher, brought, called)

    def _describer(self) -> tuple[Describer, Teacher]:
        """Say who describes nuclei, here or at a server."""
        annotator = self._annotator()
        card = annotator.card
        return annotator, Teacher(card.id, card.sha256, annotator.description)

    def _learnt(self, outcome: Outcome | None) -> None:
        self._busy = False
        if not self._on:
            return
        if outcome is not None and outcome.palette != self._session.classes:
            self._soon.start(0)  # a class was moved, renamed or removed meanwhile
            return
        if outcome is None and self._restored:
            return
        self._told_away = False
        self.outcome, self._restored = outcome, False
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
