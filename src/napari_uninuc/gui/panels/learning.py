"""In the panel of the model: learn from corrections, and choose among what was learnt."""

from datetime import datetime
from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QProgressBar,
    QVBoxLayout,
    QWidget,
)

from napari_uninuc.core.examples import ANSWERED_FOR, ENOUGH_NUCLEI
from napari_uninuc.engine.protocol import AnnotatorCard
from napari_uninuc.errors import UniNucError
from napari_uninuc.gui.desk import Desk
from napari_uninuc.gui.panels.frame import button, row
from napari_uninuc.gui.window.notices import tell_problem, warn
from napari_uninuc.gui.work.learning import LearningProcess, LearningState, Order
from napari_uninuc.gui.workbench import Workbench
from napari_uninuc.journal.listing import FoundSession, find_all
from napari_uninuc.network.adapter_card import (
    LearntState,
    free_path,
    in_words,
    list_states,
    read_adapter_card,
)

__all__ = ["LearningBox"]

_AS_IT_CAME = "As it came"
_FINAL = 1000


class LearningBox(QWidget):
    """A button that learns, how far that is, and the states to choose from.

    Parameters
    ----------
    workbench : whose model learns, from whose sessions

    Attributes
    ----------
    chosen : another state is wanted: its file, or None for the model as it came
    """

    chosen = Signal(object)

    def __init__(self, workbench: Workbench) -> None:
        super().__init__()
        self._workbench = workbench
        self._desk: Desk | None = None
        self.learning = LearningProcess(on_done=self._on_done, on_problem=warn)
        self.states = QComboBox()
        self.states.setToolTip(
            "What the model has learnt from corrections. Choosing another takes a second; the "
            "model itself is never changed."
        )
        self.forget = button("Delete state", "Delete this learnt state; the model itself stays.")
        self.start = button(
            "Learn from my corrections",
            "Teach the model what was corrected on this picture. It is kept only where it does "
            "better on corrections kept aside.",
        )
        self.others = button(
            "Of more pictures...", "Choose which saved pictures to learn from, this one or others."
        )
        self.pause = button("Pause", "Let it rest, or go on.")
        self.cancel = button("Cancel", "Stop learning; nothing changes.")
        self.bar = QProgressBar()
        self.bar.setMaximum(_FINAL)
        self.told = QLabel()
        self.told.setWordWrap(True)
        self._underway = row(self.bar, self.pause, self.cancel)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        for part in (
            row(self.states, self.forget),
            row(self.start, self.others),
            self._underway,
            self.told,
        ):
            layout.addWidget(part)
        self._outcome = ""
        self._listed: tuple[str, str] | None = None
        self.states.activated.connect(self._on_state)
        self.forget.clicked.connect(self._on_forget)
        self.start.clicked.connect(self._on_start)
        self.others.clicked.connect(self._on_others)
        self.pause.clicked.connect(self._on_pause)
        self.cancel.clicked.connect(self.learning.cancel)
        self.learning.changed.connect(self.refresh)
        workbench.models.changed.connect(self._on_model)
        self.refresh()

    def follow(self, desk: Desk | None) -> None:
        """Learn from another desk's picture, or none."""
        self._desk = desk
        self.refresh()

    def close_learning(self) -> None:
        """End what is being learnt; the window goes."""
        self.learning.cancel()

    def refresh(self) -> None:
        """Show whether there is enough to learn from, and how far learning is."""
        state = self.learning.state
        self._underway.setVisible(state is not None)
        card = None if self._workbench.models.annotator is None else self._card()
        here = self._workbench.models.source is not None  # and not on a server
        can = state is None and here and card is not None and bool(card.sha256)
        count = self._count()
        self.start.setEnabled(can and count >= ENOUGH_NUCLEI)
        self.others.setEnabled(can)
        self.forget.setEnabled(state is None and self.states.currentData() is not None)
        if state is not None:
            self._show(state)
        elif self._outcome:
            self.told.setText(self._outcome)
        else:
            missing = "" if self._desk is None or count >= ENOUGH_NUCLEI else _missing(count)
            self.told.setText("\n".join(filter(None, (self._about_state(), missing))))

    def _about_state(self) -> str:
        path = self.states.currentData()
        if path is None:
            return ""
        try:
            card = read_adapter_card(Path(path))
        except UniNucError:
            return ""
        return (
            f"Learnt from {card.nuclei} corrections of {len(card.sessions)} "
            f"{'picture' if len(card.sessions) == 1 else 'pictures'}: {in_words(card.proof)}."
            f"{self._about_picture()}"
        )

    def _about_picture(self) -> str:
        """How much of the state is used on the picture that is seen."""
        ask = getattr(self._workbench.models.annotator, "state_share", None)
        share = None if ask is None or self._desk is None else ask(self._desk.session.tile)
        if share is None or share == 1:
            return ""
        how = f"only {100 * share:.0f} % of it is used" if share else "it is not used"
        return f" On this picture {how}: it looks otherwise than what was corrected."

    def _show(self, state: LearningState) -> None:
        self.bar.setValue(round(_FINAL * state.done / state.total) if state.total else 0)
        self.pause.setText("Go on" if state.paused else "Pause")
        left = "" if state.seconds_left is None else f", {_time(state.seconds_left)} left"
        self.told.setText(f"Paused{left}" if state.paused else f"{state.what.capitalize()}{left}")

    def _count(self) -> int:
        if self._desk is None:
            return 0
        rows = self._desk.session.labels.nuclei.values()
        return sum(each.status in ANSWERED_FOR for each in rows)

    def _card(self) -> AnnotatorCard:
        return self._workbench.models.require().card

    def _on_model(self) -> None:
        annotator = self._workbench.models.annotator
        if annotator is None or self._workbench.models.loading:
            return
        self.list_states()
        self.refresh()

    def list_states(self) -> None:
        """List the states of the model in use, and mark the one that it is in."""
        card = self._card()
        self.states.clear()
        self.states.addItem(_AS_IT_CAME, None)
        current = card.learnt or None
        for state in list_states(card.id, card.sha256):
            self.states.addItem(_label(state), str(state.path))
            if state.path.stem == current:
                self.states.setCurrentIndex(self.states.count() - 1)
        if current is not None and self.states.currentIndex() == 0:
            self.states.addItem(current, None)  # its file is gone, or lies elsewhere
            self.states.setCurrentIndex(self.states.count() - 1)

    def _on_state(self) -> None:
        self._outcome = ""
        data = self.states.currentData()
        self.chosen.emit(None if data is None else Path(data))
        self.refresh()

    def _on_forget(self) -> None:
        path = self.states.currentData()
        if path is None:
            return
        try:
            Path(path).unlink(missing_ok=True)
        except OSError as problem:
            warn(f"{path}: cannot be deleted ({problem.strerror}); delete it by hand")
            return
        self._outcome = ""
        self.chosen.emit(None)
        self.list_states()
        self.refresh()

    def _on_start(self) -> None:
        if self._desk is None:
            return
        self._workbench.finish()
        folder = self._workbench.sessions.folder_of(self._desk.session)
        if folder is None:
            warn(
                "The corrections of this picture are not kept on disk, so there is nothing to "
                "learn from; turn keeping on in the preferences and correct a nucleus"
            )
            return
        self._learn((folder,), self._desk.session.tile.name)

    def _learn(self, sessions: tuple[Path, ...], name: str) -> None:
        card = self._card()
        called = f"{Path(name).stem}-{datetime.now():%Y-%m-%d}"
        self._outcome = ""
        source = self._workbench.models.source
        if source is not None:
            self.learning.start(Order(sessions, source, free_path(card.id, called)))

    def _on_others(self) -> None:
        self._workbench.finish()
        self._workbench.worker.submit(
            "Looking for saved pictures",
            find_all,
            on_done=self._choose_sessions,
            on_error=tell_problem,
        )

    def _choose_sessions(self, found: list[FoundSession]) -> None:
        dialog = SessionsDialog(found, self)
        if dialog.exec() == QDialog.DialogCode.Accepted and dialog.chosen():
            chosen = dialog.chosen()
            name = chosen[0].name if len(chosen) == 1 else f"{len(chosen)}-pictures"
            self._learn(tuple(each.path for each in chosen), name)

    def _on_pause(self) -> None:
        state = self.learning.state
        if state is not None and state.paused:
            self.learning.go_on()
        else:
            self.learning.pause()

    def _on_done(self, order: Order, better: bool, said: str) -> None:
        """Say what has come of it; a better state is taken at once, where its model is in use."""
        measured = said.split(": ", 1)[-1]
        if not better:
            self._outcome = f"No better by more than chance, so nothing has changed: {measured}."
            self.refresh()
            return
        self._outcome = f"Better: {measured}. The model as it came is one choice away."
        if self._workbench.models.source == order.model:
            self.chosen.emit(order.output)
        else:
            self._outcome = f"Learnt, for {Path(order.model).name}: {measured}."
        self.refresh()


