"""Nuclei found by what they are called: asked of the model, shown, and taken over or not."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import numpy as np
import numpy.typing as npt
from psygnal import Signal

from napari_uninuc.core.edits import Edit
from napari_uninuc.core.names import NUCLEUS, plain
from napari_uninuc.core.tile import Tile
from napari_uninuc.engine.protocol import Annotator, Namer
from napari_uninuc.errors import ModelNotFoundError, PromptError
from napari_uninuc.gui.work.jobs import Worker
from napari_uninuc.session import AnnotationSession
from napari_uninuc.session.lessons import Lesson, lesson_of

__all__ = ["Naming", "Proposed"]

_MEANT = 0.5
_SURE = 0.9
_EXAMPLES = 20
"""Nuclei that become examples at most: those the model is surest of."""


@dataclass(frozen=True, slots=True)
class Proposed:
    """Nuclei that a model finds by a name.

    Attributes
    ----------
    name : what was meant
    ranked : ids, those that hold most of it first
    shares : of each, how much of its mask is what was asked for
    count : how many of them are meant
    """

    name: str
    ranked: tuple[int, ...]
    shares: tuple[float, ...]
    count: int

    @property
    def ids(self) -> tuple[int, ...]:
        """Those that are meant."""
        return self.ranked[: self.count]

    @property
    def surest(self) -> tuple[int, ...]:
        """Those that can stand as examples."""
        sure = sum(share >= _SURE for share in self.shares[: self.count])
        return self.ranked[: min(sure, _EXAMPLES)]


class Naming:
    """Finds nuclei of one session by name.

    Parameters
    ----------
    worker : where the model computes
    session : whose nuclei
    annotator : gives the model, called in the worker's thread too
    on_problem : told in the window's thread what went wrong

    Attributes
    ----------
    changed : nuclei are proposed, or no longer
    proposed : nuclei found by name; None where none are
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
        self.proposed: Proposed | None = None
        session.labels.changed.connect(self._on_edit)

    @property
    def names(self) -> tuple[str, ...]:
        """What the model in use can find by name; empty before one is loaded."""
        try:
            return tuple(getattr(self._annotator(), "names", ()))
        except ModelNotFoundError:
            return ()

    @property
    def names_from(self) -> str:
        """Which tissue the model knows them from, in words; empty where that is not known."""
        return str(getattr(self._annotator(), "names_from", "")) if self.names else ""

    def find(self, text: str) -> None:
        """Find nuclei of a name in the worker, and select them.

        Raises
        ------
        PromptError
            The model knows no such name, and it says which it knows; or there are no nuclei.
        """
        names = self.names
        meant = plain(text, (*names, NUCLEUS))
        if meant is None or not names:
            known = ", ".join(names)
            raise PromptError(
                f"{text!r} is no name that this model knows (it knows {known}); teach it by a few "
                "examples instead"
                if known
                else "this model knows no names; teach classes by a few examples instead"
            )
        lesson = lesson_of(self._session)
        if not len(lesson.ids):
            raise PromptError("nothing is outlined here; press Outline all nuclei, then find")
        if meant not in names:  # all nuclei
            self._show(meant, lesson, np.ones(len(lesson.ids)))
            return
        self._worker.submit(
            f"Finding {meant} nuclei",
            partial(self._work, lesson, self._session.tile, meant),
            on_done=partial(self._show, meant, lesson),
            on_error=self._on_problem,
            urgent=True,
        )

    def take(self, count: int) -> None:
        """Select so many of the nuclei found, those that hold most of it first."""
        if self.proposed is not None and count != self.proposed.count:
            self.proposed = replace(self.proposed, count=count)
            self._session.select(self.proposed.ids)
            self.changed.emit()

    def accept(self) -> bool:
        """Give what is selected by now the class of the name: one step of undo.

        Returns
        -------
        given : False where all of it has that class already; what was proposed is gone then too
        """
        proposed, chosen = self.proposed, self._session.selection
        given = proposed is not None and self._session.set_class_named(chosen, proposed.name)
        self.drop()
        return given

    def accept_surest(self) -> bool:
        """Give only the surest the class, as examples to learn from: one step of undo."""
        proposed, chosen = self.proposed, self._session.selection
        if proposed is None:
            return False
        surest = [id_ for id_ in proposed.surest if id_ in chosen]
        return self._session.set_class_named(surest, proposed.name)

    def drop(self) -> None:
        """Propose nothing any more; nothing has changed."""
        if self.proposed is not None:
            self.proposed = None
            self._session.select(())
            self.changed.emit()

    def close(self) -> None:
        """Follow the session no longer."""
        self._session.labels.changed.disconnect(self._on_edit, missing_ok=True)

    def _work(self, lesson: Lesson, tile: Tile, name: str) -> npt.NDArray[np.float64]:
        return cast(Namer, self._annotator()).shares(tile, lesson.masks(), name)

    def _show(self, name: str, lesson: Lesson, shares: npt.NDArray[np.float64]) -> None:
        there = [
            (id_, share)
            for id_, share in zip(lesson.ids.tolist(), shares.tolist(), strict=True)
            if self._session.labels.area(id_)
        ]
        there.sort(key=lambda one: -one[1])
        count = sum(share > _MEANT for _, share in there)
        ids, each = tuple(id_ for id_, _ in there), tuple(share for _, share in there)
        self._session.hand.keep()
        self.proposed = Proposed(name, ids, each, count)
        self._session.select(self.proposed.ids)
        self.changed.emit()

    def _on_edit(self, edit: Edit) -> None:
        """Forget what was proposed where a nucleus may be gone, or classes were given."""
        if self.proposed is not None and (edit.after.size or edit.verb == "class"):
            self.proposed = None
            self._session.select(())
            self.changed.emit()
