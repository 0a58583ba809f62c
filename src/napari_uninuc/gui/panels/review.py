"""Going through the nuclei, the most doubtful first."""

from psygnal import SignalInstance
from qtpy.QtWidgets import QLabel, QProgressBar, QPushButton

from napari_uninuc.core.review import Progress
from napari_uninuc.gui.desk import Desk
from napari_uninuc.gui.panels.frame import Panel, key_button, row

__all__ = ["ReviewPanel"]

_ACTIONS = ("previous", "accept", "next")

_REASONS = {
    "score": "Look here because the model was not sure that this is a nucleus.",
    "predicted_iou": "Look here because the model was not sure of the outline.",
    "disagreement": "Look here because the outline and the box first found do not agree.",
    "border": "Look here because it touches the edge of the picture.",
    "size": "Look here because it is unusually large or small.",
    "class_doubt": "Look here because its class is in doubt.",
}


class ReviewPanel(Panel):
    """How many are reviewed, and three buttons."""

    def __init__(self) -> None:
        super().__init__("Review, most doubtful first")
        self.bar = QProgressBar()
        self.bar.setFormat("nothing to review")
        self.why = QLabel()
        self.why.setWordWrap(True)
        self.buttons: dict[str, QPushButton] = {}
        for action in _ACTIONS:
            made = key_button(action)
            made.clicked.connect(lambda _=False, action=action: self._on_action(action))
            self.buttons[action] = made
        self.column.addWidget(self.bar)
        self.column.addWidget(row(*self.buttons.values()))
        self.column.addWidget(self.why)

    def slow_signals(self, desk: Desk) -> list[SignalInstance]:
        """Every edit, and what is in hand."""
        return [desk.session.labels.changed, desk.session.hand.changed]

    def refresh_later(self) -> None:
        """Show progress, and why to look at what is in hand."""
        desk = self.desk
        state = Progress(0, 0) if desk is None else desk.session.queue.progress
        self.bar.setRange(0, max(state.total, 1))
        self.bar.setValue(state.reviewed)
        self.bar.setFormat(str(state) if state.total else "nothing to review")
        self.why.setText("" if desk is None else self._reason(desk))
        self.why.setVisible(bool(self.why.text()))

    def _reason(self, desk: Desk) -> str:
        draft, state = desk.session.hand.draft, desk.session.queue.progress
        if draft is None and 0 < state.total == state.reviewed:
            return "Every nucleus is reviewed."
        if draft is None or not desk.session.labels.area(draft.nucleus_id):
            return ""
        if desk.disputes is not None and desk.disputes.settling.at(draft.nucleus_id) is not None:
            return ""  # why, two readers tell
        queue = desk.session.queue
        doubt = queue.uncertainty_of(draft.nucleus_id)
        return _REASONS[doubt.main_reason(queue.weights)] if doubt.total(queue.weights) > 0 else ""

    def _on_action(self, action: str) -> None:
        if self.desk is not None:
            self.desk.actions[action]()
