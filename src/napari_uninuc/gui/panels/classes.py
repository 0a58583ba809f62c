"""Classes: how many nuclei each has, giving them, adding them, and what colours tell."""

from psygnal import SignalInstance
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QColor, QIcon, QPixmap, QResizeEvent
from qtpy.QtWidgets import (
    QComboBox,
    QGridLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QWidget,
)

from napari_uninuc.core.classes import NucleusClass
from napari_uninuc.errors import UniNucError
from napari_uninuc.gui.desk import Desk
from napari_uninuc.gui.layers.colours import ColourBy
from napari_uninuc.gui.panels.class_menu import ClassMenu
from napari_uninuc.gui.panels.frame import Panel, button, row
from napari_uninuc.gui.window.notices import tell_problem
from napari_uninuc.session import AnnotationSession

__all__ = ["ClassesPanel"]

_COLUMNS = 2
_LEAST_PX = 70
_AROUND_PX = 44
"""Of a class's button: its colour and the space around."""


class ClassesPanel(Panel):
    """One button a class, its digit and count on it."""

    def __init__(self) -> None:
        super().__init__("Classes")
        self.buttons: list[_ClassButton] = []
        self._classes: tuple[NucleusClass, ...] = ()
        self._holder = QWidget()
        self._list = QGridLayout(self._holder)
        self._list.setContentsMargins(0, 0, 0, 0)
        self._list.setSpacing(2)
        self.new_name = QLineEdit()
        self.new_name.setPlaceholderText("New class")
        self.new_name.setMinimumWidth(_LEAST_PX)
        self.add = button("Add", "Add a class; nuclei are given it by its number key.")
        self.colour_by = QComboBox()
        self.colour_by.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.colour_by.setMinimumContentsLength(9)
        self.colour_by.addItems([f"Colour: {by.value}" for by in ColourBy])
        self.colour_by.setToolTip(
            "class: its colour above; status: yellow automatic, red edited, green reviewed; "
            "score: how sure the model was, from dark to bright; staining: how brown, once measured"
        )
        self.column.addWidget(self._holder)
        self.alike = QLabel()
        self.alike.setWordWrap(True)
        self.alike.hide()
        self.column.addWidget(self.alike)
        self.change = button(
            "Change",
            "Rename, recolour, move or remove the class that is down; so does a right-click.",
        )
        self.change.setMenu(ClassMenu(self, self._current))
        self.column.addWidget(row(self.new_name, self.add, self.change, self.colour_by))
        self.add.clicked.connect(self._on_add)
        self.new_name.returnPressed.connect(self._on_add)
        self.colour_by.currentIndexChanged.connect(self._on_colour)

    def signals(self, desk: Desk) -> list[SignalInstance]:
        """The list of classes, which of them new nuclei get, and what colours tell."""
        session = desk.session
        return [
            session.classes_changed,
            session.current_class_changed,
            desk.bridge.colour_by_changed,
        ]

    def slow_signals(self, desk: Desk) -> list[SignalInstance]:
        """Every edit, and classes derived from examples."""
        return [desk.session.labels.changed, desk.session.derived_changed]

    def refresh(self) -> None:
        """Make the buttons anew where classes changed."""
        classes = () if self.desk is None else self.desk.session.classes.classes
        if self.desk is not None:
            self.colour_by.setCurrentIndex(list(ColourBy).index(self.desk.bridge.colour_by))
        if classes != self._classes:
            self._classes = classes
            self._make_buttons()
            self.refresh_later()
            self._tell_alike()
        self._show_current()

    def _tell_alike(self) -> None:
        """Say which classes look like others, for no more colours can be told apart."""
        alike = () if self.desk is None else self.desk.session.classes.alike()
        self.alike.setVisible(bool(alike))
        pairs = ", ".join(f"{one} as {other}" for one, other in alike)
        self.alike.setText(f"Same colour: {pairs}. Change one.")

    def _make_buttons(self) -> None:
        for old in self.buttons:
            self._list.removeWidget(old)
            old.setParent(None)  # gone with its last name, even where no event loop runs
        self.buttons = []
        rows = -(-len(self._classes) // _COLUMNS)
        for class_id, each in enumerate(self._classes):
            made = _ClassButton(each, f"{class_id + 1}" if class_id < 9 else " ")
            made.clicked.connect(lambda _=False, class_id=class_id: self._on_class(class_id))
            made.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
            made.customContextMenuRequested.connect(
                lambda place, made=made, class_id=class_id: self._on_menu(made, class_id, place)
            )
            self._list.addWidget(made, class_id % rows, class_id // rows)
            self.buttons.append(made)

    def refresh_later(self) -> None:
        """Write the counts on the buttons."""
        if self.desk is None:
            return
        session = self.desk.session
        counts = session.counts()
        for class_id, made in enumerate(self.buttons):
            made.show_count(counts.get(class_id, 0))
        self._show_current()

    def _show_current(self) -> None:
        """Have the button of the class that new nuclei get down, the others up."""
        for class_id, made in enumerate(self.buttons):
            made.setChecked(self.desk is not None and class_id == self.desk.session.current_class)

    def _on_class(self, class_id: int) -> None:
        if self.desk is not None:
            if class_id < 9:
                self.desk.actions[f"class_{class_id + 1}"]()
            else:
                self.desk.session.set_class(self.desk.session.targets(), class_id)
            self.refresh_later()

    def _current(self) -> tuple[AnnotationSession, int] | None:
        session = None if self.desk is None else self.desk.session
        return None if session is None else (session, session.current_class)

    def _on_menu(self, at: QWidget, class_id: int, place: QPoint) -> None:
        """Open the menu of one class; it goes when something was chosen or not."""
        if self.desk is not None:
            session = self.desk.session
            menu = ClassMenu(self, lambda: (session, class_id))
            menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
            menu.popup(at.mapToGlobal(place))

    def _on_add(self) -> None:
        name = self.new_name.text().strip()
        if self.desk is None or not name:
            return
        try:
            self.desk.session.add_class(name)
        except UniNucError as problem:
            tell_problem(problem)
        else:
            self.new_name.clear()
            self.new_name.clearFocus()

    def _on_colour(self, index: int) -> None:
        if self.desk is not None:
            self.desk.bridge.colour_by = list(ColourBy)[index]


class _ClassButton(QPushButton):
    """Digit, colour, name and count of a class; down while new nuclei get it.

    A name that is too long is cut short: what the button says never widens the panel.
    """

    def __init__(self, shown: NucleusClass, digit: str) -> None:
        super().__init__()
        self._name, self._digit, self._count = shown.name, digit, 0
        self.setIcon(_swatch(shown.colour))
        self.setStyleSheet("text-align: left; padding: 3px 5px;")
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setCheckable(True)

    def show_count(self, count: int) -> None:
        """Say how many nuclei there are of it."""
        self._count = count
        self._show()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Cut the name to the new width; called by Qt."""
        super().resizeEvent(event)
        self._show()

    def _show(self) -> None:
        metrics, counted = self.fontMetrics(), f": {self._count:,}"
        left = self.width() - metrics.horizontalAdvance(self._digit + counted) - _AROUND_PX
        name = metrics.elidedText(self._name, Qt.TextElideMode.ElideRight, max(left, 20))
        self.setText(f"{self._digit} {name}{counted}")
        words = f"{self._name}{counted} nuclei"
        self.setAccessibleName(f"Class {self._digit} {words}")
        self.setToolTip(
            f"{words}. Press to give this class to what is in hand or selected; else nuclei added "
            "next get it, and the button stays down."
        )


def _swatch(colour: str) -> QIcon:
    pixels = QPixmap(14, 14)
    pixels.fill(QColor(colour))
    return QIcon(pixels)
