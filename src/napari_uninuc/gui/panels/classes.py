"""Classes: how many nuclei each has, giving them, adding them, and what colours tell."""

from psygnal import SignalInstance
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QComboBox, QLineEdit, QPushButton, QVBoxLayout, QWidget

from napari_uninuc.core.classes import NucleusClass
from napari_uninuc.errors import UniNucError
from napari_uninuc.gui.desk import Desk
from napari_uninuc.gui.layers.colours import ColourBy
from napari_uninuc.gui.panels.frame import Panel, button, row
from napari_uninuc.gui.window.notices import tell_problem

__all__ = ["ClassesPanel"]


class ClassesPanel(Panel):
    """One button a class, its digit and count on it."""

    def __init__(self) -> None:
        super().__init__("Classes")
        self.buttons: list[QPushButton] = []
        self._classes: tuple[NucleusClass, ...] = ()
        self._holder = QWidget()
        self._list = QVBoxLayout(self._holder)
        self._list.setContentsMargins(0, 0, 0, 0)
        self._list.setSpacing(2)
        self.new_name = QLineEdit()
        self.new_name.setPlaceholderText("New class")
        self.add = button("Add", "Add a class; nuclei are given it by its number key.")
        self.colour_by = QComboBox()
        self.colour_by.addItems([f"Colour by {by.value}" for by in ColourBy])
        self.colour_by.setToolTip(
            "class: its colour below; status: yellow automatic, blue edited, green reviewed; "
            "score: how sure the model was, from dark to bright"
        )
        self.column.addWidget(self._holder)
        self.column.addWidget(row(self.new_name, self.add))
        self.column.addWidget(self.colour_by)
        self.add.clicked.connect(self._on_add)
        self.new_name.returnPressed.connect(self._on_add)
        self.colour_by.currentIndexChanged.connect(self._on_colour)

    def signals(self, desk: Desk) -> list[SignalInstance]:
        """The list of classes."""
        return [desk.session.classes_changed]

    def slow_signals(self, desk: Desk) -> list[SignalInstance]:
        """Every edit."""
        return [desk.session.labels.changed]

    def refresh(self) -> None:
        """Make the buttons anew where classes changed."""
        classes = () if self.desk is None else self.desk.session.classes.classes
        if classes != self._classes:
            self._classes = classes
            self._make_buttons()
            self.refresh_later()

    def _make_buttons(self) -> None:
        for old in self.buttons:
            self._list.removeWidget(old)
            old.setParent(None)  # gone with its last name, even where no event loop runs
        self.buttons = []
        for class_id, each in enumerate(self._classes):
            made = button(
                "", "Give this class to what is in hand or selected; else to nuclei added next."
            )
            made.setStyleSheet("text-align: left; padding: 3px 6px;")
            made.setIcon(_swatch(each.colour))
            made.clicked.connect(lambda _=False, class_id=class_id: self._on_class(class_id))
            self._list.addWidget(made)
            self.buttons.append(made)

    def refresh_later(self) -> None:
        """Write the counts on the buttons."""
        if self.desk is None:
            return
        session = self.desk.session
        counts = session.counts()
        for class_id, made in enumerate(self.buttons):
            digit = f"{class_id + 1}  " if class_id < 9 else ""
            mark = "  (new nuclei)" if class_id == session.current_class else ""
            count = counts.get(class_id, 0)
            made.setText(f"{digit}{session.classes.names[class_id]}: {count}{mark}")

    def _on_class(self, class_id: int) -> None:
        if self.desk is not None:
            if class_id < 9:
                self.desk.actions[f"class_{class_id + 1}"]()
            else:
                self.desk.session.set_class(self.desk.session.targets(), class_id)
            self.refresh_later()

    def _on_add(self) -> None:
        name = self.new_name.text().strip()
        if self.desk is None or not name:
            return
        try:
            self.desk.session.classes = self.desk.session.classes.with_added(name)
        except UniNucError as problem:
            tell_problem(problem)
        else:
            self.new_name.clear()
            self.new_name.clearFocus()

    def _on_colour(self, index: int) -> None:
        if self.desk is not None:
            self.desk.bridge.colour_by = list(ColourBy)[index]


def _swatch(colour: str) -> QIcon:
    pixels = QPixmap(14, 14)
    pixels.fill(QColor(colour))
    return QIcon(pixels)
