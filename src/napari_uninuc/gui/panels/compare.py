"""Two readers of the picture: compared, and what they disagree about settled."""

from psygnal import SignalInstance
from qtpy.QtWidgets import QLabel, QPushButton

from napari_uninuc.agreement.kinds import Kind
from napari_uninuc.gui.desk import Desk
from napari_uninuc.gui.layers.reader_outlines import READER_COLOURS
from napari_uninuc.gui.panels.compare_dialog import CompareDialog
from napari_uninuc.gui.panels.frame import Panel, button, key_button, row
from napari_uninuc.gui.window.keymap import key_of
from napari_uninuc.gui.window.notices import tell
from napari_uninuc.gui.work.disputes import Disputes
from napari_uninuc.gui.workbench import Workbench
from napari_uninuc.session.settling import Choice, Dispute, Settling

__all__ = ["ComparePanel"]

_ACTIONS = ("take_first", "take_second", "take_anew")

_WORDS = {
    Kind.CLASS_DIFFERS: "Two classes.",
    Kind.SPLIT: "One nucleus, or several?",
    Kind.MERGED: "One nucleus, or several?",
    Kind.ONLY_A: "Only one of them has it.",
    Kind.ONLY_B: "Only one of them has it.",
}


class ComparePanel(Panel):
    """One button to compare; then both readers' words on the place under review, and three keys."""

    def __init__(self, workbench: Workbench) -> None:
        super().__init__("Two readers")
        self._workbench = workbench
        self.compare = button(
            "Compare with...",
            "Compare these nuclei with another reader's, and settle where you disagree. What is "
            "in the window now stays on disk.",
        )
        self.words = QLabel()
        self.words.setWordWrap(True)
        self.buttons: dict[str, QPushButton] = {}
        for action in _ACTIONS:
            made = key_button(action)
            made.clicked.connect(lambda _=False, action=action: self._on_action(action))
            self.buttons[action] = made
        self.dialog: CompareDialog | None = None
        self._choices = row(*self.buttons.values())
        for part in (self.compare, self.words, self._choices):
            self.column.addWidget(part)
        self.compare.clicked.connect(self._on_compare)

    def slow_signals(self, desk: Desk) -> list[SignalInstance]:
        """Every edit, and what is in hand."""
        return [desk.session.labels.changed, desk.session.hand.changed]

    def refresh_later(self) -> None:
        """Show what is to be settled, and what either reader says of it."""
        disputes = None if self.desk is None else self.desk.disputes
        self._choices.setVisible(disputes is not None)
        self.words.setVisible(disputes is not None)
        if disputes is not None:
            self.words.setText(_told(disputes))

    def _on_action(self, action: str) -> None:
        if self.desk is not None and self.desk.disputes is not None:
            self.desk.actions[action]()

    def _on_compare(self) -> None:
        if self.desk is None:
            return
        found = self._workbench.sessions.earlier(self.desk.session)
        self.dialog = CompareDialog(self, found)
        self.dialog.accepted.connect(self._on_accepted)
        self.dialog.open()

    def _on_accepted(self) -> None:
        if self.dialog is not None:
            self._workbench.compare(self.dialog.order, self._on_compared)
            self.dialog = None

    def _on_compared(self, settling: Settling) -> None:
        count = len(settling.disputes)
        if count:
            tell(f"{count} disagreements. Press {key_of('next').shown} to go to the first.")
        else:
            tell("They agree on every nucleus.")


def _told(disputes: Disputes) -> str:
    settling, dispute = disputes.settling, disputes.current
    left = settling.open
    if not left:
        return f"All {len(settling.disputes)} disagreements are settled."
    lines = [f"{left} of {len(settling.disputes)} disagreements are open."]
    if dispute is None or not settling.waits(dispute):
        return f"{lines[0]} Next leads to them."
    lines.append(_WORDS[dispute.found.kind])
    for colour, place, side in zip(
        READER_COLOURS, ("first", "second"), (dispute.first, dispute.second), strict=True
    ):
        name = place.capitalize() if settling.blinded else settling.names[side is Choice.B]
        lines.append(f'<span style="color:{colour}">■</span> {name}: {_says(dispute, side)}')
    return "<br>".join(lines)


def _says(dispute: Dispute, side: Choice) -> str:
    found = dispute.found
    ids, called = (found.a_ids, found.a_class) if side is Choice.A else (found.b_ids, found.b_class)
    if not ids:
        return "nothing here"
    many = "one nucleus" if len(ids) == 1 else f"{len(ids)} nuclei"
    return f"{many}, {called}" if called else many
