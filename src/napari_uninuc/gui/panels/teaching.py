"""Classes from examples: on and off, what they are taken for, which to ask next, files."""

from pathlib import Path

import numpy as np
from psygnal import SignalInstance
from qtpy.QtWidgets import QCheckBox, QFileDialog, QInputDialog, QLabel

from napari_uninuc.errors import UniNucError
from napari_uninuc.gui.desk import Desk
from napari_uninuc.gui.panels.frame import Panel, button, key_button, row
from napari_uninuc.gui.panels.save import may_replace
from napari_uninuc.gui.window.notices import tell_problem
from napari_uninuc.gui.work.teaching import Teaching
from napari_uninuc.io.classifiers import read_classifier, write_classifier

__all__ = ["TeachingPanel"]

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
        self.load = button("Load...", "Go on from what was taught on another picture.")
        self.state = QLabel()
        self.state.setWordWrap(True)
        self.column.addWidget(self.on)
        self.column.addWidget(row(self.ask, self.save, self.load))
        self.column.addWidget(self.state)
        self.on.clicked.connect(self._on_on)
        self.ask.clicked.connect(self._on_ask)
        self.save.clicked.connect(self._on_save)
        self.load.clicked.connect(self._on_load)

    def signals(self, desk: Desk) -> list[SignalInstance]:
        """What was learnt."""
        return [desk.teaching.changed]

    def refresh(self) -> None:
        """Show whether it is on, and what examples that were left out are taken for."""
        teaching = None if self.desk is None else self.desk.teaching
        outcome = None if teaching is None else teaching.outcome
        self.on.setChecked(teaching is not None and teaching.on)
        self.save.setEnabled(outcome is not None)
        self.ask.setEnabled(outcome is not None)
        if teaching is None or not teaching.on:
            self.state.setText("")
        elif outcome is None:
            self.state.setText("Give one nucleus each of two classes or more.")
        else:
            self.state.setText(_in_words(outcome.taught.examples.names, outcome.confusion))

    def _on_on(self, on: bool) -> None:
        if self.desk is not None:
            self.desk.teaching.on = on

    def _on_ask(self) -> None:
        if self.desk is not None:
            self.desk.actions["ask"]()

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
            try:
                teaching.bring(read_classifier(Path(name)))
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
