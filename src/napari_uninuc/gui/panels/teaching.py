"""Classes from examples: on and off, what they are taken for, which to ask next, files."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from psygnal import SignalInstance
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QInputDialog,
    QLabel,
    QSlider,
    QTableWidget,
    QTableWidgetItem,
)

from napari_uninuc.errors import UniNucError
from napari_uninuc.gui.desk import Desk
from napari_uninuc.gui.panels.frame import Panel, button, key_button, row
from napari_uninuc.gui.panels.save import may_replace
from napari_uninuc.gui.window.keymap import button_text
from napari_uninuc.gui.window.notices import tell_problem
from napari_uninuc.gui.work.teaching import Alike, Teaching
from napari_uninuc.io.classifiers import SavedClassifier, read_classifier, write_classifier
from napari_uninuc.session.lessons import Outcome

__all__ = ["TeachingPanel"]

_FRAME_PX = 22
"""Of the table of examples: its frame, and the bar to scroll it sideways."""
_ENDING = ".safetensors"
_FILES = f"Classifiers (*{_ENDING})"
_FROM_FILE = "From a file..."


class TeachingPanel(Panel):
    """Derives the class of every nucleus from those a person has given."""

    def __init__(self) -> None:
        super().__init__("Classes from examples", folded=True)
        self.on = QCheckBox("Class all nuclei like my examples")
        self.on.setToolTip(
            "Give a few nuclei their class by number keys; all others get the class of those they "
            "look like. What you said stays, and turning this off restores what was."
        )
        self.ask = key_button("ask")
        self.save = button("Save...", "Save what was taught, for other pictures and uninuc.")
        self.load = button(
            "Load...", "Go on from what was taught on other pictures; several files add up."
        )
        self.before = button("As before", "Go on from what was taught on the picture before.")
        self.state = QLabel()
        self.state.setWordWrap(True)
        self.known = QTableWidget()
        self.known.setToolTip(
            "Rows: what you said. Columns: examples, here and from other pictures; then what they "
            "are taken for by a classifier that had not seen them."
        )
        self.known.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.known.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.alike = key_button("alike")
        self.not_alike = key_button("not_alike")
        self.take = button("Accept", "Give the nuclei selected the class: one step of undo.")
        self.drop = button("Drop", "Propose nothing; no nucleus changes.")
        self.count = QSlider(Qt.Orientation.Horizontal)
        self.count.setToolTip("How many are meant, those most like the examples first")
        self.proposed = QLabel()
        self.proposed.setWordWrap(True)
        for part in (
            self.on,
            row(self.ask, self.save, self.load, self.before),
            self.state,
            self.known,
            row(self.alike, self.not_alike),
            self.count,
            row(self.take, self.drop),
            self.proposed,
        ):
            self.column.addWidget(part)
        self._taught: SavedClassifier | None = None
        self.on.clicked.connect(self._on_on)
        self.ask.clicked.connect(partial(self._act, "ask"))
        self.alike.clicked.connect(partial(self._act, "alike"))
        self.not_alike.clicked.connect(partial(self._act, "not_alike"))
        self.save.clicked.connect(self._on_save)
        self.load.clicked.connect(self._on_load)
        self.before.clicked.connect(self._on_before)
        self.count.valueChanged.connect(self._on_count)
        self.take.clicked.connect(self._on_take)
        self.drop.clicked.connect(self._on_drop)

    def follow(self, desk: Desk | None) -> None:
        """Show another desk; what was taught on the one before can be gone on from."""
        outcome = None if self.desk is None else self.desk.teaching.outcome
        if outcome is not None and desk is not self.desk:
            self._taught = outcome.taught
        super().follow(desk)

    def signals(self, desk: Desk) -> list[SignalInstance]:
        """What was learnt."""
        return [desk.teaching.changed]

    def refresh(self) -> None:
        """Show whether it is on, what left-out examples are taken for, and what is proposed."""
        teaching = None if self.desk is None else self.desk.teaching
        outcome = None if teaching is None else teaching.outcome
        self.on.setChecked(teaching is not None and teaching.on)
        self.save.setEnabled(outcome is not None)
        self.ask.setEnabled(outcome is not None)
        self.before.setVisible(self._taught is not None)
        self._show_known(outcome)
        self._show_alike(None if teaching is None else teaching.alike)
        if teaching is None or not teaching.on:
            self.state.setText("")
        elif outcome is None and self.desk is not None and self.desk.session.derived:
            self.state.setText(
                "As they were when the session was saved. They are learnt anew after the next "
                "example; if they came from a file, load it again first."
            )
        elif outcome is None:
            self.state.setText("Give one nucleus each of two classes or more.")
        else:
            self.state.setText(_in_words(outcome.taught.examples.names, outcome.confusion))

    def _show_known(self, outcome: Outcome | None) -> None:
        """Fill the table of examples, of the classes that have some."""
        self.known.setVisible(outcome is not None)
        if outcome is None:
            return
        examples = outcome.taught.examples
        counts = np.bincount(examples.classes, minlength=len(examples.names))
        told = np.flatnonzero(counts)
        names = [examples.names[k] for k in told]
        self.known.setColumnCount(2 + len(names))
        self.known.setRowCount(len(names))
        self.known.setVerticalHeaderLabels(names)
        self.known.setHorizontalHeaderLabels(["here", "others", *(f"-> {each}" for each in names)])
        taken = outcome.confusion[:, told]
        cells = np.column_stack([outcome.own, counts - outcome.own, taken])[told]
        for (down, right), number in np.ndenumerate(cells):
            self.known.setItem(down, right, QTableWidgetItem(str(number)))
        self.known.resizeColumnsToContents()
        header = self.known.horizontalHeader()
        height = _FRAME_PX + (0 if header is None else header.sizeHint().height())
        height += sum(self.known.rowHeight(k) for k in range(len(names)))
        self.known.setFixedHeight(height)

    def _show_alike(self, alike: Alike | None) -> None:
        for part in (self.count, self.take, self.drop, self.proposed, self.not_alike):
            part.setVisible(alike is not None)
        if alike is None or self.desk is None:
            return
        self.count.blockSignals(True)
        self.count.setRange(0, len(alike.ranked))
        self.count.setValue(alike.count)
        self.count.blockSignals(False)
        name = self.desk.session.classes.name_of(alike.class_id)
        self.take.setText(f"Accept as {name}")
        self.proposed.setText(
            f"{alike.count} of {len(alike.ranked)} nuclei are proposed as {name}; they are "
            f"selected. The slider takes more or fewer, {button_text('not_alike')} those like the "
            "one under the cursor away."
        )

    def _act(self, action: str, *_: object) -> None:
        if self.desk is not None:
            self.desk.actions[action]()

    def _on_on(self, on: bool) -> None:
        if self.desk is not None:
            self.desk.teaching.on = on

    def _on_count(self, count: int) -> None:
        if self.desk is not None:
            self.desk.teaching.take_alike(count)

    def _on_take(self) -> None:
        if self.desk is not None:
            self.desk.teaching.accept_alike()

    def _on_drop(self) -> None:
        if self.desk is not None:
            self.desk.teaching.drop_alike()

    def _on_save(self) -> None:
        outcome = None if self.desk is None else self.desk.teaching.outcome
        name, _ = QFileDialog.getSaveFileName(
            self, "Save classifier", "classes.safetensors", _FILES
        )
        path = Path(name if name.lower().endswith(_ENDING) else f"{name}{_ENDING}")
        if outcome is not None and name and may_replace(self, "Save classifier", name, path):
            try:
                write_classifier(outcome.taught, path)
            except UniNucError as problem:
                tell_problem(problem)

    def _on_load(self) -> None:
        if self.desk is None:
            return
        teaching, chosen, sure = self.desk.teaching, _FROM_FILE, True
        if teaching.offered:
            choices = [*teaching.offered, _FROM_FILE]
            chosen, sure = QInputDialog.getItem(
                self, "Load classifier", "The server offers", choices, 0, False
            )
        if sure and chosen != _FROM_FILE:
            teaching.bring_offered(chosen)
        elif sure:
            self._load_from_file(teaching)

    def _load_from_file(self, teaching: Teaching) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Load classifier", "", _FILES)
        if name:
            self._bring(teaching, lambda: read_classifier(Path(name)))

    def _on_before(self) -> None:
        taught = self._taught
        if taught is not None and self.desk is not None:
            self._bring(self.desk.teaching, lambda: taught)

    def _bring(self, teaching: Teaching, read: Callable[[], SavedClassifier]) -> None:
        try:
            teaching.bring(read())
        except UniNucError as problem:
            tell_problem(problem)


def _in_words(names: tuple[str, ...], confusion: "np.ndarray") -> str:
    """How many examples were known again when they were left out, and what was mistaken most."""
    total, right = int(confusion.sum()), int(np.trace(confusion))
    if total == 0:
        return "With two examples of a class it can be told how well they are known."
    said = f"Left out, {right} of {total} examples are known again ({100 * right / total:.0f} %)."
    wrong = confusion - np.diag(np.diag(confusion))
    if wrong.max() == 0:
        return said
    true, taken = np.unravel_index(int(wrong.argmax()), wrong.shape)
    return f"{said} Most often {names[true]} is taken for {names[taken]} ({wrong.max()} times)."
