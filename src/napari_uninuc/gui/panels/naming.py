"""Find by name: what the model knows, what it finds, and what becomes of that."""

from psygnal import SignalInstance
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCompleter, QLabel, QLineEdit, QSlider

from napari_uninuc.errors import UniNucError
from napari_uninuc.gui.desk import Desk
from napari_uninuc.gui.panels.frame import Panel, button, row
from napari_uninuc.gui.window.notices import tell_problem
from napari_uninuc.gui.work.naming import Proposed
from napari_uninuc.gui.workbench import Workbench

__all__ = ["NamingPanel"]

_LEAST_PX = 120


class NamingPanel(Panel):
    """Selects the nuclei that the model takes for what is typed.

    Parameters
    ----------
    bench : tells when another model is there
    """

    def __init__(self, bench: Workbench) -> None:
        super().__init__("Find by name", folded=True)
        self._bench = bench
        self._names: tuple[str, ...] | None = None
        self.name = QLineEdit()
        self.name.setPlaceholderText("inflammatory nuclei")
        self.name.setToolTip("Which nuclei to find. Only names that the model knows are answered.")
        self.name.setMinimumWidth(_LEAST_PX)
        self.search = button("Find", "Select the nuclei that the model takes for this.")
        self.known = QLabel()
        self.known.setWordWrap(True)
        self.count = QSlider(Qt.Orientation.Horizontal)
        self.count.setToolTip("How many are meant, those that hold most of it first")
        self.take = button("Accept", "Give the nuclei selected this class: one step of undo.")
        self.teach = button(
            "As examples",
            "Give only the surest this class, 20 at most, and class the others from examples.",
        )
        self.drop = button("Drop", "Propose nothing; no nucleus changes.")
        self.found = QLabel()
        self.found.setWordWrap(True)
        for part in (
            row(self.name, self.search),
            self.known,
            self.count,
            row(self.take, self.teach, self.drop),
            self.found,
        ):
            self.column.addWidget(part)
        self.search.clicked.connect(self._on_find)
        self.name.returnPressed.connect(self._on_find)
        self.count.valueChanged.connect(self._on_count)
        self.take.clicked.connect(self._on_take)
        self.teach.clicked.connect(self._on_teach)
        self.drop.clicked.connect(self._on_drop)
        bench.models.changed.connect(self.refresh)

    def close_panel(self) -> None:
        """Listen to the model no longer."""
        self._bench.models.changed.disconnect(self.refresh, missing_ok=True)

    def signals(self, desk: Desk) -> list[SignalInstance]:
        """What was found, and what of it is selected."""
        return [desk.naming.changed, desk.session.selection_changed]

    def refresh(self) -> None:
        """Show which names are known, and what was found."""
        naming = None if self.desk is None else self.desk.naming
        names = () if naming is None else naming.names
        self._offer(names)
        self.search.setEnabled(bool(names))
        if names and naming is not None:
            told = f"Known: {', '.join(names)}. Nothing else can be found by name."
            tissue = naming.names_from
            told += f" Learnt on: {tissue}; on other tissue look twice." if tissue else ""
        elif naming is None:
            told = "Open a picture to find its nuclei by name."
        else:
            told = "The model in use knows no names. Teach classes by a few examples."
        self.known.setText(told)
        self._show(None if naming is None else naming.proposed)

    def _offer(self, names: tuple[str, ...]) -> None:
        """Complete what is typed by the names that are known."""
        if names == self._names:
            return
        self._names = names
        completer = QCompleter([f"{name} nuclei" for name in names], self.name)
        completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self.name.setCompleter(completer)

    def _show(self, proposed: Proposed | None) -> None:
        for part in (self.count, self.take, self.teach, self.drop, self.found):
            part.setVisible(proposed is not None)
        if proposed is None:
            return
        self.count.blockSignals(True)
        self.count.setRange(0, len(proposed.ranked))
        self.count.setValue(proposed.count)
        self.count.blockSignals(False)
        self.take.setText(f"Accept as {proposed.name}")
        selected = frozenset() if self.desk is None else self.desk.session.selection
        surest = sum(id_ in selected for id_ in proposed.surest)
        self.take.setEnabled(bool(selected))
        self.teach.setText(f"{surest} as examples")
        self.teach.setEnabled(surest > 0)
        which = "they are" if selected == frozenset(proposed.ids) else f"{len(selected)} are"
        many = len(proposed.ranked)
        told = f"{proposed.count} of {many} nuclei are taken for {proposed.name}; {which} selected."
        told += " Look at them before you accept."
        if not proposed.count and not selected:
            told = f"None of {many} nuclei is taken for {proposed.name}."
            told += " Move the slider to take the likeliest."
        self.found.setText(told)

    def _on_find(self) -> None:
        text = self.name.text().strip()
        if self.desk is None or not text:
            return
        try:
            self.desk.naming.find(text)
        except UniNucError as problem:
            tell_problem(problem)

    def _on_count(self, count: int) -> None:
        if self.desk is not None:
            self.desk.naming.take(count)

    def _on_take(self) -> None:
        if self.desk is not None:
            self.desk.naming.accept()

    def _on_teach(self) -> None:
        if self.desk is not None and self.desk.naming.accept_surest():
            self.desk.teaching.on = True

    def _on_drop(self) -> None:
        if self.desk is not None:
            self.desk.naming.drop()
