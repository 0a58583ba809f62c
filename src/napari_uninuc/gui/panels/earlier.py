"""Earlier work on the same picture, to go on with."""

from psygnal import SignalInstance
from qtpy.QtWidgets import QComboBox, QLabel

from napari_uninuc.gui.desk import Desk
from napari_uninuc.gui.panels.frame import Panel, button, row
from napari_uninuc.gui.workbench import Workbench
from napari_uninuc.journal.listing import FoundSession

__all__ = ["EarlierPanel"]


class EarlierPanel(Panel):
    """Seen only where there is earlier work; says when it was and how much.

    Folds once something is changed in the picture: what is worked at then needs the room.
    """

    def __init__(self, workbench: Workbench) -> None:
        super().__init__("Corrected before")
        self._workbench = workbench
        self._shown: list[FoundSession] = []
        self._begun = False
        self.choice = QComboBox()
        self.choice.setToolTip("When you last changed something in this picture.")
        self.words = QLabel()
        self.words.setWordWrap(True)
        self.go_on = button("Go on with it", "Bring these nuclei back, as they were at the end.")
        self.begin_anew = button("Begin anew", "Leave it on disk; it is offered again next time.")
        for part in (self.choice, self.words, row(self.go_on, self.begin_anew)):
            self.column.addWidget(part)
        self.choice.currentIndexChanged.connect(self._on_choice)
        self.go_on.clicked.connect(self._on_go_on)
        self.begin_anew.clicked.connect(self._on_begin_anew)

    def signals(self, desk: Desk) -> list[SignalInstance]:
        """Earlier work found, or dismissed; the first change."""
        return [self._workbench.sessions.changed, desk.session.steps.changed]

    def refresh(self) -> None:
        """List what there is, the newest first."""
        found = [] if self.desk is None else self._workbench.sessions.earlier(self.desk.session)
        if found != self._shown:
            self._shown = list(found)
            self.choice.clear()
            self.choice.addItems([_when(each) for each in found])
        self.setVisible(bool(found))
        begun = self.desk is not None and self.desk.session.steps.history.can_undo
        if begun != self._begun:
            self._begun = begun
            self.put_away(begun)

    def _on_choice(self, place: int) -> None:
        if 0 <= place < len(self._shown):
            self.words.setText(_words(self._shown[place]))

    def _on_go_on(self) -> None:
        if self._shown:
            self._workbench.go_on_with(self._shown[self.choice.currentIndex()])

    def _on_begin_anew(self) -> None:
        if self.desk is not None:
            self._workbench.sessions.dismiss(self.desk.session)


def _when(found: FoundSession) -> str:
    return f"{found.changed.astimezone():%A, %d %B %Y, %H:%M}"


def _words(found: FoundSession) -> str:
    text = f"{found.nuclei} nuclei, {found.changes} changes."
    if found.in_use:
        text += " It is open in another window."
    elif not found.closed:
        text += " napari ended unexpectedly then."
    return text if found.problem is None else f"{text} Damaged: {found.problem}"
