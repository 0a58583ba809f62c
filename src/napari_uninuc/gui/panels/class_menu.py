"""What can be done to a class: another name, colour or place, or none at all."""

from collections.abc import Callable

from qtpy.QtGui import QColor
from qtpy.QtWidgets import QColorDialog, QInputDialog, QMenu, QWidget

from napari_uninuc.errors import LabelsError, UniNucError
from napari_uninuc.gui.window.notices import tell_problem
from napari_uninuc.session import AnnotationSession

__all__ = ["ClassMenu"]


class ClassMenu(QMenu):
    """Acts on one class of a session; every entry is one step of undo.

    Parameters
    ----------
    parent : of the menu and of its questions
    chosen : gives session and class id when an entry is chosen; None where there is none
    """

    def __init__(
        self, parent: QWidget, chosen: Callable[[], tuple[AnnotationSession, int] | None]
    ) -> None:
        super().__init__(parent)
        self._chosen = chosen
        for words, act in (
            ("Rename...", self._rename),
            ("Colour...", self._recolour),
            ("Up", lambda session, class_id: self._move(session, class_id, -1)),
            ("Down", lambda session, class_id: self._move(session, class_id, 1)),
            ("Remove...", self._remove),
        ):
            entry = self.addAction(words)
            if entry is not None:
                entry.triggered.connect(lambda _=False, act=act: self._do(act))

    def _do(self, act: Callable[[AnnotationSession, int], None]) -> None:
        chosen = self._chosen()
        if chosen is not None:
            try:
                act(*chosen)
            except UniNucError as problem:
                tell_problem(problem)

    def _rename(self, session: AnnotationSession, class_id: int) -> None:
        before = session.classes.names[class_id]
        name, given = QInputDialog.getText(self, "Rename class", "Name", text=before)
        if given and name.strip():
            session.rename_class(class_id, name)

    def _recolour(self, session: AnnotationSession, class_id: int) -> None:
        before = QColor(session.classes.colour_of(class_id))
        colour = QColorDialog.getColor(before, self, f"Colour of {session.classes.names[class_id]}")
        if colour.isValid():
            session.recolour_class(class_id, colour.name())

    def _move(self, session: AnnotationSession, class_id: int, by: int) -> None:
        if 0 <= class_id + by < len(session.classes):
            session.move_class(class_id, class_id + by)

    def _remove(self, session: AnnotationSession, class_id: int) -> None:
        """Ask for the class that its nuclei get, where it has any."""
        others = [each for each in range(len(session.classes)) if each != class_id]
        if not others:
            raise LabelsError(
                f"{session.classes.names[class_id]} is the only class; rename it, or add another"
            )
        into, name = others[0], session.classes.names[class_id]
        count = sum(row.class_id == class_id for row in session.labels.nuclei.values())
        if count:
            names = [session.classes.names[each] for each in others]
            words = f"{count:,} nuclei are {name}. They become"
            answer, given = QInputDialog.getItem(
                self, f"Remove class {name}", words, names, 0, False
            )
            if not given:
                return
            into = others[names.index(answer)]
        session.remove_class(class_id, into)
