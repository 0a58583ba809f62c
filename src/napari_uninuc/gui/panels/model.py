"""The model in use, its licence, the device, and how long things take."""

from pathlib import Path
from urllib.parse import quote

from psygnal import SignalInstance
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QComboBox, QFileDialog, QLabel, QLineEdit

from napari_uninuc.client.address import ServerAddress
from napari_uninuc.errors import UniNucError
from napari_uninuc.gui.desk import Desk
from napari_uninuc.gui.panels.frame import Panel, button, row
from napari_uninuc.gui.panels.learning import LearningBox
from napari_uninuc.gui.window.notices import tell_problem, warn
from napari_uninuc.gui.window.preferences import preferences
from napari_uninuc.gui.window.remembered import recall_text, remember
from napari_uninuc.gui.work.model_slot import InState, OnServer
from napari_uninuc.gui.workbench import Workbench
from napari_uninuc.network.card import use_in_words

__all__ = ["ModelPanel"]

_DEVICES = {"Fastest device": "auto", "CPU": "cpu", "NVIDIA GPU": "cuda", "Apple GPU": "mps"}
_EVERY_MS = 1000


class ModelPanel(Panel):
    """Chooses model and device; says what is loaded and how quick it is."""

    def __init__(self, workbench: Workbench) -> None:
        super().__init__("Model", folded=True)
        self._workbench = workbench
        self.model = QComboBox()
        self.model.setToolTip("The model that outlines nuclei.")
        self.device = QComboBox()
        self.device.addItems(list(_DEVICES))
        self.device.setToolTip("Where the model computes. The CPU always works.")
        self.from_file = button(
            "From file...", "Load a model file (.safetensors) that lies beside its card.toml."
        )
        self.server = QLineEdit()
        self.server.setPlaceholderText("http://computer:8000")
        self.server.setToolTip("Where 'uninuc serve' runs, as it prints the address.")
        self.key = QLineEdit()
        self.key.setPlaceholderText("key")
        self.key.setToolTip("The server's key; empty where it asks for none. It is not kept.")
        self.key.setEchoMode(QLineEdit.EchoMode.Password)
        self.on_server = button(
            "On a server", "Let a server compute. Corrections and their record stay here."
        )
        self.learnt = QComboBox()
        self.learnt.setToolTip("What the server's model has learnt from corrections.")
        self.learnt.setVisible(False)
        self.state = QLabel()
        self.state.setWordWrap(True)
        self.column.addWidget(row(self.model, self.from_file))
        self.column.addWidget(self.device)
        self.column.addWidget(row(self.server, self.key, self.on_server))
        self.column.addWidget(self.learnt)
        self.learning = LearningBox(workbench)
        self.column.addWidget(self.state)
        self.column.addWidget(self.learning)
        self.learning.chosen.connect(self._on_learnt)
        self._withheld: set[str] = set()
        self._list_models()
        self.model.activated.connect(self._on_choice)
        self.device.activated.connect(self._on_choice)
        self.from_file.clicked.connect(self._on_file)
        self.on_server.clicked.connect(self._on_server)
        self.server.returnPressed.connect(self._on_server)
        self.key.returnPressed.connect(self._on_server)
        self.learnt.activated.connect(self._on_state_there)
        workbench.models.changed.connect(self._on_model)
        self._timer = QTimer(self)
        self._timer.setInterval(_EVERY_MS)
        self._timer.timeout.connect(self._show)
        self._timer.start()

    def begin(self) -> None:
        """Load the model of napari's preferences."""
        chosen = preferences()
        if chosen.model.startswith(("http://", "https://")):
            self.server.setText(chosen.model)
            self._on_server()
            return
        place = self.model.findData(chosen.model)
        if chosen.model in self._withheld and self.model.count():
            place = 0
        if place < 0:
            self.model.addItem(Path(chosen.model).name, chosen.model)
            place = self.model.count() - 1
        self.model.setCurrentIndex(place)
        self.device.setCurrentIndex(list(_DEVICES.values()).index(chosen.device))
        self._on_choice()

    def slow_signals(self, desk: Desk) -> list[SignalInstance]:
        """What there is to learn from."""
        return [desk.session.labels.changed]

    def refresh(self) -> None:
        """Models can be chosen without a picture."""
        self.setEnabled(True)
        self._show()

    def refresh_later(self) -> None:
        """Show whether there is enough to learn from."""
        self.learning.follow(self.desk)

    def close_learning(self) -> None:
        """End what is being learnt; the window goes."""
        self.learning.close_learning()

    def _list_models(self) -> None:
        from napari_uninuc.network.registry import list_models

        only_free = preferences().commercial_use
        for files in list_models(tell_problem):
            card, name = files.card, files.weights_path.parent.name
            if only_free and not card.commercial_use:
                self._withheld.add(name)
                continue
            size = files.weights_path.stat().st_size / 1e6 if files.weights_path.exists() else 0
            use = use_in_words(card.commercial_use)
            self.model.addItem(f"{name} ({size:.0f} MB) - {use}", name)
            told = "\n".join((f"Licence: {card.licence}", *card.attribution))
            self.model.setItemData(self.model.count() - 1, told, Qt.ItemDataRole.ToolTipRole)

    def _on_choice(self) -> None:
        """Use a model, in the learnt state that it was used in last."""
        model = self.model.currentData() or "uninuc-n"
        kept = recall_text(_remembered_as(model))
        adapter = Path(kept) if kept else None
        if adapter is not None and not adapter.is_file():
            warn(f"The learnt state {adapter.stem} is gone; {Path(model).name} is used as it came")
            remember(_remembered_as(model), "")
            adapter = None
        self._use(model, adapter)

    def _on_learnt(self, adapter: Path | None) -> None:
        """Put the model in use into a learnt state; None is as it came."""
        source = self._workbench.models.source
        if source is not None:
            remember(_remembered_as(source), "" if adapter is None else str(adapter))
            self._use(source, adapter)

    def _use(self, model: str, adapter: Path | None) -> None:
        wanted = model if adapter is None else InState(model, adapter)
        self._workbench.models.use(wanted, _DEVICES[self.device.currentText()])

    def _on_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Model file", "", "Models (*.safetensors)")
        if path:
            self.model.addItem(Path(path).parent.name, path)
            self.model.setCurrentIndex(self.model.count() - 1)
            self._on_choice()

    def _on_server(self) -> None:
        try:
            address = ServerAddress.of(self.server.text(), self.key.text())
        except UniNucError as problem:
            tell_problem(problem)
            return
        self._workbench.models.use(address, "server")

    def _on_state_there(self) -> None:
        """Put the server's model into another of its states: connect anew, pictures stay there."""
        address = getattr(self._workbench.models.annotator, "address", None)
        if address is not None:
            self._workbench.models.use(OnServer(address, self.learnt.currentData()), "server")

    def _on_model(self) -> None:
        """Offer the states of the server, where the model is on one that has some."""
        annotator = self._workbench.models.annotator
        if not self._workbench.models.loading:
            states: dict[str, str] = getattr(annotator, "learnt_states", {})
            self.learnt.clear()
            for name, told in {**states, "": "The model itself."}.items():
                self.learnt.addItem(name or "As it came", name)
                self.learnt.setItemData(self.learnt.count() - 1, told, Qt.ItemDataRole.ToolTipRole)
            self.learnt.setCurrentIndex(self.learnt.findData(getattr(annotator, "state", "")))
            self.learnt.setVisible(bool(states))
        self._show()

    def _show(self) -> None:
        models = self._workbench.models
        there = hasattr(models.annotator, "address")
        self.learning.setVisible(not there or self.learning.learning.state is not None)
        for text in models.take_notices():
            warn(text)
        if models.annotator is None:
            self.state.setText("Loading ..." if models.wanted else "No model is loaded.")
            return
        card, seconds = models.annotator.card, models.seconds
        learnt = f", learnt: {card.learnt}," if card.learnt else ""
        lines = [
            f"{card.id}{learnt} on {models.annotator.device_name}",
            f"Licence: {card.licence}; {use_in_words(card.commercial_use)}",
            *card.attribution,
            f"{models.annotator.memory_bytes() / 1e6:.0f} MB in memory",
        ]
        if there:
            told = getattr(models.annotator, "learnt_states", {}).get(self.learnt.currentData())
            lines += [f"Learnt there: {told}"] if told else []
            lines.append("To teach a model what you correct, load it on this computer.")
        if "encode" in seconds:
            lines.append(f"Preparing took {seconds['encode']:.1f} s")
        if "click" in seconds:
            lines.append(f"Last click took {seconds['click'] * 1000:.0f} ms")
        if models.loading:
            lines.insert(0, f"{models.loading_what} ... Until it is there:")
        self.state.setText("\n".join(lines))


def _remembered_as(model: str) -> str:
    """Under what name the learnt state of a model, by id or path, is remembered."""
    return f"learnt/{quote(model, safe='')}"