class SessionsDialog(QDialog):
    """Which saved pictures to learn from."""

    def __init__(self, found: list[FoundSession], parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("Learn from which pictures?")
        self._found = found
        self.list = QListWidget()
        self._items: list[QListWidgetItem] = []
        for each in found:
            when = each.changed.astimezone()
            item = QListWidgetItem(
                f"{each.name or each.path.name} - {each.nuclei} nuclei, {each.changes} changes, "
                f"{when:%Y-%m-%d %H:%M}"
            )
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
            item.setCheckState(Qt.CheckState.Unchecked)
            self.list.addItem(item)
            self._items.append(item)
        kinds = QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel
        self.buttons = QDialogButtonBox(kinds)
        learn = self.buttons.button(QDialogButtonBox.StandardButton.Ok)
        if learn is not None:
            learn.setText("Learn")
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addWidget(QLabel("Corrections of the pictures ticked are learnt together."))
        layout.addWidget(self.list)
        layout.addWidget(self.buttons)
        self.resize(520, 360)

    def chosen(self) -> list[FoundSession]:
        """Those ticked."""
        ticked = Qt.CheckState.Checked
        listed = zip(self._found, self._items, strict=True)
        return [each for each, item in listed if item.checkState() == ticked]


def _missing(count: int) -> str:
    return (
        f"To learn, {ENOUGH_NUCLEI} nuclei of a picture must be reviewed, corrected or added; "
        f"{ENOUGH_NUCLEI - count} are missing here."
    )


def _label(state: LearntState) -> str:
    proof = state.card.proof
    return f"{state.path.stem} ({proof.right_before} -> {proof.right_after} of {proof.nuclei})"


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
